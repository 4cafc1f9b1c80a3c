"""The commands about squeeze-and-excitation in a network: gates, fold, profile."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.benchmarking.settings import INTERLEAVED
from mobile.cli.app import (
    DEVICE_WORDS,
    KINDS,
    Model,
    Output,
    Overwrite,
    OwnData,
    Se,
    Seed,
    Target,
    Threads,
    keras_command,
    one_of,
    refuse_existing,
    refuse_unwritable,
)
from mobile.devices.agent.runtime import RUNTIMES

Device = Annotated[str, typer.Option(help=f"Where to time: {DEVICE_WORDS}.")]
Plot = Annotated[Path | None, typer.Option(help="A .png of it to write.")]


@keras_command
def gates(
    model: Model,
    data: OwnData = None,
    images: Annotated[int, typer.Option(help="How many images to look at.")] = 200,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Means by class too: DATA holds train/CLASS/*.")
    ] = False,
    plot: Plot = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Say what the gates of a network do over images: which are alive, which are constant."""
    import numpy as np

    import keras_se
    from mobile.pipeline import keras_files, model_images
    from mobile.record import write_file
    from mobile.reporting import console, gate_plots

    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
    model_images.named(data)
    keras_model = keras_files.load(model)
    if by_class:
        read = model_images.load_labelled(keras_model, model, data, seed=seed)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(read.y_train))[:images])
        pixels, labels = read.x_train[chosen], np.array(read.classes)[read.y_train[chosen]]
    else:
        pixels, labels = model_images.load(keras_model, model, data, images, seed), None
    found = keras_se.gates(keras_model, pixels, labels)
    console.show(str(found))
    if plot is not None:
        write_file(plot, gate_plots.gates(found))


@keras_command
def fold(
    model: Model,
    output: Output,
    data: OwnData = None,
    images: Annotated[
        int, typer.Option(help="How many images: half find the constants, half judge.")
    ] = 400,
    keep: Annotated[float, typer.Option(help="Least share of answers that stay, 0 to 1.")] = 0.99,
    by: Annotated[str, typer.Option(help="What to save: time or elements.")] = "time",
    device: Device = "local",
    target: Target = "xnnpack",
    threads: Threads = 1,
    runs: Annotated[int, typer.Option(help="Benchmark rounds.")] = INTERLEAVED.runs,
    plot: Plot = None,
    export_json: Annotated[Path | None, typer.Option(help="Write the record to this file.")] = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Make constants of the gates that cost more than they are worth, and write the model.

    Exit 1, and no model, where no gate can go.
    """
    from mobile.pipeline import keras_files, model_images
    from mobile.progress import Progress
    from mobile.record import write_file
    from mobile.reporting import console, gate_plots
    from mobile.tuning.gate_folding import fold_gates

    refuse_existing(output, overwrite, ".keras")
    for path, suffix in ((plot, ".png"), (export_json, ".json")):
        if path is not None:
            refuse_existing(path, overwrite, suffix)
    model_images.named(data)
    keras_model = keras_files.load(model)
    pixels = model_images.load(keras_model, model, data, images, seed)
    timing = {"device": device, "threads": threads, "runs": runs} if by == "time" else {}
    with Progress().stage("fold gates"):
        folded, record = fold_gates(keras_model, pixels, keep, by, target=target, **timing)
    console.show(str(record))
    if plot is not None:
        write_file(plot, gate_plots.folding(record))
    if export_json is not None:
        write_file(export_json, record.to_json())
    if not record.folded:
        raise typer.Exit(1)
    keras_files.save(folded, output, keras_files.class_names(model))
    console.show(f"{output}: {len(folded.layers)} layers")


@keras_command
def profile(
    network: Annotated[str, typer.Argument(help="A network of `keras-se models`.")],
    output: Annotated[
        Path, typer.Argument(help="The .json to write. One that was cut short goes on.")
    ],
    se: Se = "default",
    kinds: Annotated[
        str | None,
        typer.Option(help=f"Kinds to time, as cse,scse: {', '.join(KINDS)}. Default: all."),
    ] = None,
    places: Annotated[
        str | None,
        typer.Option(help="Places to time, such as expanded,projected. Default: all it has."),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    width: Annotated[float, typer.Option(help="Multiplies the channels.")] = 1.0,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    device: Device = "local",
    target: Target = "xnnpack",
    threads: Threads = 1,
    runtime: Annotated[
        str | None,
        typer.Option(help=f"{one_of(RUNTIMES)}. Default: the first that is there."),
    ] = None,
    python: Annotated[str | None, typer.Option(help="Python interpreter on the device.")] = None,
    runs: Annotated[int, typer.Option(help="Benchmark rounds.")] = 400,
    check: Annotated[
        int, typer.Option(help="Random configurations to check the predictions with.")
    ] = 10,
    plot: Plot = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Time SE of each kind at each place of a network, block by block, on a device.

    The table predicts the time of any configuration; it is checked with random ones.
    """
    from mobile.benchmarking.settings import Runtime
    from mobile.record import write_file
    from mobile.reporting import console, profile_plots
    from mobile.tuning import profiling

    refuse_existing(output, True, ".json")
    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
        refuse_unwritable([output, plot], True)
    found = profiling.profile(
        network,
        se,
        kinds=KINDS if kinds is None else kinds.split(","),
        places=None if places is None else places.split(","),
        size=size,
        width=width,
        classes=classes,
        target=target,
        device=device,
        check=check,
        path=output,
        resume=not overwrite,
        seed=seed,
        runs=runs,
        runtime=Runtime(runtime, threads=threads, python=python),
    )
    console.show(str(found))
    if plot is not None:
        write_file(plot, profile_plots.costs(found))
