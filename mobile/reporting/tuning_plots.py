"""The picture of a tuning: what SE buys for its time, and what was compared to find out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mobile.reporting import canvas
from mobile.reporting.escaping import for_picture


def tradeoff(found: Any) -> bytes:
    """Draw accuracy against time of the finalists, and loss against predicted time of all.

    Bars are 95 % intervals: of time, and of the gain over the network without SE, paired by seed,
    as the spread that all networks of a seed share tells none from another. The step line joins
    the networks that no other beats in both.

    Args:
        found: What `mobile.tune` returned.
    """
    timed = [each for each in found.finalists if each.time_ms is not None]
    panels = bool(timed) + bool(found.evaluations)
    figure, axes = canvas.blank(8.6, 0.5 + 4 * max(panels, 1), max(panels, 1), 1)
    panels = list(np.ravel(axes))
    if timed:
        _finalists(panels.pop(0), found, timed)
    if found.evaluations:
        _evaluations(panels.pop(0), found)
    size = "x".join(map(str, found.input_shape[:2]))
    said = f"{found.network}, {size}, on {found.data}: SE in int8 ({found.conditions.label})"
    figure.suptitle(for_picture(said), fontsize=10)
    return canvas.png(figure)


def _finalists(axes, found, timed):
    shown, without = [], found.of_role("without")
    for one, colour in zip(timed, _colours(timed), strict=True):
        mean = 100 * one.int8_accuracy[0]
        style = {"fmt": "none", "ecolor": colour, "elinewidth": 1, "capsize": 2, "alpha": 0.7}
        across = None
        if one.time is not None:
            unit = one.time_ms / one.time.value
            low, high = unit * one.time.low, unit * one.time.high
            across = [[max(one.time_ms - low, 0)], [max(high - one.time_ms, 0)]]
        along = one.gain(without[0]).half if without and one is not without[0] else math.inf
        axes.errorbar(
            one.time_ms, mean, yerr=None if math.isinf(along) else along, xerr=across, **style
        )
        mark = {**canvas.mark(colour, one.role == "tuned"), "markersize": 7}
        axes.plot(one.time_ms, mean, zorder=3, **mark)
        shown.append((one.name, mark))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 101))  # what two seeds leave open can go beyond
    frontier = [one for one in found.frontier if one.time_ms is not None]
    line = {"color": canvas.GREY, "linewidth": 1, "linestyle": "-", "zorder": 1}
    axes.step(
        [one.time_ms for one in frontier],
        [100 * one.int8_accuracy[0] for one in frontier],
        where="post",
        **line,
    )
    shown.append(("beaten by none", line))
    if without and without[0].time_ms is not None:
        shown.append(_budget(axes, found, without[0].time_ms * (1 + found.budget)))
    canvas.legend(axes, shown)
    seeds = min(len(one.trained) for one in timed)
    said = f"trained alone, {seeds} seed{'s' * (seeds > 1)}"
    said += "; bars: 95 %, upright of the gain over no SE" * (seeds > 1)
    axes.set_title(said, loc="left", fontsize=9)
    axes.set_xlabel("int8 time, ms (left is faster)")
    axes.set_ylabel("int8 test accuracy, %")
    axes.grid(alpha=0.25)


def _evaluations(axes, found):
    tuned = [one.configuration for one in found.of_role("tuned")]
    proposers = list(dict.fromkeys(each.by for each in found.evaluations))
    shown = []
    for number, by in enumerate(proposers):
        mark = {"marker": "o", "linestyle": "none", "markersize": 4, "markeredgewidth": 0}
        mark |= {"color": canvas.PALETTE[number % len(canvas.PALETTE)], "alpha": 0.6}
        points = [(100 * e.share, e.loss) for e in found.evaluations if e.by == by]
        axes.plot(*zip(*points, strict=True), **mark)
        shown.append((by, mark))
    chosen = [(100 * e.share, e.loss) for e in found.evaluations if e.configuration in tuned]
    if chosen:
        ring = {"marker": "o", "linestyle": "none", "markersize": 11, "color": canvas.INK}
        ring |= {"markerfacecolor": "none"}
        axes.plot(*zip(*chosen, strict=True), **ring)
        shown.append(("chosen", ring))
    shown.append(_budget(axes, found, 100 * found.budget))
    canvas.legend(axes, shown)
    count = len(found.evaluations)
    axes.set_title(f"in the supernet, {count} configurations", loc="left", fontsize=9)
    axes.set_xlabel("predicted extra time, % of the network without SE")
    axes.set_ylabel("validation loss (lower is better)")
    axes.grid(alpha=0.25)


def _budget(axes, found, x):
    """Draw the budget as a line; return its entry in the legend."""
    style = {"color": canvas.INK, "linewidth": 1, "linestyle": ":"}
    axes.axvline(x, **style)
    return f"budget, {100 * found.budget:.1f} % more", style


def _colours(finalists):
    return [canvas.PALETTE[i % len(canvas.PALETTE)] for i in range(len(finalists))]
