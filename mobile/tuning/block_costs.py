"""What variants of squeeze-and-excitation add to one block, and how a prediction turned out."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_se.config import SEConfig
from keras_se.models.base import SEByBlock
from mobile.benchmarking.timings import Finite, Milliseconds
from mobile.record import Amount, Count, Record

WITHIN = 0.15  # of SE's share, how far a prediction may be off

#: What each block of each row of a network holds, as `SEConfig.to_dict` writes it, or None.
Rows = tuple[tuple[dict[str, Any] | None, ...], ...]


def rows_of(configuration: Iterable[Iterable[SEConfig | None]]) -> Rows:
    """Return SE by row and block as plain values."""
    return tuple(tuple(se and se.to_dict() for se in row) for row in configuration)


def configuration_of(rows: Rows) -> SEByBlock:
    """Return what `rows_of` wrote, as `keras_se.models.build` takes it."""
    return tuple(
        tuple(None if se is None else SEConfig.from_dict(se) for se in row) for row in rows
    )


@dataclass(frozen=True)
class Cost(Record):
    """What one variant of SE adds to a block, over the time of the network without SE.

    Args:
        se: The variant, as `SEConfig.to_dict` writes it.
        share: Extra time over that of the whole SE-free network; None where it gave no times.
        low: Lower end of the 95 % interval.
        high: Upper end.
        free: Whether lowering leaves nothing of it to compute, so that it was not timed.
        reason: Why it gave no times.
    """

    se: dict[str, Any]
    share: Finite | None
    low: Finite | None = None
    high: Finite | None = None
    free: bool = False
    reason: str | None = None

    @functools.cached_property
    def config(self) -> SEConfig:
        """The variant."""
        return SEConfig.from_dict(self.se)

    @property
    def name(self) -> str:
        """Its kind and place."""
        return name_of(self.config)


def name_of(se: SEConfig) -> str:
    """Return kind and place of a variant in a word each.

    >>> name_of(SEConfig(kind="scse", placement="projected"))
    'scse projected'
    """
    return f"{se.kind} {se.placement}"


@dataclass(frozen=True)
class BlockCosts(Record):
    """One block of a network, and what each variant of SE adds to it.

    Args:
        row: Index of its row in the network.
        block: Index of the block in that row.
        name: What its layers' names begin with.
        shape: Height, width and channels of what it reads.
        structure: Fingerprint of the block without SE; those of equal blocks are equal.
        network_ms: The SE-free network, timed in the same run.
        time_ms: The block alone without SE.
        control: What a second copy of that seemed to add: the noise. Share of the network, 95 %
            interval.
        costs: One a variant.
        notes: What made the machine's times less certain, in sentences.
    """

    row: Count
    block: Count
    name: str
    shape: tuple[Count, ...]
    structure: str
    network_ms: Milliseconds
    time_ms: Milliseconds
    control: tuple[Finite, Finite] | None
    costs: tuple[Cost, ...]
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def by_config(self) -> dict[SEConfig, Cost]:
        """Each variant to its cost."""
        return {cost.config: cost for cost in self.costs}


def known_as(se: SEConfig, places: Sequence[str]) -> SEConfig:
    """Return what a variant is looked up as in a network whose blocks have these places.

    The standard place of an inverted residual is the expanded tensor, and of a static gate nothing
    but its place tells in a file.

    >>> known_as(SEConfig(kind="static", reduction=4), ("standard", "expanded")).placement
    'expanded'
    """
    se = SEConfig(kind="static", placement=se.placement) if se.kind == "static" else se
    standard = se.placement == "standard" and "expanded" in places
    return replace(se, placement="expanded") if standard else se


@dataclass(frozen=True)
class Check(Record):
    """One configuration: the prediction, and the measurement of the whole network.

    Args:
        se: What each block of each row holds.
        predicted: SE's extra time over that of the SE-free network, by the blocks' costs.
        measured: The same, of the two whole networks in one interleaved run. Each is loaded three
            times, since where a file comes to lie in memory can cost it 8 %: the middle copies.
        low: Of the fastest copy.
        high: Of the slowest copy.
        noise: How far the copies of the SE-free network are apart, over its time.
    """

    se: Rows
    predicted: Finite
    measured: Finite
    low: Finite
    high: Finite
    noise: Amount = 0.0

    @property
    def error(self) -> float:
        """How far off the prediction is, over what was measured."""
        return self.predicted / self.measured - 1 if self.measured else math.inf

    @property
    def good(self) -> bool:
        """Whether the prediction is within 15 % of SE's share."""
        return abs(self.predicted - self.measured) <= WITHIN * abs(self.measured)

    @property
    def undecided(self) -> bool:
        """Whether it is not, but no further off than equal files are from each other."""
        return not self.good and abs(self.predicted - self.measured) <= self.noise

    @property
    def variants(self) -> list[str]:
        """Kind and place of each variant that is in it."""
        given = (one for row in self.configs for one in row if one is not None)
        return list(dict.fromkeys(map(name_of, given)))

    @property
    def configs(self) -> SEByBlock:
        """The configuration, as `keras_se.models.build` takes it."""
        return configuration_of(self.se)
