"""The pictures of a report, drawn without pyplot: no window, no global state."""

import io
import math

import numpy as np

_INK, _GREY = "#222222", "#888888"


def accuracy_against_latency(results, label, colour) -> bytes:
    """Draw one point a .tflite file; the bars span 95 % of what this many test images allow."""
    figure, axes = _figure(7.2, 4.4)
    images = results.data["test_images"]
    rows = [r for r in results.rows() if r["median_ms"] is not None]
    for row in rows:
        x, y = row["median_ms"], 100 * row["accuracy"]
        spread = [[abs(100 * end - y)] for end in _wilson(row["accuracy"], images)]
        full = row["scheme"] == "int8"
        tint = colour(row["network"])
        axes.errorbar(
            x, y, yerr=spread, fmt="none", ecolor=tint, elinewidth=1, capsize=2, alpha=0.6
        )
        face = tint if full else "white"
        axes.plot(x, y, "o" if full else "s", markersize=9, color=tint, markerfacecolor=face)
    for network in dict.fromkeys(row["network"] for row in rows):
        axes.plot([], [], "o", markersize=9, color=colour(network), label=label(network))
    axes.plot([], [], "o", markersize=9, color=_GREY, label="int8")
    axes.plot([], [], "s", markersize=9, color=_GREY, markerfacecolor="white", label="float32")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlabel("latency p50, ms (left is faster)")
    axes.set_ylabel("test accuracy, %")
    axes.set_xlim(0, 1.1 * max(r["median_ms"] for r in rows))
    axes.grid(alpha=0.25)
    axes.set_title(f"{images} test images; bars: 95 % intervals", loc="left")
    return _png(figure)


def latency_distributions(results, label, colour) -> bytes:
    """Draw every raw time as a dot, with median and the middle 80 % on top."""
    models = [m for m in results.timings.models if m.times_ms]
    figure, axes = _figure(7.2, 1.2 + 0.5 * len(models))
    random = np.random.default_rng(0)
    for line, model in enumerate(reversed(models)):
        times = np.asarray(model.times_ms)
        jitter = line + random.uniform(-0.28, 0.28, len(times))
        axes.plot(times, jitter, ".", color=colour(model.name), markersize=3, alpha=0.35, mew=0)
        low, middle, high = np.percentile(times, [10, 50, 90])
        axes.plot([low, high], [line, line], color=_INK, linewidth=1.5, solid_capstyle="butt")
        axes.plot([middle, middle], [line - 0.33, line + 0.33], color=_INK, linewidth=2)
    names = [
        f"{label(m.control_of)}, again (control)" if m.control_of else label(m.name)
        for m in reversed(models)
    ]
    axes.set_yticks(range(len(models)), names)
    every = np.concatenate([m.times_ms for m in models])
    low, high = np.percentile(every, [0, 98])
    axes.set_xscale("log")
    axes.set_xlim(low * 0.9, high * 1.3)
    _plain_log_ticks(axes, low * 0.9, high * 1.3)
    beyond = int((every > high * 1.3).sum())
    axes.set_xlabel("latency, ms (logarithmic)")
    axes.set_title(
        "Line: 10 to 90 % of the runs; tick: median"
        + f"; {beyond} slower not shown" * (beyond > 0),
        loc="left",
        fontsize=10,
    )
    axes.grid(axis="x", which="both", alpha=0.25)
    return _png(figure)


def costs_by_stage(results, label, colour) -> bytes:
    """Draw parameters and multiply-adds by resolution, SE's part darker, for each network."""
    from keras_se.complexity import Complexity

    figure, panels = _figure(7.2, 5.4, rows=2)
    counted = [(n.name, Complexity.from_dict(n.complexity)) for n in results.networks]
    costly = [row for row in counted[0][1].layers if row.params or row.macs]
    sizes = list(dict.fromkeys(_resolution(row) for row in costly))
    for axes, field, title in zip(
        panels, ("params", "macs"), ("Parameters", "Multiply-adds"), strict=True
    ):
        width = 0.8 / len(counted)
        for i, (name, complexity) in enumerate(counted):
            everything = _sums(complexity, field, sizes, lambda row: True)
            se = _sums(complexity, field, sizes, lambda row: row.is_se)
            x = np.arange(len(sizes)) + (i - (len(counted) - 1) / 2) * width
            axes.bar(x, everything, width * 0.92, color=colour(name), alpha=0.45, label=label(name))
            axes.bar(x, se, width * 0.92, color=colour(name))
        axes.set_xticks(range(len(sizes)), [s or "after pooling" for s in sizes])
        axes.set_ylabel("thousands" if field == "params" else "millions")
        axes.set_title(f"{title}, by the size of the layer's output; solid: SE", loc="left")
        axes.grid(axis="y", alpha=0.25)
    panels[0].legend(frameon=False)
    return _png(figure)


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


def _figure(width, height, rows=1):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(_GREY)
    return figure, axes


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
