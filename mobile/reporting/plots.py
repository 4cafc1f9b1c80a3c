"""The pictures of a report, drawn without pyplot: no window, no global state."""

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile.benchmarking.timings import Timings
from mobile.record import printable
from mobile.reporting.escaping import for_picture

_INK, _GREY = "#222222", "#888888"
# Okabe and Ito's colours, which the colour-blind tell apart.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
_DOTS = 2000  # of one model, at most


@dataclass(frozen=True)
class Point:
    """A file in the plot of accuracy; those of one label have one line in the legend.

    Args:
        label: What the legend says.
        median_ms: How fast it is.
        accuracy: Share of right answers.
        colour: Of the label.
        filled: Whether the mark is full; else it is a hollow square.
    """

    label: str
    median_ms: float
    accuracy: float
    colour: str
    filled: bool = True


def accuracy_against_latency(
    points: Sequence[Point],
    images: int | None = None,
    title: str = "",
    marks: Sequence[tuple[str, bool]] = (),
) -> bytes:
    """Draw one point a file; the bars span 95 % of what so many test images allow.

    Args:
        points: The files.
        images: On how many images their accuracy was found.
        title: What stands above.
        marks: What full and hollow marks mean: word and whether it is full.
    """
    figure, axes = _figure(7.2, 3.6 + 0.12 * len(points))
    for point in points:
        x, y = point.median_ms, 100 * point.accuracy
        if images:
            spread = [[abs(100 * end - y)] for end in _wilson(point.accuracy, images)]
            style = {"ecolor": point.colour, "elinewidth": 1, "capsize": 2, "alpha": 0.6}
            axes.errorbar(x, y, yerr=spread, fmt="none", **style)
        axes.plot(x, y, **_mark(point.colour, point.filled))
    colours = {point.label: point.colour for point in points}
    shown = [(label, _mark(colour, True)) for label, colour in colours.items()]
    shown += [(label, _mark(_GREY, filled)) for label, filled in marks]
    _legend(axes, shown)
    axes.set_xlabel("latency p50, ms (left is faster)")
    axes.set_ylabel("test accuracy, %")
    axes.set_xlim(0, 1.1 * max(point.median_ms for point in points))
    axes.grid(alpha=0.25)
    said = f"{images:,} test images; bars: 95 % intervals" if images else "accuracy as given"
    axes.set_title(_titled(title, said), loc="left", fontsize=10)
    return _png(figure)


def latency_distributions(
    timings: Timings,
    label: Callable[[str], str] = str,
    colour: Callable[[str], str] | None = None,
    title: str = "",
) -> bytes:
    """Draw every raw time as a dot, with median and the middle 80 % on top.

    Args:
        timings: The times.
        label: Name of a model to what the axis says.
        colour: Name of a model to its colour; by default each has one of its own.
        title: What stands above.
    """
    models = timings.models
    colour = colour or own_colours([m.control_of or m.name for m in models])
    figure, axes = _figure(7.2, 1.3 + 0.5 * len(models))
    random = np.random.default_rng(0)
    for line, model in enumerate(reversed(models)):
        times = np.asarray(model.times_ms)
        shown = times if times.size <= _DOTS else random.choice(times, _DOTS, replace=False)
        jitter = line + random.uniform(-0.28, 0.28, len(shown))
        tint = colour(model.control_of or model.name)
        axes.plot(shown, jitter, ".", color=tint, markersize=3, alpha=0.35, mew=0)
        low, middle, high = np.percentile(times, [10, 50, 90])
        axes.plot([low, high], [line, line], color=_INK, linewidth=1.5, solid_capstyle="butt")
        axes.plot([middle, middle], [line - 0.33, line + 0.33], color=_INK, linewidth=2)
    names = [
        f"{label(m.control_of)}, again (control)" if m.control_of else label(m.name)
        for m in reversed(models)
    ]
    axes.set_yticks(range(len(models)), [_folded(name) for name in names])
    axes.set_ylim(-0.6, len(models) - 0.4)
    low = min(min(m.times_ms) for m in models)
    high = max(np.percentile(m.times_ms, 98) for m in models)
    if high / low > 3:
        low, high = low * 0.9, high * 1.3
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        _plain_log_ticks(axes, low, high)
        axes.set_xlabel("latency, ms (logarithmic)")
    else:
        margin = 0.06 * (high - low) or 0.1 * high
        low, high = low - margin, high + 2 * margin
        axes.set_xlim(low, high)
        axes.set_xlabel("latency, ms (the axis does not begin at 0)")
    beyond = sum(int((np.asarray(m.times_ms) > high).sum()) for m in models)
    said = "Line: 10 to 90 % of the runs; tick: median"
    said += f"; {beyond} slower not shown" * (beyond > 0)
    axes.set_title(_titled(title, said), loc="left", fontsize=10)
    axes.grid(axis="x", which="both", alpha=0.25)
    return _png(figure)


def costs_by_stage(
    counted: dict[str, Any], label: Callable[[str], str], colour: Callable[[str], str]
) -> bytes:
    """Draw parameters and multiply-adds by resolution, SE's part darker, for each network.

    Args:
        counted: Name of a network to its `keras_se.complexity`.
        label: Name of a network to what the legend says.
        colour: Name of a network to its colour.
    """
    figure, panels = _figure(7.2, 5.4, rows=2)
    costly = [row for c in counted.values() for row in c.layers if row.params or row.macs]
    sizes = list(dict.fromkeys(_resolution(row) for row in costly))
    for axes, field, title in zip(
        panels, ("params", "macs"), ("Parameters", "Multiply-adds"), strict=True
    ):
        width = 0.8 / len(counted)
        for i, (name, complexity) in enumerate(counted.items()):
            everything = _sums(complexity, field, sizes, lambda row: True)
            se = _sums(complexity, field, sizes, lambda row: row.is_se)
            x = np.arange(len(sizes)) + (i - (len(counted) - 1) / 2) * width
            axes.bar(x, everything, width * 0.92, color=colour(name), alpha=0.45)
            axes.bar(x, se, width * 0.92, color=colour(name))
        axes.set_xticks(range(len(sizes)), [s or "after pooling" for s in sizes])
        axes.set_ylabel("thousands" if field == "params" else "millions")
        axes.set_title(f"{title}, by the size of the layer's output; solid: SE", loc="left")
        axes.grid(axis="y", alpha=0.25)
    _legend(panels[0], [(label(name), _mark(colour(name), True)) for name in counted])
    return _png(figure)


def sensitivity(found: Any, named: int = 4) -> bytes:
    """Draw what quantising each layer costs, in the order of the network.

    Args:
        found: A `Sensitivity`.
        named: How many layers of each panel are named.
    """
    figure, panels = _figure(9.0, 6.4, rows=2)
    places = np.arange(len(found.layers))
    alone = np.array([cost.alone_db for cost in found.layers])
    gained = np.array([cost.without_db for cost in found.layers]) - found.all_db
    panels[0].plot(places, alone, "o", color=_PALETTE[0], markersize=4)
    panels[0].set_title("That layer alone in int8: low is bad", loc="left", fontsize=10)
    panels[0].set_ylabel("signal to noise, dB")
    panels[0].axhline(found.all_db, color=_GREY, linewidth=1, linestyle="--")
    panels[0].text(0, found.all_db, " all layers in int8", color=_GREY, va="bottom", fontsize=8)
    colours = np.where(gained > 0, _PALETTE[2], _PALETTE[1])
    panels[1].bar(places, gained, 0.9, color=colours)
    panels[1].set_title("All in int8 but that layer: high is worth it", loc="left", fontsize=10)
    panels[1].set_ylabel("dB gained")
    panels[1].set_xlabel(f"layer, from the input to the output; {found.images} images")
    worst = np.argsort(alone, kind="stable")[:named], np.argsort(-gained, kind="stable")[:named]
    for axes, values, chosen in zip(panels, (alone, gained), worst, strict=True):
        axes.grid(axis="y", alpha=0.25)
        axes.margins(y=0.12)
        for place in chosen:
            _name(axes, found.layers[place].layer, place, values[place], len(places))
    return _png(figure)


def gates(found, columns=3) -> bytes:
    """Draw the gates of each block, its channels in the order of their means.

    A line is the mean over images, the band one standard deviation; thin lines are the means of
    classes, where there are any (Hu et al., 2018, arXiv:1709.01507, figures 6 and 7).

    Args:
        found: What `keras_se.gates` found.
        columns: Panels side by side.
    """
    rows = math.ceil(len(found.blocks) / columns)
    width = min(columns, len(found.blocks))
    figure, panels = _figure(3.2 * width, 0.6 + 2.0 * rows, rows, width)
    panels = np.ravel(panels)
    for axes, block in zip(panels, found.blocks, strict=False):
        order = np.argsort(block.mean, kind="stable")
        x, mean, spread = np.arange(len(order)), block.mean[order], block.spread[order]
        for place, means in enumerate([] if block.class_means is None else block.class_means):
            tint = _PALETTE[place % len(_PALETTE)]
            axes.plot(x, means[order], color=tint, linewidth=0.6, alpha=0.7)
        axes.fill_between(x, mean - spread, mean + spread, color=_GREY, alpha=0.35, linewidth=0)
        axes.plot(x, mean, color=_INK, linewidth=1.2)
        axes.set_title(f"{block.name}, {'x'.join(map(str, block.shape))}", loc="left", fontsize=8)
        axes.text(
            0.98, 0.04, f"a constant leaves {block.error:.1%}", transform=axes.transAxes,
            ha="right", fontsize=7, color=_GREY,
        )  # fmt: skip
        axes.set_ylim(min(-0.03, float((mean - spread).min())), max(1.03, float(mean.max())))
        axes.tick_params(labelsize=7)
        axes.grid(axis="y", alpha=0.25)
    for axes in panels[len(found.blocks) :]:
        axes.set_axis_off()
    for place, label in enumerate(found.classes[: len(_PALETTE)]):
        panels[0].plot([], [], color=_PALETTE[place], linewidth=1.5, label=str(label))
    if found.classes:
        more = len(found.classes) > len(_PALETTE)
        title = f"{len(found.classes)} classes" if more else None
        panels[0].legend(fontsize=6, title=title, title_fontsize=6, frameon=False)
    figure.supylabel("gate", fontsize=9)
    figure.supxlabel("channels, by their mean gate", fontsize=9)
    said = f"{found.model}: gates over {found.images} images (line: mean, band: deviation)"
    figure.suptitle(said, fontsize=10)
    return _png(figure)


def gate_folding(record) -> bytes:
    """Draw agreement against what folding saved, gate by gate.

    Args:
        record: What `mobile.fold_gates` recorded.
    """
    figure, axes = _figure(7.6, 4.6)
    saved = [100 * record.saved(count) for count in range(len(record.folded) + 1)]
    axes.plot(
        saved, [100.0, *(100 * gate.agreement for gate in record.folded)], "o-", color=_PALETTE[0],
        label="agreement with the model",
    )  # fmt: skip
    if record.accuracy is not None:
        right = [100 * record.accuracy, *(100 * gate.accuracy for gate in record.folded)]
        axes.plot(saved, right, "s--", color=_PALETTE[2], markersize=4, label="top-1 accuracy")
    for x, gate in zip(saved[1:], record.folded, strict=True):
        _label(axes, gate.block, x, 100 * gate.agreement, _INK)
    whole = sum(record.saving(gate) for gate in record.gates)
    for gate in record.gates:
        if gate.order is None and gate.agreement is not None and whole:
            x = saved[-1] + 100 * record.saving(gate) / whole
            axes.plot(x, 100 * gate.agreement, "x", color=_GREY, markersize=6)
            _label(axes, gate.block, x, 100 * gate.agreement, _GREY)
    axes.plot([], [], "x", color=_GREY, label="what one more would keep")
    if record.keep:
        axes.axhline(100 * record.keep, color=_PALETTE[1], linewidth=1, linestyle=":")
    axes.legend(frameon=False, loc="lower left")
    kind = "multiplied elements" if record.device is None else f"time of SE on {record.device}"
    axes.set_xlabel(f"saved, % of the {kind}")
    axes.set_ylabel("%")
    axes.margins(x=0.12)
    axes.grid(alpha=0.25)
    said = f"{record.model}: gates folded one by one; {record.judged} images"
    axes.set_title(said, loc="left", fontsize=10)
    return _png(figure)


def _label(axes, name, x, y, colour):
    """Write a name above a point, slanted, so that neighbours do not cover it."""
    axes.annotate(
        name, (x, y), (3, 4), textcoords="offset points", fontsize=6, color=colour, rotation=25
    )


def _name(axes, name, x, y, width):
    """Write a name beside a point, on the side where there is room."""
    right = x < 0.6 * width
    axes.annotate(
        _folded(name),
        (x, y),
        (6 if right else -6, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=7,
    )


def own_colours(names: Sequence[str]) -> Callable[[str], str]:
    """Return a function from name to colour, the same for the same name."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return lambda name: _PALETTE[places[name] % len(_PALETTE)]


def _mark(colour, filled):
    """Return how a point of a colour looks."""
    face = colour if filled else "white"
    style = {"marker": "o" if filled else "s", "markersize": 9, "linestyle": "none"}
    return {**style, "color": colour, "markerfacecolor": face}


def _legend(axes, shown):
    """Draw a legend of (text, mark) beside the plot; matplotlib hides texts that begin with _."""
    handles = [axes.plot([], [], **mark)[0] for _, mark in shown]
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    legend = axes.legend(handles, ["."] * len(handles), frameon=False, **beside)
    for place, (text, _) in zip(legend.get_texts(), shown, strict=True):
        place.set_text(_folded(text))


def _titled(title, said):
    return f"{_folded(title, 80, 2)}\n{said}" if title else said


def _folded(name, width=28, most=4):
    """Break a long name where a word ends, so that it leaves room for the plot."""
    lines = [""]
    for part in re.findall(rf"[^_\-. /,]{{1,{width}}}[_\-. /,]?|[_\-. /,]", printable(name)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    lines = lines if len(lines) <= most else [*lines[: most - 1], "..."]
    return "\n".join(for_picture(line.rstrip()) for line in lines)


def _sums(complexity, field, sizes, chosen):
    unit = 1e3 if field == "params" else 1e6
    sums = dict.fromkeys(sizes, 0.0)
    for row in complexity.layers:
        if chosen(row):
            size = _resolution(row)
            sums[size] = sums.get(size, 0.0) + getattr(row, field) / unit
    return [sums[size] for size in sizes]


def _resolution(row):
    """Return `24x24` for a map, and nothing for a vector or a 1x1 map."""
    sides = [side for side in row.output_shape[1:-1] if side is not None]
    return "x".join(map(str, sides)) if sides and max(sides) > 1 else ""


def _wilson(share, count, z=1.96):
    """Return the 95 % interval of a share found on `count` images (Wilson, 1927)."""
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return middle - half, middle + half


def _plain_log_ticks(axes, low, high):
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [
        m * 10.0**e for e in exponents for m in (1, 1.5, 2, 3, 5, 7) if low <= m * 10.0**e <= high
    ]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _figure(width, height, rows=1, columns=1):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns)
    for one in np.ravel(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(_GREY)
    return figure, axes


def _png(figure):
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a name in a script that the font lacks shows as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
