"""The record of an ablation: variants of SE side by side, and which differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mobile.benchmarking.timings import Conditions
from mobile.record import Count, FileRecord, Record, printable, table
from mobile.tuning.finalists import Finalist, finalists_table


@dataclass(frozen=True)
class Published(Record):
    """What a paper has of the same question. Prints as a sentence.

    Args:
        source: Paper, table, network and images.
        errors: Top-1 error of a variant by its name here, in per cent.
    """

    source: str
    errors: dict[str, float]

    def __str__(self):
        each = ", ".join(f"{name} {error:.2f}" for name, error in self.errors.items())
        return f"Published ({self.source}), top-1 error in %: {each}."


@dataclass(frozen=True)
class Ablation(FileRecord):
    """Networks that differ in one thing about SE, trained with the same seeds. Prints as tables.

    Args:
        question: What they differ in.
        network: Name of the network.
        target: What the files are lowered for.
        data: Name of the images.
        test_images: On how many the accuracies are.
        conditions: Where and how the files were timed.
        networks: The one without SE first, then the variants.
        published: What papers have, where they have it.
        created: When it was begun, ISO 8601, in UTC.
    """

    question: str
    network: str
    target: str
    data: str
    test_images: Count
    conditions: Conditions
    networks: tuple[Finalist, ...]
    published: Published | None = None
    created: str = ""

    FORMAT: ClassVar = "keras-se ablation"
    VERSION: ClassVar = 1
    COMMAND: ClassVar = "keras-se ablate"
    SUMMARY: ClassVar = ("verdict",)

    @property
    def variants(self) -> tuple[Finalist, ...]:
        """The networks with SE."""
        return tuple(one for one in self.networks if one.role == "variant")

    @property
    def verdict(self) -> str:
        """Say which variants differ in int8 accuracy by more than the spread of the seeds."""
        seeds = min(len(one.trained) for one in self.networks)
        if seeds < 2:
            return "One seed says nothing of whether a difference is more than chance."
        without, best = self.networks[0], max(self.variants, key=lambda one: one.int8_accuracy[0])
        better = [one.name for one in self.variants if one.gain(without).sure]
        worse = [one.name for one in self.variants if one.gain(without).loss]
        behind = [one.name for one in self.variants if one is not best and best.gain(one).sure]
        said = []
        if better:
            said.append(f"More accurate than no SE: {', '.join(better)}.")
        if worse:
            said.append(f"Less accurate than no SE: {', '.join(worse)}.")
        if not better and not worse:
            said.append("None differs from no SE.")
        among = f"{best.name} is more accurate than {', '.join(behind)}" if behind else ""
        same = len(self.variants) - 1 - len(behind)
        if same:
            among += "; the others" if among else f"The {same + 1} variants"
            among += " show no difference from it" if behind else " show no difference"
        said.append(f"{among}.")
        said.append(
            f"A difference counts where its 95 % interval, Student's t on {seeds} seeds in pairs, "
            f"leaves out 0; of {len(self.variants)} variants one in twenty does so by chance."
        )
        return " ".join(said)

    def __str__(self):
        head = (
            f"{self.question}: {self.network}, int8 for {self.target}, on {self.data}, "
            f"{self.test_images:,} test images. {self.conditions.sentence()}"
        )
        parts = [head, finalists_table(self.networks), self._beside(), self.verdict]
        return printable("\n\n".join(filter(None, parts)), lines=True)

    def _beside(self):
        """Lay out published errors beside ours."""
        if self.published is None:
            return ""
        rows = [
            (one.name, f"{100 * (1 - one.int8_accuracy[0]):.2f}",
             f"{self.published.errors[one.name]:.2f}")
            for one in self.networks
            if one.name in self.published.errors
        ]  # fmt: skip
        header = ("top-1 error, %", "int8 here", "published")
        return f"{table(header, rows, right=(1, 2))}\nPublished: {self.published.source}."
