"""What a profile times: the variants of squeeze-and-excitation of each block of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras_se
from keras_se.checks import check_count
from keras_se.config import KINDS, SEConfig
from keras_se.models import Place
from keras_se.models.base import Network, blocks_in
from mobile.lowering.targets import target_named
from mobile.tuning.block_costs import known_as


@dataclass(frozen=True)
class Plan:
    """What is to be timed: the variants of each block, in the network's order.

    Args:
        network: The network's name.
        input_shape: Of its image.
        target: What it is lowered for.
        width: Multiplies its channels.
        classes: Its classes.
        variants: Place of each block, to its variants.
    """

    network: str
    input_shape: tuple[int, int, int]
    target: str
    width: float
    classes: int
    variants: dict[Place, tuple[SEConfig, ...]]

    @classmethod
    def of(
        cls,
        network: str,
        se: Any,
        kinds: Sequence[str],
        places: Sequence[str] | None,
        size: int | None,
        target: str,
        width: float = 1.0,
        classes: int | None = None,
    ) -> Plan:
        """Check what was asked for, and list the variants."""
        variants = variants_of(network, se, kinds, places)
        target_named(target)
        if size is not None:
            check_count("size", size, 1, "For the network's own, leave it out.")
        found = keras_se.models.find(network)
        shape = (size, size, 3) if size else found.input_shape
        return cls(found.name, shape, target, width, classes or found.classes, variants)

    def at(self, index: int | None) -> list[list[SEConfig | None]]:
        """Return the variant of that index in every block, or none, as `build` takes it."""
        return self.configuration(
            {place: None if index is None else each[index] for place, each in self.variants.items()}
        )

    def configuration(self, chosen: Mapping[Place, SEConfig | None]) -> list[Any]:
        """Return a variant or none for each block, as `build` takes it."""
        rows = keras_se.models.find(self.network).rows
        found: list[list[SEConfig | None]] = [[None] * blocks_in(row) for row in rows]
        for place, se in chosen.items():
            found[place.row][place.block] = se
        return found

    def rank(self, place: Place) -> Callable[[SEConfig], int]:
        """Return a key that sorts the variants of a block as they were asked for, others behind."""
        asked = self.variants[place]
        return lambda se: asked.index(se) if se in asked else len(asked)


def variants_of(
    network: str, se: Any, kinds: Sequence[str], places: Sequence[str] | None
) -> dict[Place, tuple[SEConfig, ...]]:
    """Return, for each block of a network, each kind at each place, as profiles know them.

    Args:
        network: The network's name.
        se: The variant whose kind and place are varied: `"default"`, an `SEConfig`, or the name
            of a preset.
        kinds: Kinds of SE.
        places: Places of a block; None for all that the network's blocks have.

    Raises:
        ValueError: A name is not known, or there is no block or no variant.
    """
    found = keras_se.models.find(network)
    for name, values, known in (("kinds", kinds, KINDS), ("places", places, found.places)):
        for value in () if values is None else values:
            if isinstance(values, str) or value not in known:
                raise ValueError(
                    f"`{name}` must be among those that the blocks of {found.name!r} have. "
                    f"Received: {name}={values!r}. Known: {', '.join(known)}."
                )
    words = found.places if places is None else places
    where = {known_as(SEConfig(placement=word), found.places).placement: 0 for word in words}
    bases = bases_of(found, se)
    variants = {
        place: tuple(
            known_as(replace(bases[place.row][place.block], kind=k, placement=w), found.places)
            for w in where
            for k in kinds
        )
        for place in keras_se.models.places(found)
    }
    if not any(variants.values()):
        raise ValueError(
            f"A network must have places for SE. Received: {found.name!r} with kinds "
            f"{list(kinds)} at {list(where)}, which is no block and no variant. Choose another."
        )
    return variants


def bases_of(network: Network, se: Any) -> list[list[SEConfig]]:
    """Return the variant of each block of each row, which is then varied.

    Args:
        network: The network.
        se: `"default"`, which is its own (of a network without, `SEConfig()`), an `SEConfig` or the
            name of a preset.

    Raises:
        ValueError: It is none of these.
    """
    if se == "default":
        usual = network.se or SEConfig()
        own = [row.se if isinstance(row.se, SEConfig) else usual for row in network.rows]
        return [[one] * blocks_in(row) for one, row in zip(own, network.rows, strict=True)]
    if isinstance(se, SEConfig) or (isinstance(se, str) and se in keras_se.PRESETS):
        one = keras_se.PRESETS[se] if isinstance(se, str) else se
        return [[one] * blocks_in(row) for row in network.rows]
    raise ValueError(
        f"`se` must be the variant to start from. Received: se={se!r}. Pass 'default', an "
        f"SEConfig, or one of {', '.join(keras_se.PRESETS)}."
    )
