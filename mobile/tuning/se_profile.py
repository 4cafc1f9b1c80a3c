"""What squeeze-and-excitation costs at each place of a network on a device, as a table to look up.

time of a network = time of the SE-free network * (1 + sum of its blocks' shares * scale)

The scale of a variant is what it costs everywhere in the whole network over what its blocks cost
alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import keras_se
from keras_se.config import SEConfig
from keras_se.models.base import resolve_se
from mobile.benchmarking.statistics import median
from mobile.benchmarking.timings import Conditions
from mobile.record import Amount, Count, FileRecord, table
from mobile.tuning.block_costs import WITHIN, BlockCosts, Check, known_as

_PLAN = ("network", "input_shape", "width", "classes", "target")
_CONDITIONS = ("device", "cpu", "runtime", "runtime_version", "threads", "kernels")


@dataclass(frozen=True)
class Profile(FileRecord):
    """The costs of SE by block on one device, with one runtime and target. Prints as a table.

    Args:
        network: Name of the network.
        input_shape: Of its image.
        target: What its files were lowered for.
        conditions: Where and how it was timed.
        blocks: What was profiled; fewer than the network has where profiling was cut short.
        checks: Random configurations that tell whether the blocks' costs add up.
        everywhere: Each variant in all blocks where it costs time, measured whole.
        width: What its channels were multiplied with.
        classes: Its classes; None where that was not written down.
        created: When it was begun, ISO 8601, in UTC.
    """

    network: str
    input_shape: tuple[Count, Count, Count]
    target: str
    conditions: Conditions
    blocks: tuple[BlockCosts, ...] = ()
    checks: tuple[Check, ...] = ()
    everywhere: tuple[Check, ...] = ()
    width: Amount = 1.0
    classes: Count | None = None
    created: str = ""

    FORMAT: ClassVar = "keras-se profile"
    VERSION: ClassVar = 1
    COMMAND: ClassVar = "keras-se profile"

    def require(self, **wanted: Any) -> None:
        """Raise unless the profile is of what is wanted.

        Args:
            **wanted: Any of `network`, `input_shape`, `width`, `classes`, `target`, `device`,
                `cpu`, `runtime`, `runtime_version`, `threads` and `kernels`; None stands for any.

        Raises:
            ValueError: It is of another.
            TypeError: A word is none of these.
        """
        ours = {name: getattr(self, name) for name in _PLAN}
        ours |= {name: getattr(self.conditions, name) for name in _CONDITIONS}
        for name in wanted:
            if name not in ours:
                raise TypeError(
                    f"A profile is of {', '.join(ours)}. Received: {name!r}. Leave it out."
                )
        told = {name: value for name, value in wanted.items() if value is not None}
        if isinstance(shape := told.get("input_shape"), Iterable):
            told["input_shape"] = tuple(shape)
        apart = [f"{n} {v!r}, not {ours[n]!r}" for n, v in told.items() if ours[n] not in (None, v)]
        if apart:
            raise ValueError(
                f"A profile holds for the network, image, target, device and runtime that it was "
                f"made with. Wanted: {'; '.join(apart)}. Make another with `keras-se profile`."
            )

    def share(self, se: Any, **wanted: Any) -> float:
        """Predict SE's extra time over that of the SE-free network.

        Args:
            se: As `keras_se.models.build` takes it.
            **wanted: What the profile must be of, see `require`.

        Raises:
            ValueError: A block or a variant of SE was not profiled, or as `require`.
        """
        self.require(**wanted)
        return math.fsum(share for _, _, share in self.shares(se))

    def shares(self, se: Any) -> list[tuple[BlockCosts, SEConfig, float]]:
        """Look up each block that has SE: the block, the variant, its share as in the network.

        Raises:
            ValueError: A block or a variant of SE was not profiled.
        """
        network = keras_se.models.find(self.network)
        found = []
        for i, row in enumerate(resolve_se(network, se)):
            for j, given in enumerate(row):
                if given is not None:
                    one = known_as(given, network.places)
                    block, cost = self._cost(i, j, one)
                    found.append((block, one, cost))
        return found

    def _cost(self, i, j, se):
        block = self.by_place.get((i, j))
        where = f"block {j} of row {i} of {self.network!r}"
        if block is None:
            raise ValueError(
                f"Every block with SE must have been profiled. Received: SE in {where}, which this "
                f"profile has not. Run `keras-se profile` with the same file: it goes on."
            )
        cost = block.by_config.get(se)
        if cost is None:
            raise ValueError(
                f"Every variant of SE must have been profiled. Received: {se} in {where}, of which "
                f"are known: {', '.join(c.name for c in block.costs)}, in these settings: "
                f"{block.costs[0].config if block.costs else 'none'}. Run `keras-se profile` with "
                f"that variant and the same file: it is added."
            )
        if cost.share is None:
            raise ValueError(
                f"Every variant of SE must have run on the device. Received: {cost.name} in "
                f"{where}, which did not: {cost.reason} Leave it out."
            )
        return block, cost.share * self.scales.get(cost.name, 1.0)

    def predict(self, se: Any, **wanted: Any) -> float:
        """Predict the time of the network in milliseconds; nothing is built or measured.

        Args:
            se: As `keras_se.models.build` takes it.
            **wanted: What the profile must be of, see `require`.

        Raises:
            ValueError: A block or a variant of SE was not profiled, or as `require`.
        """
        return self.network_ms * (1 + self.share(se, **wanted))

    @functools.cached_property
    def scales(self) -> dict[str, float]:
        """Variant to how many times its blocks' costs alone it costs in the whole network."""
        return {
            name: check.measured / check.predicted
            for check in self.everywhere
            for name in check.variants
            if check.predicted > 0 and check.measured > 0
        }

    @functools.cached_property
    def network_ms(self) -> float:
        """Time of the SE-free network: the middle one of those beside each block."""
        return median([block.network_ms for block in self.blocks])

    @functools.cached_property
    def by_place(self) -> dict[tuple[int, int], BlockCosts]:
        """Index of the row and of the block in it, to the block."""
        return {(block.row, block.block): block for block in self.blocks}

    @property
    def off(self) -> tuple[int, ...]:
        """The numbers, from 1, of the checks that the blocks' costs do not add up to."""
        each = enumerate(self.checks, 1)
        return tuple(n for n, check in each if not check.good and not check.undecided)

    @property
    def factors(self) -> dict[str, float]:
        """Place to how many times its costs alone it costs in whole networks, over all checks.

        Least squares on the checks' shares, with each factor drawn to 1 a little, so that places
        that few checks have stay there.
        """
        names = dict.fromkeys(c.config.placement for b in self.blocks for c in b.costs)
        parts = np.zeros((len(self.checks), len(names)))
        for row, check in zip(parts, self.checks, strict=True):
            for _, se, share in self.shares(check.configs):
                row[list(names).index(se.placement)] += share
        apart = np.array([check.measured for check in self.checks]) - parts.sum(axis=1)
        squares = parts.T @ parts
        pull = 0.01 * np.trace(squares) * np.eye(len(names))
        found = 1 + np.linalg.lstsq(squares + pull, parts.T @ apart, rcond=None)[0]
        return dict(zip(names, found.tolist(), strict=True))

    def microseconds(self, share: float) -> float:
        """Return a share of the SE-free network's time as microseconds."""
        return 1e3 * self.network_ms * share

    def __str__(self):
        parts = [self._costs_table(), self._words()]
        if self.checks:
            parts += [self._checks_table(), self.verdict]
        return "\n\n".join(parts) + self._noted()

    def _noted(self):
        """Return the first note on the machine, and how many blocks have one."""
        noted = [block for block in self.blocks if block.notes]
        if not noted:
            return ""
        first = noted[0]
        return (
            f"\n! {len(noted)} of {len(self.blocks)} blocks were timed under doubt; "
            f"{first.name}: {first.notes[0]}"
        )

    def _costs_table(self):
        header = ("block", "reads", "alone us", "SE", "adds us", "95 %", "of network, %")
        rows = []
        for block in self.blocks:
            first = [block.name, "x".join(map(str, block.shape)), f"{1e3 * block.time_ms:.1f}"]
            told = [(c.name, *self._figures(c)) for c in block.costs if not c.free]
            if free := [cost.name for cost in block.costs if cost.free]:
                told.append((", ".join(free), "0", "", "0"))
            if block.control:
                low, high = map(self.microseconds, block.control)
                told.append(("the same file twice", "", f"{low:.1f} to {high:.1f}", ""))
            for row in told:
                rows.append([*first, *row])
                first = ["", "", ""]
        return table(header, rows, right=(2, 4, 5, 6))

    def _figures(self, cost):
        if cost.share is None:
            return "failed", cost.reason, ""
        low, high = self.microseconds(cost.low or 0.0), self.microseconds(cost.high or 0.0)
        extra = f"{self.microseconds(cost.share):.1f}"
        return extra, f"{low:.1f} to {high:.1f}", f"{100 * cost.share:.2f}"

    def _words(self):
        size = "x".join(map(str, self.input_shape[:2]))
        said = (
            f"{self.network}, {size}, int8 for {self.target}: {self.network_ms:.3f} ms without SE. "
            f"{self.conditions.sentence()}"
        )
        if self.scales:
            each = (f"{name} {factor:.2f}" for name, factor in self.scales.items())
            said += f" In the whole network a block costs times: {', '.join(each)}."
        return said

    def _checks_table(self):
        header = ("check", "blocks with SE", "predicted, %", "measured, %", "copies", "error, %")
        rows = []
        for number, check in enumerate(self.checks, 1):
            count = sum(each is not None for row in check.se for each in row)
            interval = f"{100 * check.low:.1f} to {100 * check.high:.1f}"
            shares = (f"{100 * share:.1f}" for share in (check.predicted, check.measured))
            rows.append([number, count, *shares, interval, f"{100 * check.error:+.0f}"])
        return table(header, rows, right=range(6))

    @property
    def verdict(self) -> str:
        """Say whether the blocks' costs add up to those of whole networks."""
        good = sum(check.good for check in self.checks)
        near = sum(check.undecided for check in self.checks)
        said = (
            f"SE's share is predicted within {100 * WITHIN:.0f} % in {good} of "
            f"{len(self.checks)} networks"
        )
        said += f", and within what equal files differ by in {near} more" if near else ""
        if not self.off:
            return f"{said}."
        wrong = {n: f for n, f in self.factors.items() if abs(f - 1) > WITHIN}
        said += f". The costs do not add up in {', '.join(f'check {n}' for n in self.off)}: "
        if not wrong:
            return f"{said}no place alone explains it. Measure again, with more runs."
        each = (f"{factor:.2f} times at the place {name!r}" for name, factor in wrong.items())
        return f"{said}in whole networks SE costs {', '.join(each)}."
