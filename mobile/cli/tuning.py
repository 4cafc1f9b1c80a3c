"""The commands about squeeze-and-excitation in a network: gates, fold, profile, tune, ablate."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.benchmarking.settings import INTERLEAVED
from mobile.cli.app import (
    DEVICE_WORDS,
    KINDS,
    QUESTIONS,
    Data,
    Method,
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
from mobile.pipeline.options import Options
from mobile.pipeline.training import AUGMENTATIONS

Device = Annotated[str, typer.Option(help=f"Where to time: {DEVICE_WORDS}.")]
Plot = Annotated[Path | None, typer.Option(help="A .png of it to write.")]
Folder = Annotated[
    Path, typer.Argument(help="The folder to keep it in. One that was cut short goes on.")
]
Network = Annotated[str, typer.Option(help="A network of `keras-se models`.")]
Seeds = Annotated[int, typer.Option(help="Trainings of each network.")]
Epochs = Annotated[int | None, typer.Option(help="Of each network.")]
Size = Annotated[int | None, typer.Option(help="Height and width of the images.")]
Width = Annotated[float | None, typer.Option(help="Multiplies the channels.")]
Batch = Annotated[int | None, typer.Option(help="Images in a step.")]
LearningRate = Annotated[float | None, typer.Option(help="Largest step size.")]
Augment = Annotated[
    str | None, typer.Option(help=f"{one_of(AUGMENTATIONS)}. Default: by the data.")
]
Split = Annotated[float | None, typer.Option(help="Share to test on, if DATA has no test part.")]
Storage = Annotated[
    str | None,
    typer.Option(help="URL of a database for workers elsewhere. Default: a file in the folder."),
]
Worker = Annotated[
    bool, typer.Option("--worker", help="Train for the one of that folder that runs elsewhere.")
]
Runs = Annotated[int, typer.Option(help="Benchmark rounds.")]


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


@keras_command
def tune(
    output: Folder,
    network: Network = Options.network,
    data: Data = None,
    max_overhead: Annotated[
        float | None, typer.Option(help="Most extra time over no SE. Default: 0.04.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(help="Most milliseconds, in its place.")
    ] = None,
    se: Se = "default",
    kinds: Annotated[
        str, typer.Option(help=f"Kinds to choose from: {', '.join(KINDS)}.")
    ] = "static,cse,scse",
    places: Annotated[
        str | None,
        typer.Option(help="Places to choose from. Default: projected,expanded where it has these."),
    ] = None,
    device: Device = "local",
    target: Target = Options.target,
    threads: Threads = 1,
    runs: Runs = Options.runs,
    costs: Annotated[
        Path | None, typer.Option("--profile", help="A profile to use. Default: one is made.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Configurations that TPE proposes.")] = 100,
    best_of: Annotated[int, typer.Option(help="How many of the best are trained alone.")] = 2,
    alone: Annotated[int, typer.Option(help="Random ones that are trained alone.")] = 8,
    seeds: Seeds = 3,
    epochs: Epochs = None,
    supernet_epochs: Annotated[
        int | None, typer.Option(help="Of the network with all choices. Default: four times those.")
    ] = None,
    size: Size = None,
    width: Width = None,
    batch: Batch = None,
    learning_rate: LearningRate = None,
    augment: Augment = None,
    method: Method = Options.method,
    validation_split: Split = None,
    storage: Storage = None,
    worker: Worker = False,
    seed: Seed = Options.seed,
):
    """Find the squeeze-and-excitation that pays, within a budget of time on a device.

    The answer is OUTPUT/tuning.json and .png, and winner.json, .keras and .tflite.
    """
    from mobile.progress import Progress
    from mobile.reporting import console
    from mobile.tuning import training_jobs, tuning_folder
    from mobile.tuning.tune import tune

    if worker:
        training_jobs.work(storage or output / tuning_folder.TRIALS, output.name, Progress())
        return
    found = tune(
        network,
        data,
        folder=output,
        max_overhead=max_overhead,
        budget_ms=budget_ms,
        se=se,
        kinds=kinds.split(","),
        places=None if places is None else places.split(","),
        device=device,
        trials=trials,
        best_of=best_of,
        alone=alone,
        seeds=seeds,
        supernet_epochs=supernet_epochs,
        storage=storage,
        costs=costs,
        progress=Progress(),
        epochs=epochs,
        size=size,
        width=width,
        batch=batch,
        learning_rate=learning_rate,
        augment=augment,
        target=target,
        method=method,
        validation_split=validation_split,
        threads=threads,
        runs=runs,
        seed=seed,
    )
    console.show(str(found))


@keras_command
def ablate(
    question: Annotated[str, typer.Argument(help=f"{one_of(QUESTIONS)}.")],
    output: Folder,
    network: Network = Options.network,
    data: Data = None,
    se: Se = "default",
    seeds: Seeds = 3,
    device: Device = "local",
    target: Target = Options.target,
    threads: Threads = 1,
    runs: Runs = Options.runs,
    epochs: Epochs = None,
    size: Size = None,
    width: Width = None,
    batch: Batch = None,
    learning_rate: LearningRate = None,
    augment: Augment = None,
    method: Method = Options.method,
    validation_split: Split = None,
    storage: Storage = None,
    worker: Worker = False,
    seed: Seed = Options.seed,
):
    """Train variants of SE that differ in one thing, and say which differ by more than chance.

    Accuracy, parameters, multiply-adds and int8 time of each, the papers' figures beside them.
    """
    from mobile.progress import Progress
    from mobile.reporting import console
    from mobile.tuning import training_jobs, tuning_folder
    from mobile.tuning.ablation import ablate

    if worker:
        training_jobs.work(storage or output / tuning_folder.TRIALS, output.name, Progress())
        return
    found = ablate(
        question,
        network,
        data,
        folder=output,
        se=se,
        seeds=seeds,
        device=device,
        storage=storage,
        progress=Progress(),
        epochs=epochs,
        size=size,
        width=width,
        batch=batch,
        learning_rate=learning_rate,
        augment=augment,
        target=target,
        method=method,
        validation_split=validation_split,
        threads=threads,
        runs=runs,
        seed=seed,
    )
    console.show(str(found))
