"""Benchmarks as a table for the terminal, as Markdown, CSV and a page; written all or none."""

import base64
import csv
import io
import pathlib

from mobile.record import write_files
from mobile.reporting.console import terminal
from mobile.reporting.sheets import WORDS, of_device, references_of, sheets

# What a narrow terminal does without, the first one first.
_DISPENSABLE = ("load ms", "first ms", "memory MB", "p99 ms", "error", "file MB", "partitions")
_DISPENSABLE += ("file KiB", "MHz")
_FOLDED = 44  # a column of words this wide may fold before another goes
_NARROW = 16  # what it may fold to where the figures still do not fit
_PLACE = ("device", "soc", "cpu", "machine", "runtime", "runtime_version", "threads")
_PLACE += ("kernels", "scenario", "started")
_FIGURES = ("median_ms", "p90_ms", "p99_ms", "first_ms", "load_ms", "size_bytes")
_FIGURES += (
    "peak_memory_bytes",
    "partitions",
    "output_error",
    "output_lsb",
    "control_of",
    "sha256",
)


def show(measured, reference=None, console=None):
    """Print every table of `Measurements`."""
    console = console or terminal()
    for sheet in sheets(measured, reference):
        console.print(to_rich(sheet, console.width), highlight=False)


def to_rich(sheet, width=160):
    """Return a sheet as a renderable for a terminal of that many columns.

    Columns that can be done without go until the rest fits. What still does not continues in a
    second table, after the columns of words.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    kept = list(range(len(sheet.header)))
    for name in _DISPENSABLE:
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
            title=Text(sheet.title) if columns is pieces[0] else None,
            caption=Text(caption) if columns is pieces[-1] else None,
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
    parts = parts or [Text(sheet.title)]
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


def to_markdown(measured, reference=None) -> str:
    """Return every table as Markdown."""
    parts = []
    for sheet in sheets(measured, reference):
        lines = [f"## {_escape(sheet.title)}", ""]
        if sheet.header:
            lines += [
                "| " + " | ".join(map(_escape, r)) + " |" for r in (sheet.header, *sheet.rows)
            ]
            marks = [" --- |" if h in WORDS else " ---: |" for h in sheet.header]
            lines.insert(3, "|" + "".join(marks))
            lines += ["", sheet.caption, ""]
        lines += [f"- {_escape(warning)}" for warning in sheet.warnings]
        parts.append("\n".join(lines).rstrip())
    return "# Latency\n\n" + "\n\n".join(parts) + "\n"


def _escape(text):
    return text.replace("|", "\\|").replace("\n", " ")


def to_csv(measured, reference=None) -> str:
    """Return one row a model and device, plain numbers with units in the names.

    `kind` is `measured`, `failed` or `estimated`.
    """
    rows = []
    for label, one in measured.labelled:
        c = one.timings.conditions
        place = {name: getattr(c, name) for name in _PLACE}
        place |= {"device_model": c.model, "label": label}
        against = references_of(one, reference)[:1] if c.scenario == "interleaved" else ()
        for m in one.timings.models:
            row = {"kind": "measured", **place, "model": m.name, "runs": len(m.times_ms)}
            row |= {name: getattr(m, name) for name in _FIGURES}
            row["accuracy"] = one.accuracy.get(m.name)
            for each in against:
                ratio = None if m.name == each else one.timings.ratio(m.name, each)
                row |= {"reference": each, "ratio": ratio.value if ratio else 1}
                row |= {"ratio_low": ratio and ratio.low, "ratio_high": ratio and ratio.high}
            rows.append(row)
        for f in one.timings.failures:
            failure = f"failed to {f.stage}: {f.message}"
            rows.append({"kind": "failed", **place, "model": f.name, "failure": failure})
    for e in measured.estimates:
        row = {"kind": "estimated", "device": e.accelerator, "model": e.name}
        row |= {"estimated_ms": e.milliseconds, "cycles": e.cycles, "sram_bytes": e.sram_bytes}
        row |= {"flash_bytes": e.flash_bytes, "cpu_operators": len(e.cpu_operators)}
        rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def draw(measured) -> dict[str, list[tuple[str, bytes]]]:
    """Return each measurement's plots by its label: (file name, PNG)."""
    from mobile.reporting import plots

    drawn = {}
    for number, (label, one) in enumerate(measured.labelled):
        pictures = {
            "latency": plots.latency_distributions(one.timings, title=label),
            "accuracy": plots.accuracy_of_measurement(one, label),
        }
        drawn[label] = [(f"{k}_{number}.png", v) for k, v in pictures.items() if v is not None]
    return drawn


def to_html(measured, reference=None, drawn=None) -> str:
    """Return a page that holds every table and plot, and loads nothing."""
    import jinja2

    drawn = draw(measured) if drawn is None else drawn
    parts, labels = [], [label for label, _ in measured.labelled]
    titles = {of_device(label, one).title: label for label, one in measured.labelled}
    for sheet in sheets(measured, reference):
        label = titles.get(sheet.title)
        pictures, conditions = [], []
        if label is not None:
            one = measured.measurements[labels.index(label)]
            pictures = [(n, base64.b64encode(png).decode()) for n, png in drawn[label]]
            conditions = _conditions(one.timings)
        parts.append((sheet, pictures, conditions))
    template = pathlib.Path(__file__).with_name("comparisons.html.j2").read_text()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    summary = [f"{len(labels)} measurements"] if len(labels) > 1 else []
    summary += [measured.created[:10]] if measured.created else []
    summary += [f"{name} {version}" for name, version in measured.versions.items()]
    return environment.from_string(template).render(
        parts=parts, words=WORDS, summary=", ".join(summary)
    )


def _conditions(timings):
    said = timings.conditions.to_dict().items()
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
        for name, value in said
        if value not in (None, "", [])
    ]


def report(measured, folder, reference=None) -> pathlib.Path:
    """Write tables, plots and raw numbers into a folder; return the path of the page.

    Files: `report.html`, which needs no other, `report.md`, `report.csv`, `report.json` and each
    plot as PNG.
    """
    folder = pathlib.Path(folder)
    drawn = draw(measured)
    files = {name: png for pictures in drawn.values() for name, png in pictures}
    files |= {
        "report.csv": to_csv(measured, reference),
        "report.md": to_markdown(measured, reference),
        "report.json": measured.to_json(),
        "report.html": to_html(measured, reference, drawn),
    }
    write_files({folder / name: content for name, content in files.items()})
    return folder / "report.html"
