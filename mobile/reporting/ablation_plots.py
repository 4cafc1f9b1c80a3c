"""The picture of an ablation: gain and extra time of each variant over the network without SE."""

from __future__ import annotations

import math
from typing import Any

from mobile.reporting import canvas
from mobile.reporting.escaping import for_picture


def variants(found: Any) -> bytes:
    """Draw each variant's gain in int8 accuracy and its extra time, with 95 % intervals.

    Args:
        found: What `mobile.ablate` returned.
    """
    names, without = [one.name for one in found.variants], found.networks[0]
    figure, (left, right) = canvas.blank(9.0, 1.4 + 0.42 * len(names), 1, 2)
    for number, one in enumerate(found.variants):
        gain = one.gain(without)
        half = None if math.isinf(gain.half) else gain.half
        style = {"fmt": "o", "color": canvas.PALETTE[0], "elinewidth": 1, "capsize": 2}
        left.errorbar(gain.points, number, xerr=half, **style)
        if one.time is not None:
            value, low, high = (
                100 * (x - 1) for x in (one.time.value, one.time.low, one.time.high)
            )
            bars = [[max(value - low, 0)], [max(high - value, 0)]]
            right.errorbar(value, number, xerr=bars, **style | {"color": canvas.PALETTE[1]})
    for axes in (left, right):
        axes.axvline(0, color=canvas.INK, linewidth=1, linestyle=":")
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(alpha=0.25, axis="x")
    left.set_yticks(range(len(names)), [canvas.folded(name) for name in names])
    right.set_yticks(range(len(names)), [""] * len(names))
    left.set_xlabel("int8 accuracy over no SE, points")
    right.set_xlabel("int8 time over no SE, % more")
    seeds = min(len(one.trained) for one in found.networks)
    said = f"{found.question}: {found.network} on {found.data}, {seeds} seed{'s' * (seeds > 1)}"
    figure.suptitle(for_picture(f"{said} ({found.conditions.label})"), fontsize=10)
    return canvas.png(figure)
