"""The picture of a profile: what SE costs in each block, and whether predictions hold."""

from typing import Any

import numpy as np

from mobile.reporting import canvas
from mobile.reporting.escaping import for_picture

_HATCHES = ("", "/////", ".....", "xxxxx")  # by kind; the colour is the place's


def costs(found: Any) -> bytes:
    """Draw what each variant adds to each block, in bars with 95 % intervals, and the checks.

    Args:
        found: What `mobile.profile` returned.
    """
    timed = [cost for block in found.blocks for cost in block.costs if cost.share]
    variants = list(dict.fromkeys(cost.name for cost in timed))
    width = max(7.0, 0.06 * len(found.blocks) * (len(variants) + 2))
    checks = bool(found.checks)
    figure, axes = canvas.blank(width + 2.2, 4.2 + 3.4 * checks, 1 + checks, 1)
    bars, scatter = np.ravel(axes) if checks else (axes, None)
    _bars(bars, found, variants)
    if scatter is not None:
        _checks(scatter, found)
    size = "x".join(map(str, found.input_shape[:2]))
    said = f"{found.network}, {size}: what SE adds in int8 ({found.conditions.label})"
    figure.suptitle(for_picture(said), fontsize=10)
    return canvas.png(figure)


def _bars(axes, found, variants):
    from matplotlib.patches import Patch

    step = 1 / (len(variants) + 1.5)
    kinds, places = (list(dict.fromkeys(name.split()[i] for name in variants)) for i in (0, 1))
    shown = []
    for number, name in enumerate(variants):
        kind, at = name.split()
        colour = canvas.PALETTE[places.index(at) % len(canvas.PALETTE)]
        style = {"facecolor": colour, "alpha": 1 - 0.25 * kinds.index(kind)}
        style |= {"hatch": _HATCHES[kinds.index(kind) % len(_HATCHES)]}
        for place, block in enumerate(found.blocks):
            for cost in block.costs:
                if cost.name == name and cost.share is not None and not cost.free:
                    x = place + (number - (len(variants) - 1) / 2) * step
                    height, low, high = map(found.microseconds, (cost.share, cost.low, cost.high))
                    axes.bar(x, height, step, edgecolor="white", linewidth=0.3, **style)
                    axes.plot([x, x], [low, high], color=canvas.INK, linewidth=0.7)
        shown.append(Patch(edgecolor="white", **style))
    axes.set_xticks(range(len(found.blocks)))
    labels = [f"{for_picture(b.name)}\n{'x'.join(map(str, b.shape))}" for b in found.blocks]
    axes.set_xticklabels(labels, fontsize=7, rotation=30, ha="right")
    axes.set_ylabel("extra microseconds")
    axes.axhline(0, color=canvas.GREY, linewidth=0.8)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(shown, variants, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _checks(axes, found):
    measured = np.array([100 * check.measured for check in found.checks])
    predicted = [100 * check.predicted for check in found.checks]
    low = measured - [100 * check.low for check in found.checks]
    high = [100 * check.high for check in found.checks] - measured
    most = 1.1 * max([*measured, *predicted, 1e-9])
    line = np.array([0, most])
    axes.fill_between(line, 0.85 * line, 1.15 * line, color=canvas.GREY, alpha=0.2, linewidth=0)
    axes.plot(line, line, color=canvas.GREY, linewidth=0.8)
    axes.errorbar(
        measured,
        predicted,
        xerr=np.maximum([low, high], 0),
        fmt="o",
        color=canvas.PALETTE[0],
        elinewidth=1,
    )
    axes.set_xlabel("SE's share of the time without SE, measured on whole networks, %")
    axes.set_ylabel("predicted from its blocks, %")
    axes.grid(alpha=0.25)
