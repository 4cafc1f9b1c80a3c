"""The networks that were trained alone, quantised and timed: accuracies by seed, and times."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from keras_se.config import SEConfig
from mobile.benchmarking.statistics import mean_with_interval
from mobile.benchmarking.timings import Milliseconds, Ratio
from mobile.record import Count, Record, Share, table
from mobile.tuning.block_costs import Rows, name_of

#: What a finalist is there for: no SE, that network wider, SE everywhere, a static gate everywhere,
#: what tuning found, or a variant that is compared with others.
Role = Literal["without", "wider", "everywhere", "static", "tuned", "variant"]


@dataclass(frozen=True)
class Trained(Record):
    """Accuracies of one training.

    Args:
        seed: Of the weights and the order of images; pairs the trainings of several networks.
        float_accuracy: Share of the test images that the float model has right.
        int8_accuracy: The same of its int8 file.
        validation_accuracy: Of the int8 file on the images by which networks are chosen.
    """

    seed: Count
    float_accuracy: Share
    int8_accuracy: Share
    validation_accuracy: Share


@dataclass(frozen=True)
class Gain(Record):
    """How many points of int8 accuracy one network has more than another. 95 % interval.

    Args:
        points: Mean over the seeds that both were trained with.
        half: Half of the interval, by Student's t on the differences by seed; infinite for one.
        seeds: How many those are.
    """

    points: float
    half: float
    seeds: Count

    @property
    def sure(self) -> bool:
        """Whether it is more than the spread of seeds explains: the interval lies above 0."""
        return self.points > self.half

    @property
    def loss(self) -> bool:
        """Whether it is surely less: the interval lies below 0."""
        return -self.points > self.half

    def __str__(self):
        return f"{self.points:.1f} {_plus_minus(self.half, 1)}"


@dataclass(frozen=True)
class Finalist(Record):
    """One network that was trained alone, quantised and timed.

    Args:
        name: What it is called.
        role: What it is there for.
        configuration: What each block of each row holds.
        width: Multiplies the channels.
        params: Trainable parameters.
        macs: Multiply-adds for one image.
        trained: One a seed.
        time: Of its int8 file, over that of the network without SE, all timed in one interleaved
            run; None of that network itself, and where it gave no times.
        time_ms: The time itself.
        reason: Why it gave no times.
    """

    name: str
    role: Role
    configuration: Rows
    width: Annotated[float, Meta(gt=0, le=1e6)]
    params: Count
    macs: Count
    trained: Annotated[tuple[Trained, ...], Meta(min_length=1)]
    time: Ratio | None = None
    time_ms: Milliseconds | None = None
    reason: str | None = None

    @property
    def int8_accuracy(self) -> tuple[float, float]:
        """Mean over the seeds, and half of its 95 % interval."""
        return mean_with_interval([each.int8_accuracy for each in self.trained])

    @property
    def float_accuracy(self) -> tuple[float, float]:
        """The same of the float models."""
        return mean_with_interval([each.float_accuracy for each in self.trained])

    @property
    def validation_accuracy(self) -> float:
        """Mean of the int8 files on the images by which networks are chosen."""
        return mean_with_interval([each.validation_accuracy for each in self.trained])[0]

    @property
    def share(self) -> float | None:
        """Extra time over that of the network without SE; None where it gave no times."""
        if self.role == "without":
            return 0.0
        return None if self.time is None else self.time.value - 1

    def gain(self, over: Finalist) -> Gain:
        """Return how much more accurate in int8 it is, paired by seed.

        Raises:
            ValueError: No seed is common to both.
        """
        theirs = {each.seed: each.int8_accuracy for each in over.trained}
        pairs = [(t.int8_accuracy, theirs[t.seed]) for t in self.trained if t.seed in theirs]
        if not pairs:
            raise ValueError(
                f"A gain is of networks that were trained with the same seeds. Received: "
                f"{self.name!r} and {over.name!r}, which share none. Train both with one."
            )
        points, half = mean_with_interval([100 * (ours - other) for ours, other in pairs])
        return Gain(points, half, len(pairs))

    @property
    def words(self) -> str:
        """What stands in which blocks, counted from 0 in the network's order.

        >>> se = SEConfig(placement="projected").to_dict()
        >>> Finalist("a", "tuned", ((None,), (se, se)), 1.0, 9, 9, (Trained(0, 1, 1, 1),)).words
        'cse projected in blocks 1, 2 of 3'
        """
        blocks = [se for row in self.configuration for se in row]
        where: dict[str, list[str]] = {}
        for number, se in enumerate(blocks):
            if se is not None:
                where.setdefault(name_of(SEConfig.from_dict(se)), []).append(str(number))
        each = ((name, "s" * (len(at) > 1), ", ".join(at)) for name, at in where.items())
        said = [f"{name} in block{many} {at}" for name, many, at in each]
        return f"{'; '.join(said)} of {len(blocks)}" if said else "no SE"


def finalists_table(finalists: Iterable[Finalist]) -> str:
    """Lay out networks; gains are over the one without SE."""
    finalists = tuple(finalists)
    without = next((each for each in finalists if each.role == "without"), None)
    header = ("network", "width", "parameters", "MACs", "float, %", "int8, %", "gain, points")
    header = (*header, "ms", "time, % more", "95 %")
    rows = []
    for one in finalists:
        figures = [one.name, f"{one.width:.4g}", f"{one.params:,}", f"{one.macs:,}"]
        for mean, half in (one.float_accuracy, one.int8_accuracy):
            figures.append(f"{100 * mean:.2f} {_plus_minus(100 * half, 2)}")
        figures.append("" if one is without or without is None else str(one.gain(without)))
        figures.append("" if one.time_ms is None else f"{one.time_ms:.3f}")
        if one.time is None:
            figures += ["" if one is without else "failed", ""]
        else:
            low, high = (100 * (end - 1) for end in (one.time.low, one.time.high))
            figures += [f"{100 * (one.time.value - 1):.1f}", f"{low:.1f} to {high:.1f}"]
        rows.append(figures)
    return table(header, rows, right=range(1, len(header)))


def _plus_minus(half, digits):
    return "(one seed)" if math.isinf(half) else f"± {half:.{digits}f}"
