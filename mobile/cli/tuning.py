"""The commands about squeeze-and-excitation in trained networks: gates, fold."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.cli.app import (
    Data,
    Model,
    Output,
    Overwrite,
    Seed,
    Target,
    Threads,
    keras_command,
    refuse_existing,
)

Plot = Annotated[Path | None, typer.Option(help="A .png of it to write.")]


@keras_command
def gates(
    model: Model,
    data: Data = None,
    images: Annotated[int, typer.Option(help="How many images to look at.")] = 200,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Means by class; DATA holds test/CLASS/*.")
    ] = False,
    plot: Plot = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Say what the gates of a network do over images: which are alive, which are constant."""
    import numpy as np

    import keras_se
    import mobile
    from mobile.pipeline import keras_files
    from mobile.record import write_file
    from mobile.reporting import console, plots

    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
    keras_model = keras_files.load_model(model)
    size = keras_files.image_size(keras_model)
    labels = None
    if by_class:
        found = mobile.data.load(data, size, seed=seed)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(found.y_test))[:images])
        pixels, labels = found.x_test[chosen], np.array(found.classes)[found.y_test[chosen]]
    else:
        pixels = mobile.data.load_images(data, size, images, seed)
    found = keras_se.gates(keras_model, pixels, labels)
    if plot is not None:
        write_file(plot, plots.gates(found))
    console.show(str(found))


@keras_command
def fold(
    model: Model,
    output: Output,
    data: Data = None,
    images: Annotated[
        int, typer.Option(help="How many images: half find the constants, half judge.")
    ] = 400,
    keep: Annotated[float, typer.Option(help="Least share of answers that stay, 0 to 1.")] = 0.99,
    by: Annotated[str, typer.Option(help="What to save: time or elements.")] = "time",
    device: Annotated[
        str, typer.Option(help=r"Where to time: local, ssh:\[user@]host\[:port], adb\[:serial].")
    ] = "local",
    target: Target = "xnnpack",
    threads: Threads = 1,
    runs: Annotated[int, typer.Option(help="Benchmark rounds.")] = 200,
    plot: Plot = None,
    json: Annotated[Path | None, typer.Option(help="A .json of the record to write.")] = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Make constants of the gates that cost more than they are worth, and write the model.

    Exit 1, and no file, where no gate can go.
    """
    import mobile
    from mobile.pipeline import keras_files
    from mobile.record import write_file
    from mobile.reporting import console, plots

    refuse_existing(output, overwrite, ".keras")
    for path, suffix in ((plot, ".png"), (json, ".json")):
        if path is not None:
            refuse_existing(path, overwrite, suffix)
    keras_model = keras_files.load_model(model)
    pixels = mobile.data.load_images(data, keras_files.image_size(keras_model), images, seed)
    timing = {"device": device, "threads": threads, "runs": runs} if by == "time" else {}
    with console.Progress().stage("fold gates"):
        folded, record = mobile.fold_gates(keras_model, pixels, keep, by, target=target, **timing)
    if plot is not None:
        write_file(plot, plots.gate_folding(record))
    if json is not None:
        write_file(json, record.to_json())
    console.show(str(record))
    if not record.folded:
        raise typer.Exit(1)
    keras_files.save_model(folded, output)
    console.show(f"{output}: {len(folded.layers)} layers")
