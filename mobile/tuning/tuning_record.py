"""The record of a tuning: what was compared, whether the ranking holds, and whether SE pays."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from mobile.benchmarking.statistics import LEAST_RANKED, kendall_tau
from mobile.benchmarking.timings import Conditions, Finite
from mobile.record import Amount, Count, FileRecord, Record, Share, printable, table
from mobile.tuning.block_costs import Rows
from mobile.tuning.finalists import Finalist, Role, finalists_table


@dataclass(frozen=True)
class Evaluation(Record):
    """One configuration as the supernet and the profile judge it.

    Args:
        configuration: What each block of each row holds.
        loss: Mean cross-entropy over the validation images.
        accuracy: Share of them that is classified right.
        share: Predicted extra time over that of the network without SE.
        by: What proposed it.
    """

    configuration: Rows
    loss: Amount
    accuracy: Share
    share: Finite
    by: str


@dataclass(frozen=True)
class TrainedAlone(Record):
    """One random configuration that was trained alone too, to hold the supernet's order against.

    Args:
        configuration: What each block of each row holds.
        loss: Of the supernet, with it.
        accuracy: Share of the validation images that it has right when trained alone.
    """

    configuration: Rows
    loss: Amount
    accuracy: Share


@dataclass(frozen=True)
class Tuning(FileRecord):
    """Which SE was chosen for a network on a device, and whether it pays. Prints as tables.

    Args:
        network: Name of the network.
        input_shape: Of its image.
        target: What its files are lowered for.
        data: Name of the images.
        validation_images: On how many of them configurations were judged.
        test_images: On how many the finalists' accuracies are.
        conditions: Where and how the profile was timed.
        budget: Largest extra time, over that of the network without SE.
        space: The choices of each block, as `SearchSpace.to_dict` writes them.
        evaluations: All configurations that the supernet was asked about.
        alone: Those of them that were trained alone, to prove its order.
        finalists: The networks that were trained alone, quantised and timed.
        notes: What makes the figures less certain, in sentences.
        created: When it was begun, ISO 8601, in UTC.
    """

    network: str
    input_shape: tuple[Count, Count, Count]
    target: str
    data: str
    validation_images: Count
    test_images: Count
    conditions: Conditions
    budget: Amount
    space: dict[str, Any]
    evaluations: tuple[Evaluation, ...] = ()
    alone: tuple[TrainedAlone, ...] = ()
    finalists: tuple[Finalist, ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""

    FORMAT: ClassVar = "keras-se tuning"
    VERSION: ClassVar = 1
    COMMAND: ClassVar = "keras-se tune"
    SUMMARY: ClassVar = ("verdict",)

    def __post_init__(self):
        seeds = [{each.seed for each in one.trained} for one in self.finalists]
        if seeds and not set.intersection(*seeds):
            pairs = zip(self.finalists, seeds, strict=True)
            told = [f"{one.name!r} with {sorted(each)}" for one, each in pairs]
            raise ValueError(
                f"Networks must be trained with the same seeds, so that gains are paired. "
                f"Received: {'; '.join(told)}. Train all with one of them."
            )

    def of_role(self, role: Role) -> tuple[Finalist, ...]:
        """Return the finalists that are there for something."""
        return tuple(each for each in self.finalists if each.role == role)

    @property
    def within_budget(self) -> tuple[Evaluation, ...]:
        """The configurations that are predicted to keep to the budget."""
        return tuple(each for each in self.evaluations if each.share <= self.budget)

    @property
    def winner(self) -> Finalist | None:
        """The tuned finalist with the best int8 validation accuracy; None where none was timed.

        One whose measured time is surely over the budget wins only where all are. The test images
        take no part, so that the winner's accuracy on them is no lucky draw.
        """
        timed = [each for each in self.of_role("tuned") if each.time is not None]
        kept = [each for each in timed if each.time and each.time.low <= 1 + self.budget]
        return max(kept or timed, key=lambda each: each.validation_accuracy, default=None)

    @property
    def frontier(self) -> tuple[Finalist, ...]:
        """The timed finalists that no other beats in both time and int8 accuracy, fastest first."""
        timed = [each for each in self.finalists if each.share is not None]
        best, found = -math.inf, []
        for one in sorted(timed, key=lambda each: (each.share, -each.int8_accuracy[0])):
            if one.int8_accuracy[0] > best:
                best = one.int8_accuracy[0]
                found.append(one)
        return tuple(found)

    @property
    def tau(self) -> tuple[float, float, float] | None:
        """Kendall's tau of the supernet's order and that of training alone, with 95 % interval.

        None where too few were trained alone, or one of both tells none apart.
        """
        try:
            return kendall_tau(
                [-each.loss for each in self.alone], [each.accuracy for each in self.alone]
            )
        except ValueError:
            return None

    @property
    def ranking(self) -> str:
        """Say whether the supernet's order is that of networks trained alone."""
        count = len(self.alone)
        if self.tau is None:
            reason = (
                f"only {count} configurations were trained alone, and {LEAST_RANKED} is the least"
                if count < LEAST_RANKED
                else f"{count} configurations trained alone are all alike"
            )
            return f"Whether the supernet ranks configurations rightly is not known: {reason}."
        tau, low, high = self.tau
        figures = f"Kendall's tau {tau:.2f} [{low:.2f}, {high:.2f}] over {count} trained alone"
        if low > 0:
            return f"The supernet ranks configurations as training alone does: {figures}."
        why = "the other way round" if high < 0 else "which may be chance"
        return (
            f"The supernet does not rank: {figures}, {why}. Trust what the finalists show, not the "
            f"order of the configurations."
        )

    @property
    def pays(self) -> bool | None:
        """Whether SE is surely more accurate than no SE, and than any wider network.

        None where nothing can be said: no tuned network was timed, or there was but one seed.
        """
        winner, without = self.winner, self.of_role("without")
        if winner is None or not without:
            return None
        gains = [winner.gain(each) for each in (*without[:1], *self.of_role("wider")[:1])]
        return None if any(gain.seeds < 2 for gain in gains) else all(g.sure for g in gains)

    @property
    def verdict(self) -> str:
        """Say in one sentence whether SE pays, and in others what that rests on."""
        winner, without = self.winner, self.of_role("without")
        if winner is None or winner.time is None or not without:
            what = "no network without SE" if winner else "no tuned network that ran on the device"
            return f"Whether SE pays cannot be said: there is {what}."
        gain, wider = winner.gain(without[0]), self.of_role("wider")[:1]
        more = 100 * (winner.time.value - 1)
        said = (
            f"At {abs(more):.1f} % {'more' if more >= 0 else 'less'} time on "
            f"{self.conditions.device}, SE gains {gain} points over no SE"
        )
        gains = [gain, *(winner.gain(each) for each in wider)]
        if wider:
            times = wider[0].width / without[0].width
            said += f", and {gains[1]} over the network {times:.2f} times as wide"
        free = winner.time.low <= 1
        return f"{said}: {self._judged(gains, free)}. {self._grounds(winner, wider, free)}"

    def _judged(self, gains, free):
        if self.pays is None:
            return "one seed says nothing of whether that is more than chance"
        if self.pays:
            alone = len(gains) == 1 and not free
            return f"it pays{', as far as no wider network says' * alone}"
        if any(gain.loss for gain in gains):
            return "it does not pay"
        return f"it does not pay as far as {gains[0].seeds} seeds can tell"

    def _grounds(self, winner, wider, free):
        """Say what the verdict rests on, and what it does not hold for."""
        said = ["Intervals are of 95 %, by Student's t on differences paired by seed."]
        if winner.time.low > 1 + self.budget:
            said.append(f"The time is over the budget of {100 * self.budget:.1f} %.")
        if wider and wider[0].time is not None:
            apart = 100 * (wider[0].time.value / winner.time.value - 1)
            if abs(apart) >= 0.5:
                than = "more" if apart > 0 else "less"
                said.append(f"The wider network takes {abs(apart):.1f} % {than} time than this.")
        elif not wider and free:
            said.append("As it takes no more time, no SE is what it is to be compared with.")
        elif not wider:
            said.append("No wider network of the same time was there to compare with.")
        if self.test_images:
            accuracy = winner.int8_accuracy[0]
            noise = 196 * math.sqrt(accuracy * (1 - accuracy) / self.test_images)
            said.append(
                f"They are of these {self.test_images:,} test images: as many others would move "
                f"each accuracy by up to {noise:.1f} points."
            )
        return " ".join(said)

    def __str__(self):
        parts = [self._searched()]
        if self.alone:
            rows = [
                (number, f"{each.loss:.4f}", f"{100 * each.accuracy:.2f}")
                for number, each in enumerate(self.alone, 1)
            ]
            header = ("trained alone", "supernet's loss", "accuracy alone, %")
            parts.append(table(header, rows, right=range(3)))
        parts.append(self.ranking)
        if self.finalists:
            chosen = "\n".join(f"{each.name}: {each.words}" for each in self.of_role("tuned"))
            parts += [finalists_table(self.finalists), chosen]
        parts.append(self.verdict)
        text = "\n\n".join(filter(None, parts)) + "".join(f"\n! {note}" for note in self.notes)
        return printable(text, lines=True)

    def _searched(self):
        size = "x".join(map(str, self.input_shape[:2]))
        by = Counter(each.by for each in self.evaluations)
        proposed = ", ".join(f"{count} by {name}" for name, count in by.items())
        return (
            f"{self.network}, {size}, int8 for {self.target}, on {self.data}: "
            f"{len(self.evaluations)} configurations compared"
            f"{f' ({proposed})' if by else ''}, {len(self.within_budget)} of them within "
            f"{100 * self.budget:.1f} % more time than without SE. {self.conditions.sentence()}"
        )
