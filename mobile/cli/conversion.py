"""The commands from a model to a file: lower, quantize, convert, verify, sensitivity."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.cli.app import (
    Engine,
    Images,
    Method,
    Model,
    Output,
    Overwrite,
    OwnData,
    Seed,
    Target,
    keras_command,
    one_of,
    refuse_existing,
)
from mobile.conversion.schemes import CALIBRATED, IO_TYPES, SCHEMES


@keras_command
def lower(model: Model, output: Output, target: Target = "xnnpack", overwrite: Overwrite = False):
    """Rewrite a model as an equal one that the target runs fast in int8."""
    import mobile
    from mobile.pipeline import keras_files
    from mobile.reporting import console

    refuse_existing(output, overwrite, ".keras")
    lowered = mobile.lower(keras_files.load(model), target=target)
    keras_files.save(lowered, output, keras_files.class_names(model))
    console.show(f"{output}: {len(lowered.layers)} layers")


@keras_command
def quantize(
    model: Model,
    output: Output,
    data: OwnData = None,
    images: Images = 200,
    method: Method = "mse",
    engine: Engine = "keras",
    epochs: Annotated[int, typer.Option(help="Training epochs; 0 calibrates alone.")] = 0,
    batch: Annotated[int, typer.Option(help="Images in a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Largest step size.")] = 1e-5,
    validation_split: Annotated[
        float | None, typer.Option(help="Share to test on, if DATA has no test part.")
    ] = None,
    target: Target = "xnnpack",
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Calibrate a model, train it quantisation-aware, and write it."""
    import mobile
    from mobile.pipeline import keras_files, model_images, training
    from mobile.progress import Progress
    from mobile.reporting import console, units

    refuse_existing(output, overwrite, ".h5" if engine == "tfmot" else ".keras")
    model_images.named(data)  # before TensorFlow reads the model
    if validation_split is not None and not epochs:
        raise ValueError(
            f"`validation_split` is for training. Received: validation_split={validation_split} "
            f"with epochs=0, which calibrates alone. Leave it out, or pass --epochs."
        )
    float_model = keras_files.load(model)
    calibration = model_images.load(float_model, model, data, images, seed)
    aware = mobile.quantize_aware(
        float_model, calibration=calibration, engine=engine, method=method, target=target
    )
    if epochs:
        found = model_images.load_labelled(float_model, model, data, validation_split, seed)
        with Progress().stage("quantisation-aware training", steps=True) as watch:
            training.train(
                aware, found.x_train, found.y_train, epochs, batch, learning_rate, 0.0,
                seed=seed, watch=watch,
            )  # fmt: skip
        outputs = training.predict(aware, found.x_test)
        console.show(f"accuracy {units.percent(training.accuracy(outputs, found.y_test))}")
    keras_files.save(aware, output, keras_files.class_names(model))
    console.show(f"{output}: ranges from {len(calibration)} images")


@keras_command
def convert(
    model: Model,
    output: Output,
    scheme: Annotated[str, typer.Option(help=f"{one_of(SCHEMES)}.")] = "int8",
    data: OwnData = None,
    images: Images = 200,
    target: Target = "xnnpack",
    input_type: Annotated[
        str, typer.Option(help=f"Input of an int8 file: {one_of(IO_TYPES)}.")
    ] = "int8",
    output_type: Annotated[
        str, typer.Option(help=f"Output of an int8 file: {one_of(IO_TYPES)}.")
    ] = "int8",
    float_layers: Annotated[
        str, typer.Option(help="Layers of an int8 file to keep in float: a,b.")
    ] = "",
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Convert a model to .tflite; int8 lowers and calibrates on the way."""
    import mobile
    from mobile.pipeline import keras_files, model_images
    from mobile.reporting import console

    refuse_existing(output, overwrite, ".tflite")
    keras_model = keras_files.load(model)
    calibration = None
    if scheme in CALIBRATED and not keras_files.is_quantized(keras_model):
        calibration = model_images.load(keras_model, model, data, images, seed)
    elif data is not None and scheme in SCHEMES:
        raise ValueError(
            f"`data` is to calibrate {one_of(CALIBRATED)} of a float model. Received: data={data} "
            f"for scheme {scheme}, of {model}, which needs none. Leave out --data."
        )
    artifact = mobile.convert(
        keras_model,
        scheme=scheme,
        calibration=calibration,
        target=target,
        input_type=input_type,
        output_type=output_type,
        float_layers=tuple(filter(None, float_layers.split(","))),
    )
    if names := keras_files.class_names(model):
        artifact = artifact.with_classes(names)
    artifact.save(output)
    console.show(str(artifact))


@keras_command
def verify(
    model: Model,
    artifact: Annotated[Path, typer.Argument(help="The .tflite made of it.")],
    data: OwnData = None,
    images: Annotated[int, typer.Option(help="How many images to compare on.")] = 200,
    seed: Seed = 0,
):
    """Compare a .tflite with its Keras model on the same images: of a test part, where one is.

    In folders of classes they give accuracies too.
    """
    import mobile
    from mobile.pipeline import keras_files, model_images
    from mobile.reporting import console

    model_images.named(data)
    made = mobile.Artifact.load(artifact)
    keras_model = keras_files.load(model)
    model_images.check_file(model, artifact, made.classes)
    pixels, labels = model_images.load_judging(keras_model, model, data, images, seed)
    console.show(str(mobile.verify(keras_model, made, pixels, labels)))
    if labels is not None and not keras_files.class_names(model):
        console.show(
            f"! {model} names no classes: accuracies count the folders in alphabetical order"
        )


@keras_command
def sensitivity(
    model: Model,
    data: OwnData = None,
    images: Annotated[int, typer.Option(help="How many images to compare on.")] = 32,
    target: Target = "xnnpack",
    plot: Annotated[Path | None, typer.Option(help="A .png of it to write.")] = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Say what each layer costs when it alone is quantised, and when it alone is not."""
    import mobile
    from mobile.pipeline import keras_files, model_images
    from mobile.record import write_file
    from mobile.reporting import console, plots

    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
    model_images.named(data)
    keras_model = keras_files.load(model)
    pixels = model_images.load(keras_model, model, data, images, seed)
    found = mobile.sensitivity(keras_model, pixels, target=target)
    console.show(str(found))  # first: it stands even where the plot cannot be drawn
    if plot is not None:
        write_file(plot, plots.sensitivity(found))
