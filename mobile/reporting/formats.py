"""A page in each format: for the terminal, as Markdown, CSV and HTML."""

import base64
import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobile.reporting import escaping
from mobile.reporting.pages import WORDS, Page, Sheet

_FOLDED = 44  # a column of words this wide may fold before another goes
_NARROW = 16  # what it may fold to where the figures still do not fit


def to_rich(sheet: Sheet, width: int = 160) -> Any:
    """Return a sheet as a renderable for a terminal of that many columns.

    Columns that can be done without go until the rest fits. What still does not continues in a
    second table, after the columns of words.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    sheet = _printable(sheet)
    kept = list(range(len(sheet.header)))
    for name in sheet.spare:
        if _natural_width(sheet, kept) <= width:
            break
        kept = [i for i in kept if sheet.header[i] != name]
    caption = sheet.caption
    if len(kept) < len(sheet.header):
        gone = [h for i, h in enumerate(sheet.header) if i not in kept]
        caption += f" Left out, this terminal being narrow: {', '.join(gone)}."
    pieces, parts = _pieces(sheet, kept, width), []
    for columns in pieces if sheet.header else ():
        table = Table(
            title=Text(sheet.title) if sheet.title and columns is pieces[0] else None,
            caption=Text(caption) if caption and columns is pieces[-1] else None,
            caption_justify="left",
        )
        for i in columns:
            table.add_column(
                Text(sheet.header[i]),
                justify="left" if sheet.header[i] in WORDS else "right",
                overflow="fold",
                no_wrap=not _may_wrap(sheet.header[i]),
            )
        for number, row in enumerate(sheet.rows):
            strong = "bold" if number in sheet.strong else None
            table.add_row(*(Text(row[i]) for i in columns), style=strong)
        parts.append(table)
    parts = parts or [Text(text) for text in (sheet.title, caption) if text]
    parts += [Text(f"! {warning}", style="yellow") for warning in sheet.warnings]
    return Group(*parts, Text(""))


def _pieces(sheet, kept, width):
    """Return the columns of each of the tables that a sheet takes."""
    words = [i for i in kept if sheet.header[i] in WORDS]
    pieces = [words]
    for i in [i for i in kept if i not in words]:
        wider = [*pieces[-1], i]
        if len(wider) > len(words) + 1 and _natural_width(sheet, wider, _NARROW) > width:
            pieces.append(words)
            wider = [*words, i]
        pieces[-1] = wider
    return [sorted(columns) for columns in pieces]


def _natural_width(sheet, kept, most_words=_FOLDED):
    """Return how wide a table is when nothing wraps but what may."""
    widths = []
    for i in kept:
        header = sheet.header[i].split() if _may_wrap(sheet.header[i]) else [sheet.header[i]]
        most = most_words if sheet.header[i] in WORDS else 1000
        widths.append(min(most, max(map(len, (*header, *(row[i] for row in sheet.rows))))))
    return sum(widths) + 3 * len(widths) + 1


def _may_wrap(header):
    return header in WORDS or header.startswith("vs ")


def _printable(sheet):
    def safe(texts):
        return tuple(map(escaping.printable, texts))

    return replace(
        sheet,
        title=escaping.printable(sheet.title),
        header=safe(sheet.header),
        rows=tuple(map(safe, sheet.rows)),
        caption=escaping.printable(sheet.caption),
        warnings=safe(sheet.warnings),
    )


def to_markdown(page: Page) -> str:
    """Return the tables as Markdown."""
    safe = escaping.for_markdown
    parts = [f"# {safe(page.title)}"] + [safe(page.summary)] * bool(page.summary)
    for sheet in page.sheets:
        if sheet.shown != "everywhere":
            continue
        parts.append(f"## {safe(sheet.title)}")
        if sheet.header:
            lines = ["| " + " | ".join(map(safe, r)) + " |" for r in (sheet.header, *sheet.rows)]
            marks = [" --- |" if h in WORDS else " ---: |" for h in sheet.header]
            parts.append("\n".join([lines[0], "|" + "".join(marks), *lines[1:]]))
        parts += [safe(sheet.caption)] * bool(sheet.caption)
        parts += ["\n".join(f"- {safe(warning)}" for warning in sheet.warnings)] * bool(
            sheet.warnings
        )
    return "\n\n".join(parts) + "\n"


def to_csv(page: Page) -> str:
    """Return the plain numbers, a row a file and device, with units in the names."""
    names = list(dict.fromkeys(name for row in page.rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in page.rows:
        writer.writerow({name: escaping.for_csv(value) for name, value in row.items()})
    return text.getvalue()


def to_html(page: Page) -> str:
    """Return a page that holds every table and picture, and loads nothing."""
    import jinja2

    here = Path(__file__).parent
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=escaping.for_html
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode()
    environment.filters["breakable"] = escaping.breakable
    template = environment.from_string((here / "page.html.j2").read_text())
    style = (here / "page.css").read_text()
    return template.render(page=page, words=WORDS, style=style)
