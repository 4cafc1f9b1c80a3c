"""The command that lints."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.analysis.operator_support import ACCELERATORS
from mobile.cli import app


@app.command
def lint(
    artifact: Annotated[Path, typer.Argument(help="Any .tflite file.")],
    target: Annotated[str, typer.Option(help=f"{app.one_of(ACCELERATORS)}.")] = "xnnpack",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any operator leaves the accelerator.")
    ] = False,
):
    """List the operators of a .tflite file that leave an accelerator, and what to do."""
    import mobile
    from mobile.reporting import console

    found = mobile.lint(artifact, target)
    console.show(str(found))
    if strict and not found.ok:
        raise typer.Exit(1)
