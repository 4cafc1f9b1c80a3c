"""The record of a folding: each gate, and what a constant in its place costs and saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobile.record import Record, table


@dataclass(frozen=True)
class FoldedGate(Record):
    """One gate, and what a constant in its place costs and saves.

    Args:
        block: Name of the block, as `keras_se.gates` lists it.
        shape: Of the tensor it multiplies, without the batch.
        spread: Standard deviation of its gates over images, mean over channels.
        error: What the best constant leaves of the block's output, see `keras_se.gates`.
        alone: Agreement with the model when this gate alone is folded; None where it cannot be.
        time_us: What the block costs on the device; None where it was not timed.
        order: When it was folded, from 1; None if it stays.
        agreement: Agreement once it and all before it are folded; of one that stays, what
            agreement would have become.
        accuracy: The same for top-1 accuracy, where labels were given.
        reason: Why it stays.
    """

    block: str
    shape: tuple[int, ...]
    spread: float
    error: float
    alone: float | None = None
    time_us: float | None = None
    order: int | None = None
    agreement: float | None = None
    accuracy: float | None = None
    reason: str | None = None

    @property
    def elements(self) -> int:
        """How many values one image has multiplied."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class GateFolding(Record):
    """Which gates of a model became constants. Prints itself as a table.

    Args:
        model: The model's name.
        gates: One record a gated block, in the model's order.
        by: What folding was to save: `"time"` or `"elements"`.
        keep: Least agreement that was asked for.
        fitted: Images that the constants are from.
        judged: Images that agreement is of.
        device: Where the blocks were timed; None where they were not.
        target: What they were lowered for.
        accuracy: Top-1 accuracy before folding, where labels were given.
        refitted: Agreement once the kernels that read folded gates were fitted anew; None where
            there is none, or where that kept fewer answers and was left.
        refitted_accuracy: The same for top-1 accuracy, where labels were given.
        skipped: Name of a multiplication to the reason why it is no gated block, where it looks
            like one.
    """

    model: str
    gates: tuple[FoldedGate, ...]
    by: str
    keep: float
    fitted: int
    judged: int
    device: str | None = None
    target: str | None = None
    accuracy: float | None = None
    refitted: float | None = None
    refitted_accuracy: float | None = None
    skipped: dict[str, str] | None = None

    @property
    def folded(self) -> tuple[FoldedGate, ...]:
        """Those that became constants, in the order in which they did."""
        chosen = [gate for gate in self.gates if gate.order is not None]
        return tuple(sorted(chosen, key=lambda gate: gate.order or 0))

    @property
    def agreement(self) -> float:
        """Share of judging images with the model's top-1 after folding, and fitting if any."""
        if self.refitted is not None:
            return self.refitted
        return self.folded[-1].agreement or 0.0 if self.folded else 1.0

    def saving(self, gate: FoldedGate) -> float:
        """What folding a gate saves: microseconds, or elements."""
        return gate.elements if self.device is None else gate.time_us or 0.0

    def saved(self, count: int | None = None) -> float:
        """The share of what all gates cost that folding saves, or its first `count` steps."""
        whole = sum(self.saving(gate) for gate in self.gates)
        return sum(self.saving(gate) for gate in self.folded[:count]) / whole if whole else 0.0

    def __str__(self):
        header = ["block", "tensor", "spread", "error, %", "alone, %", "elements"]
        header += ["us"] * (self.device is not None) + ["order", "then, %"]
        header += ["top-1, %"] * (self.accuracy is not None) + ["stays because"]
        rows = []
        for gate in self.gates:
            row = [gate.block, "x".join(map(str, gate.shape)), f"{gate.spread:.3f}"]
            row += [f"{100 * gate.error:.1f}", _percent(gate.alone), f"{gate.elements:,}"]
            if self.device is not None:
                row.append("" if gate.time_us is None else f"{gate.time_us:.1f}")
            row += ["" if gate.order is None else gate.order, _percent(gate.agreement)]
            row += [] if self.accuracy is None else [_percent(gate.accuracy)]
            rows.append([*row, gate.reason or ""])
        kind = "elements" if self.device is None else f"time of SE on {self.device}"
        said = (
            f"{len(self.folded)} of {len(self.gates)} gates folded: {100 * self.agreement:.1f} % "
            f"agreement on {self.judged} images, {100 * self.saved():.0f} % of the {kind} saved."
        )
        if self.refitted is not None:
            before = _percent(self.folded[-1].agreement)
            said += f" It was {before} % before the kernels behind were fitted anew."
        return f"{table(header, rows)}\n{said}"


def _percent(share):
    return "" if share is None else f"{100 * share:.1f}"
