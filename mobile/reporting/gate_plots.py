"""The pictures of gates: what they do over images, and what folding them costs and saves."""

import math
from typing import Any

import numpy as np

from mobile.reporting import canvas
from mobile.reporting.escaping import for_picture

_MOST = 7  # classes in a legend


def gates(found: Any, columns: int = 3) -> bytes:
    """Draw the gates of each block, its channels in the order of their means.

    A line is the mean over images, the band one standard deviation; thin lines are the means of
    classes, where there are any (Hu et al., 2018, arXiv:1709.01507, figures 6 and 7).

    Args:
        found: What `keras_se.gates` found.
        columns: Panels side by side.
    """
    rows = math.ceil(len(found.blocks) / columns)
    width = min(columns, len(found.blocks))
    beside = 1.4 * bool(found.classes)  # for the legend
    figure, panels = canvas.blank(3.2 * width + beside, 0.6 + 2 * rows, rows, width)
    panels = np.ravel(panels)
    for axes, block in zip(panels, found.blocks, strict=False):
        order = np.argsort(block.mean, kind="stable")
        x, mean, spread = np.arange(len(order)), block.mean[order], block.spread[order]
        for colour, means in zip(_colours(found.classes), _lines(block), strict=True):
            axes.plot(x, means[order], color=colour, linewidth=0.6, alpha=0.7)
        axes.fill_between(x, mean - spread, mean + spread, color=canvas.GREY, alpha=0.35, lw=0)
        axes.plot(x, mean, color=canvas.INK, linewidth=1.2)
        shape = "x".join(map(str, block.shape))
        axes.set_title(for_picture(f"{block.name}, {shape}"), loc="left", fontsize=8)
        axes.text(
            0.98, 0.04, f"a constant leaves {block.error:.1%}", transform=axes.transAxes,
            ha="right", fontsize=7, color=canvas.GREY,
        )  # fmt: skip
        axes.set_ylim(min(-0.03, float((mean - spread).min())), max(1.03, float(mean.max())))
        axes.tick_params(labelsize=7)
        axes.grid(axis="y", alpha=0.25)
    for axes in panels[len(found.blocks) :]:
        axes.set_axis_off()
    if found.classes:
        colours = _colours(found.classes)
        shown = [(str(c), {"color": t}) for c, t in zip(found.classes, colours, strict=True)]
        if len(shown) > _MOST:
            shown = [*shown[:_MOST], (f"and {len(shown) - _MOST} more", {"color": "none"})]
        canvas.legend(panels[width - 1], shown)
    figure.supylabel("gate", fontsize=9)
    figure.supxlabel("channels, by their mean gate", fontsize=9)
    said = f"{found.model}: gates over {found.images} images (line: mean, band: deviation)"
    figure.suptitle(for_picture(said), fontsize=10)
    return canvas.png(figure)


def _colours(classes):
    return [canvas.PALETTE[i % len(canvas.PALETTE)] for i in range(len(classes))]


def _lines(block):
    return [] if block.class_means is None else block.class_means


def folding(record: Any) -> bytes:
    """Draw agreement against what folding saved, gate by gate.

    Args:
        record: What `mobile.fold_gates` recorded.
    """
    figure, axes = canvas.blank(7.6, 4.6)
    saved = [100 * record.saved(count) for count in range(len(record.folded) + 1)]
    blue, green = canvas.PALETTE[0], canvas.PALETTE[2]
    kept = [100.0, *(100 * gate.agreement for gate in record.folded)]
    axes.plot(saved, kept, "o-", color=blue, label="agreement with the model")
    if record.accuracy is not None:
        right = [100 * record.accuracy, *(100 * gate.accuracy for gate in record.folded)]
        axes.plot(saved, right, "s--", color=green, markersize=4, label="top-1 accuracy")
    for x, gate in zip(saved[1:], record.folded, strict=True):
        _label(axes, gate.block, x, 100 * gate.agreement, canvas.INK)
    whole = sum(record.saving(gate) for gate in record.gates)
    for gate in record.gates:
        if gate.order is None and gate.agreement is not None and whole:
            x = saved[-1] + 100 * record.saving(gate) / whole
            axes.plot(x, 100 * gate.agreement, "x", color=canvas.GREY, markersize=6)
            _label(axes, gate.block, x, 100 * gate.agreement, canvas.GREY)
    axes.plot([], [], "x", color=canvas.GREY, label="what one more would keep")
    if record.refitted is not None:
        axes.plot(saved[-1], 100 * record.refitted, "D", color=canvas.PALETTE[1],
                  label="after the kernels were fitted anew")  # fmt: skip
    if record.keep:
        axes.axhline(100 * record.keep, color=canvas.PALETTE[1], linewidth=1, linestyle=":")
    axes.legend(frameon=False, loc="lower left")
    kind = "multiplied elements" if record.device is None else f"time of SE on {record.device}"
    axes.set_xlabel(f"saved, % of the {kind}")
    axes.set_ylabel("%")
    axes.margins(x=0.12, y=0.15)  # room for the names
    axes.grid(alpha=0.25)
    said = f"{record.model}: gates folded one by one; {record.judged} images"
    axes.set_title(for_picture(said), loc="left", fontsize=10)
    return canvas.png(figure)


def _label(axes, name, x, y, colour):
    """Write a name above a point, slanted, so that neighbours do not cover it."""
    offset = {"xytext": (3, 4), "textcoords": "offset points", "rotation": 25}
    axes.annotate(for_picture(name), (x, y), fontsize=6, color=colour, **offset)
