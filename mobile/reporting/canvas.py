"""What all pictures share: paper, colours, legends; without pyplot: no window, no global state."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile.record import printable
from mobile.reporting.escaping import for_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY = "#222222", "#888888"
# Okabe and Ito's colours, which the colour-blind tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")


def mark(colour: str, filled: bool) -> dict[str, Any]:
    """Return how a point of a colour looks."""
    face = colour if filled else "white"
    style = {"marker": "o" if filled else "s", "markersize": 9, "linestyle": "none"}
    return {**style, "color": colour, "markerfacecolor": face}


def legend(axes: Axes, shown: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Draw a legend of (text, mark) beside the plot; matplotlib hides texts that begin with _."""
    handles = [axes.plot([], [], **style)[0] for _, style in shown]
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    drawn = axes.legend(handles, ["."] * len(handles), frameon=False, **beside)
    for place, (text, _) in zip(drawn.get_texts(), shown, strict=True):
        place.set_text(folded(text))


def folded(name: str, width: int = 28, most: int = 4) -> str:
    """Break a long name where a word ends, so that it leaves room for the plot."""
    lines = [""]
    for part in re.findall(rf"[^_\-. /,]{{1,{width}}}[_\-. /,]?|[_\-. /,]", printable(name)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    lines = lines if len(lines) <= most else [*lines[: most - 1], "..."]
    return "\n".join(for_picture(line.rstrip()) for line in lines)


def blank(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure of that size in inches, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns)
    for one in np.ravel(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(GREY)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a name in a script that the font lacks shows as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
