"""The pictures of a report, drawn without pyplot: no window, no global state."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile.benchmarking.timings import Timings
from mobile.reporting import canvas

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
    figure, axes = canvas.blank(7.2, 3.6 + 0.12 * len(points))
    for point in points:
        x, y = point.median_ms, 100 * point.accuracy
        if images:
            spread = [[abs(100 * end - y)] for end in _wilson(point.accuracy, images)]
            style = {"ecolor": point.colour, "elinewidth": 1, "capsize": 2, "alpha": 0.6}
            axes.errorbar(x, y, yerr=spread, fmt="none", **style)
        axes.plot(x, y, **canvas.mark(point.colour, point.filled))
    colours = {point.label: point.colour for point in points}
    shown = [(label, canvas.mark(colour, True)) for label, colour in colours.items()]
    shown += [(label, canvas.mark(canvas.GREY, filled)) for label, filled in marks]
    canvas.legend(axes, shown)
    axes.set_xlabel("latency p50, ms (left is faster)")
    axes.set_ylabel("test accuracy, %")
    axes.set_xlim(0, 1.1 * max(point.median_ms for point in points))
    axes.grid(alpha=0.25)
    said = f"{images:,} test images; bars: 95 % intervals" if images else "accuracy as given"
    axes.set_title(_titled(title, said), loc="left", fontsize=10)
    return canvas.png(figure)


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
    figure, axes = canvas.blank(7.2, 1.3 + 0.5 * len(models))
    random = np.random.default_rng(0)
    for line, model in enumerate(reversed(models)):
        times = np.asarray(model.times_ms)
        shown = times if times.size <= _DOTS else random.choice(times, _DOTS, replace=False)
        jitter = line + random.uniform(-0.28, 0.28, len(shown))
        tint = colour(model.control_of or model.name)
        axes.plot(shown, jitter, ".", color=tint, markersize=3, alpha=0.35, mew=0)
        low, middle, high = np.percentile(times, [10, 50, 90])
        axes.plot([low, high], [line, line], color=canvas.INK, linewidth=1.5, solid_capstyle="butt")
        axes.plot([middle, middle], [line - 0.33, line + 0.33], color=canvas.INK, linewidth=2)
    names = [
        f"{label(m.control_of)}, again (control)" if m.control_of else label(m.name)
        for m in reversed(models)
    ]
    axes.set_yticks(range(len(models)), [canvas.folded(name) for name in names])
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
    return canvas.png(figure)


def costs_by_stage(
    counted: dict[str, Any], label: Callable[[str], str], colour: Callable[[str], str]
) -> bytes:
    """Draw parameters and multiply-adds by resolution, SE's part darker, for each network.

    Args:
        counted: Name of a network to its `keras_se.complexity`.
        label: Name of a network to what the legend says.
        colour: Name of a network to its colour.
    """
    figure, panels = canvas.blank(7.2, 5.4, rows=2)
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
    canvas.legend(panels[0], [(label(name), canvas.mark(colour(name), True)) for name in counted])
    return canvas.png(figure)


def sensitivity(found: Any, named: int = 4) -> bytes:
    """Draw what quantising each layer costs, in the order of the network.

    Args:
        found: A `Sensitivity`.
        named: How many layers of each panel are named.
    """
    figure, panels = canvas.blank(9.0, 6.4, rows=2)
    places = np.arange(len(found.layers))
    alone = np.array([cost.alone_db for cost in found.layers])
    gained = np.array([cost.without_db for cost in found.layers]) - found.all_db
    panels[0].plot(places, alone, "o", color=canvas.PALETTE[0], markersize=4)
    panels[0].set_title("That layer alone in int8: low is bad", loc="left", fontsize=10)
    panels[0].set_ylabel("signal to noise, dB")
    panels[0].axhline(found.all_db, color=canvas.GREY, linewidth=1, linestyle="--")
    panels[0].text(
        0, found.all_db, " all layers in int8", color=canvas.GREY, va="bottom", fontsize=8
    )
    colours = np.where(gained > 0, canvas.PALETTE[2], canvas.PALETTE[1])
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
    return canvas.png(figure)


def _name(axes, name, x, y, width):
    """Write a name beside a point, on the side where there is room."""
    right = x < 0.6 * width
    axes.annotate(
        canvas.folded(name),
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
    return lambda name: canvas.PALETTE[places[name] % len(canvas.PALETTE)]


def _titled(title, said):
    return f"{canvas.folded(title, 80, 2)}\n{said}" if title else said


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
