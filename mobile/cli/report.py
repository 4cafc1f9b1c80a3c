"""The command that reports."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.cli import app


@app.command
def report(
    results: Annotated[
        list[Path],
        typer.Argument(help="JSON files of `keras-se benchmark`, or folders of `keras-se run`."),
    ],
    reference: Annotated[
        str | None, typer.Option(help="The model that ratios are taken to, on every device.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write to. Default: report, or that of the one run given."),
    ] = None,
    overwrite: app.Overwrite = False,
):
    """Merge results of several devices into one report, or write that of a run again."""
    import mobile
    from mobile.reporting import console, files

    if len(results) == 1 and results[0].is_dir():
        if reference is not None:
            raise ValueError(
                f"`reference` is for results of `keras-se benchmark`. Received: {reference!r} with "
                f"the run {results[0]}, which has its own. Leave out --reference."
            )
        run = files.load_results(results[0])
        if any(network.gates for network in run.networks):
            app.import_tensorflow()  # quietly: gates are read with Keras
        mobile.report(run, output or results[0])
        return
    measured = files.merge(files.read(path) for path in results)
    _check_reference(measured, reference)
    folder = output or Path("report")
    if (folder / "report.html").exists() and not overwrite:
        raise ValueError(
            f"The folder must not hold a report yet. Received: {folder}, which does. "
            f"Pass --output for another one, or --overwrite."
        )
    page = mobile.report(measured, folder, reference=reference)
    console.show(f"Report: {page}")


def _check_reference(measured, reference):
    known = dict.fromkeys(m.name for one in measured.measurements for m in one.timings.models)
    if reference is not None and reference not in known:
        raise ValueError(
            f"`reference` must be a model of the results. Received: {reference!r}. "
            f"Known: {', '.join(known)}."
        )
