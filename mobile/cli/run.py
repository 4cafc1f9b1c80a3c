"""The command that does everything: run."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.cli.app import (
    Data,
    Engine,
    Method,
    Se,
    Seed,
    Source,
    Target,
    Threads,
    keras_command,
    one_of,
)
from mobile.pipeline.options import Options
from mobile.pipeline.training import AUGMENTATIONS


@keras_command
def run(
    data: Data = None,
    network: Annotated[str, typer.Option(help="A network of `keras-se models`.")] = Options.network,
    se: Se = Options.se,
    reduction: Annotated[float | None, typer.Option(help="Change the preset's reduction.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    width: Annotated[float | None, typer.Option(help="Multiplies the channels.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Float training epochs.")] = None,
    qat_epochs: Annotated[
        int | None, typer.Option(help="Quantisation-aware epochs, kept if they help; 0: none.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest step size.")] = None,
    qat_learning_rate: Annotated[
        float | None, typer.Option(help="The same for quantisation-aware training.")
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(help=f"{one_of(AUGMENTATIONS)}. Default: shift for the digits, else photo."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to start from, by layer name.")
    ] = None,
    source: Source = None,
    engine: Engine = Options.engine,
    target: Target = Options.target,
    method: Method = Options.method,
    validation_split: Annotated[
        float | None, typer.Option(help="Share to test on, if DATA has no test part.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A broken image is an error.")] = False,
    threads: Threads = Options.threads,
    runs: Annotated[int, typer.Option(help="Benchmark rounds.")] = Options.runs,
    seed: Seed = Options.seed,
    output: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: the data's.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run of that name.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
):
    """Train, quantise, verify, time and report a network, one with server SE, and one without."""
    import mobile
    from mobile.progress import Progress

    mobile.run(
        data=data,
        output=output,
        name=name,
        overwrite=overwrite,
        resume=resume,
        progress=Progress(),
        show=True,
        network=network,
        se=se,
        reduction=reduction,
        size=size,
        width=width,
        epochs=epochs,
        qat_epochs=qat_epochs,
        batch=batch,
        learning_rate=learning_rate,
        qat_learning_rate=qat_learning_rate,
        augment=augment,
        weights=weights,
        source=source,
        engine=engine,
        target=target,
        method=method,
        validation_split=validation_split,
        strict=strict,
        threads=threads,
        runs=runs,
        seed=seed,
    )
