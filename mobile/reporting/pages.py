"""What a report is before any format: a page of tables in words, plain rows, and pictures."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Headers of columns that hold words, not numbers.
WORDS = ("model", "kind", "operator", "on the CPU", "makes", "why", "SE", "device", "accelerator")
WORDS += ("network", "scheme", "form", "", "source", "block", "it is")


@dataclass(frozen=True)
class Picture:
    """A picture, drawn when it is first wanted.

    Args:
        file: Name of its file.
        title: What it shows.
        draw: Gives the PNG.
    """

    file: str
    title: str
    draw: Callable[[], bytes]

    @property
    def png(self) -> bytes | None:
        """The picture, or None where it cannot be drawn: `problem` says why."""
        return self._drawn[0]

    @property
    def problem(self) -> str:
        """Why it cannot be drawn, if so."""
        return self._drawn[1]

    @functools.cached_property
    def _drawn(self):
        try:
            return self.draw(), ""
        except Exception as error:  # of whatever kind: the figures are worth more than a picture
            problem = (
                f"A picture could not be drawn: {self.title}. {type(error).__name__}: {error}. "
                f"Every number is in the tables and in the JSON."
            )
            warnings.warn(problem, stacklevel=4)
            return None, problem


@dataclass(frozen=True)
class Sheet:
    """A table in words.

    Args:
        title: What stands above it.
        header: The columns; none where the sheet is its caption alone.
        rows: The cells.
        caption: What stands below.
        warnings: What stands below that, a line each.
        strong: Numbers of the rows to stress.
        spare: Columns that a narrow terminal goes without, the first one first.
        pictures: What the page shows below it.
        shown: `everywhere`; `page`, in HTML alone; or `folded`, there behind its title.
    """

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    caption: str = ""
    warnings: tuple[str, ...] = ()
    strong: tuple[int, ...] = ()
    spare: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    shown: str = "everywhere"


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: What it is of.
        summary: One sentence below that.
        sheets: Its tables.
        rows: The same as plain numbers, for CSV: header to value.
    """

    title: str
    summary: str
    sheets: tuple[Sheet, ...]
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def pictures(self) -> list[Picture]:
        """All pictures that could be drawn."""
        return [each for sheet in self.sheets for each in sheet.pictures if each.png is not None]


def facts(title: str, values: dict[str, Any]) -> Sheet:
    """Return what is known of some names as a folded sheet, two columns."""
    said = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in values.items()}
    rows = ((name, str(value)) for name, value in said.items() if value not in (None, ""))
    return Sheet(title, ("", ""), tuple(rows), shown="folded")


def share(part: float, whole: float) -> float | None:
    """Return part over whole, or None where there is no whole."""
    return part / whole if whole else None
