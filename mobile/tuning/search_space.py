"""What squeeze-and-excitation each block of a network may have, or none."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import keras_se
from keras_se.config import SEConfig
from keras_se.models.base import SEByBlock, blocks_in, resolve_se
from mobile.record import Record
from mobile.tuning.block_costs import configuration_of, known_as
from mobile.tuning.profile_plan import variants_of

KINDS = ("static", "cse", "scse")


@dataclass(frozen=True)
class SearchSpace(Record):
    """The choices of each block, from which a configuration takes one a block.

    Blocks are counted along the rows of the network. Their choices are numbered, none being 0.

    Args:
        network: Name of the network.
        choices: Of each block of each row: None first, then the variants, as `SEConfig.to_dict`
            writes them.

    Raises:
        ValueError: The blocks are not those of the network, a block does not begin with none or
            has a choice twice, or no block has a choice.
    """

    network: str
    choices: tuple[tuple[tuple[dict[str, Any] | None, ...], ...], ...]

    def __post_init__(self) -> None:
        rows = keras_se.models.find(self.network).rows
        if [len(row) for row in self.choices] != [blocks_in(row) for row in rows]:
            raise ValueError(
                f"A search space must have choices for each block of each row of {self.network!r}: "
                f"{[blocks_in(row) for row in rows]} blocks. Received: "
                f"{[len(row) for row in self.choices]}. Make one with SearchSpace.of."
            )
        for number, block in enumerate(self.blocks):
            if not block or block[0] is not None or len(set(block)) < len(block):
                raise ValueError(
                    f"A block's choices must be none, written null or None, and then variants, "
                    f"each once. Received: {block} for block {number} of {self.network!r}. "
                    f"Make a space with SearchSpace.of."
                )
        if self.count < 2:
            raise ValueError(
                f"A search space must leave a choice. Received: none but no SE in all "
                f"{len(self.blocks)} blocks of {self.network!r}. Name a kind of SE, and a place."
            )

    @classmethod
    def of(
        cls,
        network: str,
        se: Any = "default",
        kinds: Sequence[str] = KINDS,
        places: Sequence[str] | None = None,
    ) -> SearchSpace:
        """Return the space in which each block has no SE, or one of these kinds at one place.

        A static gate, which costs nothing anywhere, stands at the standard place alone, or at the
        first of `places` where that is not among them.

        Args:
            network: A name of `keras_se.models.names()`.
            se: The variant whose kind and place are varied: `"default"`, which is the network's
                own (of a network without, `SEConfig()`), an `SEConfig` or the name of a preset.
            kinds: Kinds of SE.
            places: Places of a block; by default projected and expanded where the network's blocks
                have these, the standard one elsewhere.

        Raises:
            ValueError: A name is not known, or the network has no place for SE.

        Example:

        >>> space = SearchSpace.of("mobilenet_v3_small", kinds=("static", "cse"))
        >>> [None if se is None else (se.kind, se.placement) for se in space.blocks[0]]
        [None, ('cse', 'projected'), ('static', 'expanded'), ('cse', 'expanded')]
        """
        found = keras_se.models.find(network)
        if places is None:
            inverted = "projected" in found.places
            places = ("projected", "expanded") if inverted else ("standard",)
        standard = known_as(SEConfig(), found.places).placement
        variants = variants_of(found.name, se, kinds, places)
        choices: list[list[tuple]] = [[(None,)] * blocks_in(row) for row in found.rows]
        for place, known in variants.items():
            stands = {se.placement for se in known}
            still = standard if standard in stands else known[0].placement
            kept = [se for se in known if se.kind != "static" or se.placement == still]
            choices[place.row][place.block] = (None, *(se.to_dict() for se in kept))
        return cls(found.name, tuple(map(tuple, choices)))

    @functools.cached_property
    def blocks(self) -> tuple[tuple[SEConfig | None, ...], ...]:
        """The choices of each block, along the rows."""
        return tuple(block for row in self.choices for block in configuration_of(row))

    @property
    def count(self) -> int:
        """How many configurations there are."""
        return math.prod(len(block) for block in self.blocks)

    @property
    def fingerprint(self) -> str:
        """What tells it from another space, in 16 letters and digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def nowhere(self) -> SEByBlock:
        """The configuration without SE."""
        return self.configuration([0] * len(self.blocks))

    def everywhere(self, number: int) -> SEByBlock:
        """Return the configuration in which every block that has a choice takes that one.

        Args:
            number: Of the choice, from 1.

        Raises:
            ValueError: Some block that has a choice has not so many.
        """
        return self.configuration([number if len(block) > 1 else 0 for block in self.blocks])

    def random(self, draw: np.random.Generator, dense: bool = False) -> SEByBlock:
        """Return a configuration by chance.

        How many blocks have SE is drawn first, from none to all, each number as often: a choice for
        each block by itself would never give the few that a small budget buys.

        Args:
            draw: What draws.
            dense: Whether every block that has a choice gets SE.
        """
        open_ = [i for i, block in enumerate(self.blocks) if len(block) > 1]
        count = len(open_) if dense else int(draw.integers(len(open_) + 1))
        numbers = [0] * len(self.blocks)
        for i in draw.choice(open_, count, replace=False):
            numbers[i] = int(draw.integers(1, len(self.blocks[i])))
        return self.configuration(numbers)

    def neighbours(self, configuration: Any) -> Iterator[SEByBlock]:
        """Yield each configuration that differs in one block."""
        numbers = self.numbers(configuration)
        for i, block in enumerate(self.blocks):
            for number in range(len(block)):
                if number != numbers[i]:
                    yield self.configuration([*numbers[:i], number, *numbers[i + 1 :]])

    def configuration(self, numbers: Sequence[int]) -> SEByBlock:
        """Return the configuration that takes the choice of that number in each block.

        Raises:
            ValueError: There are other numbers than one for each block, of one of its choices.
        """
        sizes = [len(block) for block in self.blocks]
        if len(numbers) != len(sizes) or not all(
            0 <= n < size for n, size in zip(numbers, sizes, strict=True)
        ):
            raise ValueError(
                f"A configuration must take one choice a block, a number below "
                f"{', '.join(map(str, sizes))}. Received: {list(numbers)} for {self.network!r}. "
                f"0 is no SE."
            )
        taken = iter([block[n] for block, n in zip(self.blocks, numbers, strict=True)])
        return tuple(tuple(next(taken) for _ in row) for row in self.choices)

    def numbers(self, configuration: Any) -> tuple[int, ...]:
        """Return the number of the choice in each block.

        Args:
            configuration: As `keras_se.models.build` takes it.

        Raises:
            ValueError: It is none of this space.
        """
        network = keras_se.models.find(self.network)
        taken = [se for row in resolve_se(network, configuration) for se in row]
        taken = [None if se is None else known_as(se, network.places) for se in taken]
        for i, (se, block) in enumerate(zip(taken, self.blocks, strict=True)):
            if se not in block:
                raise ValueError(
                    f"A configuration must be one of the search space. Received: {se} in block {i} "
                    f"of {self.network!r}, which may have {block}. Take it from this space."
                )
        return tuple(block.index(se) for se, block in zip(taken, self.blocks, strict=True))
