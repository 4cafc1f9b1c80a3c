"""Reports: shown on the terminal, written to single files, or whole into a folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mobile.benchmarking import measurements
from mobile.benchmarking.measurements import Measurements
from mobile.benchmarking.timings import Timings
from mobile.progress import terminal
from mobile.record import printable, write_file, write_files
from mobile.reporting import formats, run_report, sheets
from mobile.reporting.pages import Page
from mobile.reporting.results import Results


def report(
    results: Results | Measurements | Timings | Iterable[Timings],
    folder: str | Path,
    console: Any = None,
    reference: str | None = None,
) -> Path:
    """Write a report into a folder and print its table.

    Of a run: `results.json` (every raw number), `results.csv`, `results.md`, one PNG a plot, and
    `report.html`, which holds the plots itself and needs no other file. Of benchmarks the same,
    named `report.*`, with a table a device and across devices only ratios.

    The JSON is written first: whatever cannot be drawn, the numbers are there.

    Args:
        results: What `mobile.run` or `mobile.benchmark` gave, a sequence of `Timings`, or what
            `mobile.reporting.files` reads.
        folder: Where the files go; it is made if it is not there.
        console: A `rich.console.Console` to print to; False prints nothing.
        reference: Of benchmarks, the model to take ratios to; by default each one's own.

    Returns:
        The path of `report.html`.
    """
    folder, record = Path(folder), results
    if not isinstance(record, Results):
        record = measurements.of(record)
    page = page_of(record, reference)
    name = "results" if isinstance(record, Results) else "report"
    write_file(folder / f"{name}.json", record.to_json())
    files = {
        f"{name}.csv": formats.to_csv(page),
        f"{name}.md": formats.to_markdown(page),
        **{picture.file: picture.png for picture in page.pictures},
        "report.html": formats.to_html(page),
    }
    write_files({folder / name: content for name, content in files.items()})
    if console is not False:
        show(page, console)
    return folder / "report.html"


def page_of(record: Results | Measurements, reference: str | None = None) -> Page:
    """Return the report of a record, before any format."""
    if isinstance(record, Results):
        return run_report.page(record)
    return sheets.page(record, reference)


def show(page: Page, console: Any = None) -> None:
    """Print the tables of a page, those that are not for HTML alone."""
    console = console or terminal()
    if page.summary:
        heading = printable(f"{page.title}: {page.summary}")
        console.print(heading, "", sep="\n", highlight=False, markup=False)
    for sheet in page.sheets:
        if sheet.shown == "everywhere":
            console.print(formats.to_rich(sheet, console.width), highlight=False)


def publish(record: Measurements, paths: Mapping[str, Path]) -> None:
    """Show a record, and write it to files; what fails takes nothing of the rest with it.

    Args:
        record: What was measured.
        paths: Format to file: `json`, which is written first, `csv`, `markdown` or `html`.
    """
    page = page_of(record)
    kinds = {"csv": formats.to_csv, "markdown": formats.to_markdown, "html": formats.to_html}
    try:
        if "json" in paths:
            write_file(paths["json"], record.to_json())
    finally:
        show(page)
        write_files({paths[kind]: make(page) for kind, make in kinds.items() if kind in paths})
