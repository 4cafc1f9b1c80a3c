"""Tables, plots and the report of a run: the only place that formats units and draws."""

import base64
import csv
import io
from pathlib import Path

from mobile.record import write_file
from mobile.reporting.console import terminal
from mobile.reporting.results import Results
from mobile.reporting.units import megabytes, millions, milliseconds, minutes, percent, se_in_words

LABELS = {"mobile": "mobile", "server": "server twin", "no_se": "twin without SE"}
# Okabe and Ito's colours, which the colour-blind tell apart.
_COLOURS = {"mobile": "#0072B2", "server": "#D55E00", "no_se": "#009E73"}
_OTHER_COLOUR = "#CC79A7"
PLOTS = {
    "accuracy_latency.png": "Accuracy against latency",
    "latency.png": "Latency distributions",
    "costs.png": "Where the parameters and multiply-adds sit",
}


def report(results, folder: str | Path, console=None) -> Path:
    """Write a report into a folder and print its table.

    Of a run: `results.json` (every raw number), `results.csv`, `results.md`, one PNG a plot, and
    `report.html`, which holds the plots itself and needs no other file. Of benchmarks the same,
    named `report.*`, with a table a device and across devices only ratios.

    Args:
        results: What `mobile.run` found, or `Results.from_json` read; or `Timings`, a sequence of
            them, or the `Measurements` that `mobile.reporting.files.read` gives.
        folder: Where the files go; it is made if it is not there.
        console: A `rich.console.Console` to print to; False prints nothing.

    Returns:
        The path of `report.html`.
    """
    if not isinstance(results, Results):
        from mobile.benchmarking import measurements
        from mobile.reporting import formats

        measured = measurements.of(results)
        page = formats.report(measured, folder)
        if console is not False:
            formats.show(measured, console=console)
        return page
    folder = Path(folder)
    plots = draw(results)
    for name, content in plots.items():
        write_file(folder / name, content)
    write_file(folder / "results.csv", to_csv(results))
    write_file(folder / "results.md", to_markdown(results))
    page = write_file(folder / "report.html", to_html(results, plots))
    write_file(folder / "results.json", results.to_json())  # last: its presence says all is there
    if console is not False:
        console = console or terminal()
        console.print(to_table(results, console.width))
    return page


def table_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return the header and the formatted cells of the summary."""
    references = results.timings.references
    header = ["network", "scheme", "accuracy", "agreement", "MB", "p50 ms", "p90 ms", "p99 ms"]
    header += ["partitions", *(f"vs {_short(r)}" for r in references)]
    rows = []
    for row in results.rows():
        cells = [_label(row["network"]), row["scheme"], percent(row["accuracy"])]
        cells += [percent(row["top1_agreement"]), megabytes(row["size_bytes"])]
        cells += [milliseconds(row[f"{word}_ms"]) for word in ("median", "p90", "p99")]
        cells.append("?" if row["partitions"] is None else str(row["partitions"]))
        for reference in references:
            word = f"ratio_to_{reference.replace(' ', '_')}"
            own = f"{row['network']} {row['scheme']}" == reference
            low, high = row[f"{word}_low"], row[f"{word}_high"]
            ratio = None if row[word] is None else f"{row[word]:.2f} [{low:.2f}, {high:.2f}]"
            cells.append("1" if own else ratio or "?")
        rows.append(cells)
    return header, rows


def to_table(results: Results, width: int = 160):
    """Return the summary as a table for the terminal, a `rich.table.Table`.

    A terminal of fewer than 140 columns gets fewer figures.
    """
    from rich.table import Table

    header, rows = table_rows(results)
    if width < 140:
        kept = [i for i, h in enumerate(header) if h not in ("agreement", "p90 ms", "p99 ms")]
        if width < 110:
            kept = [i for i in kept if header[i] not in ("MB", "partitions", header[-1])]
        header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    table = Table(title=f"{results.name}: {_summary(results)}", caption=_where(results))
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    for i, row in enumerate(rows):
        last = i + 1 == len(rows) or rows[i + 1][0] != row[0]
        table.add_row(*row, end_section=last, style="bold" if row[1] == "int8" else None)
    return table


def to_csv(results: Results) -> str:
    """Return the summary as CSV: plain numbers, units in the names."""
    rows = results.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_markdown(results: Results) -> str:
    """Return the summary as a Markdown table with its conditions."""
    header, rows = table_rows(results)
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    lines.insert(1, "|" + "|".join([" --- "] * 2 + [" ---: "] * (len(header) - 2)) + "|")
    return (
        f"# {results.name}\n\n{_summary(results)}\n\n"
        + "\n".join(lines)
        + (f"\n\n{_where(results)}\n")
    )


def to_html(results: Results, plots: dict[str, bytes] | None = None) -> str:
    """Return a page that holds everything, pictures included, and loads nothing."""
    import jinja2

    plots = draw(results) if plots is None else plots
    header, rows = table_rows(results)
    template = Path(__file__).with_name("report.html.j2").read_text()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        results=results,
        summary=_summary(results),
        where=_where(results),
        header=header,
        rows=rows,
        forms=_forms(results),
        plots=[
            (PLOTS[name], base64.b64encode(content).decode()) for name, content in plots.items()
        ],
        conditions=[
            (name, value if not isinstance(value, list) else ", ".join(map(str, value)))
            for name, value in results.timings.conditions.to_dict().items()
            if value not in (None, "", [])
        ],
        networks=[
            (
                _label(n.name),
                millions(n.complexity["trainable_params"]),
                percent(n.complexity["se_params"] / n.complexity["trainable_params"]),
                millions(n.complexity["macs"]),
                percent(n.complexity["se_macs"] / n.complexity["macs"]),
                se_in_words(n.se),
            )
            for n in results.networks
        ],
        seconds=[(stage, minutes(value)) for stage, value in results.seconds.items()],
        total=minutes(sum(results.seconds.values())),
    )


def draw(results: Results) -> dict[str, bytes]:
    """Return the plots as PNG files by name. The user's matplotlib backend is not touched."""
    from mobile.reporting import plots

    drawn = {
        "accuracy_latency.png": plots.accuracy_against_latency(results, _label, _colour),
        "latency.png": plots.latency_distributions(results.timings, _label, _colour),
        "costs.png": plots.costs_by_stage(results, _label, _colour),
    }
    return drawn


def _label(name):
    """Return the words for `mobile`, `no_se int8` and the like."""
    network, *scheme = name.split(" ")
    return " ".join([LABELS.get(network, network), *scheme])


def _short(name):
    return _label(name).replace("twin without SE", "no SE").replace(" twin", "")


def _colour(name):
    return _COLOURS.get(name.split(" ")[0], _OTHER_COLOUR)


def _summary(results):
    data = results.data
    return (
        f"{results.options['network']} on {data['name']}, {len(data['classes'])} classes, "
        f"{data['train_images']} training and {data['test_images']} test images "
        f"of {data['size']}x{data['size']}"
    )


def _where(results):
    c = results.timings.conditions
    threads = f"{c.threads} thread" + "s" * (c.threads > 1)
    control = results.timings.control
    said = f"{c.cpu}, {threads}; {c.runtime} {c.runtime_version}; {c.runs} interleaved runs each"
    if control is not None:
        said += (
            f"; the same file twice: {control.value:.2f} [{control.low:.2f}, {control.high:.2f}]"
        )
    return f"{said}; {results.created[:10]}. vs: ratio of medians, 95 % interval."


def _forms(results):
    """Return the rows of the verification table: every form against the float Keras model."""
    words = {
        "float": "float, Keras",
        "lowered": "lowered, Keras",
        "qat": "quantisation-aware, Keras",
        "float32": "float32 .tflite",
        "int8": "int8 .tflite",
        "calibrated": "int8 .tflite, calibrated alone",
        "trained": "int8 .tflite, trained on",
    }
    rows = []
    for network in results.networks:
        for form, value in network.accuracy.items():
            if form == "int8" and network.int8_from:
                continue  # the kept one of two, each of which has a row
            agreement = network.agreement.get(form)
            rows.append(
                (
                    _label(network.name),
                    words.get(form, form) + (", kept" if form == network.int8_from else ""),
                    percent(value),
                    percent(agreement.top1_agreement) if agreement else "-",
                    f"{agreement.worst_abs:.2g}" if agreement else "-",
                    f"{agreement.mean_abs:.2g}" if agreement else "-",
                )
            )
    return rows
