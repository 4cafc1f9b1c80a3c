"""The commands from a model to a file: lower, quantize, convert, verify, sensitivity."""

from pathlib import Path
from typing import Annotated

import typer

from mobile.cli.app import (
    Data,
    Engine,
    Images,
    Method,
    Model,
    Output,
    Overwrite,
    Seed,
    Target,
    keras_command,
    refuse_existing,
)


@keras_command
def lower(model: Model, output: Output, target: Target = "xnnpack", overwrite: Overwrite = False):
    """Rewrite a model as an equal one that the target runs fast in int8."""
    import mobile
    from mobile.pipeline import keras_files
    from mobile.reporting import console

    refuse_existing(output, overwrite, ".keras")
    lowered = mobile.lower(keras_files.load_model(model), target=target)
    keras_files.save_model(lowered, output)
    console.show(f"{output}: {len(lowered.layers)} layers")


@keras_command
def quantize(
    model: Model,
    output: Output,
    data: Data = None,
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
    from mobile.pipeline import keras_files, training
    from mobile.progress import Progress
    from mobile.reporting import console, units

    refuse_existing(output, overwrite, ".h5" if engine == "tfmot" else ".keras")
    float_model = keras_files.load_model(model)
    size = keras_files.image_size(float_model)
    calibration = mobile.data.load_images(data, size, images, seed)
    aware = mobile.quantize_aware(
        float_model, calibration=calibration, engine=engine, method=method, target=target
    )
    if epochs:
        found = mobile.data.load(data, size, validation_split, seed)
        with Progress().stage("quantisation-aware training", steps=True) as watch:
            training.train(
                aware, found.x_train, found.y_train, epochs, batch, learning_rate, 0.0,
                seed=seed, watch=watch,
            )  # fmt: skip
        outputs = training.predict(aware, found.x_test)
        console.show(f"accuracy {units.percent(training.accuracy(outputs, found.y_test))}")
    keras_files.save_model(aware, output)
    console.show(f"{output}: ranges from {len(calibration)} images")


@keras_command
def convert(
    model: Model,
    output: Output,
    scheme: Annotated[
        str, typer.Option(help="int8, float32, float16, weight_only, dynamic or int16x8.")
    ] = "int8",
    data: Data = None,
    images: Images = 200,
    target: Target = "xnnpack",
    input_type: Annotated[str, typer.Option(help="Input of an int8 file.")] = "int8",
    output_type: Annotated[str, typer.Option(help="Output of an int8 file.")] = "int8",
    float_layers: Annotated[
        str, typer.Option(help="Layers of an int8 file to keep in float: a,b.")
    ] = "",
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Convert a model to .tflite; int8 lowers and calibrates on the way."""
    import mobile
    from mobile.pipeline import keras_files
    from mobile.reporting import console

    refuse_existing(output, overwrite, ".tflite")
    keras_model = keras_files.load_model(model)
    calibration = None
    if scheme in ("int8", "int16x8") and not keras_files.is_quantized(keras_model):
        size = keras_files.image_size(keras_model)
        calibration = mobile.data.load_images(data, size, images, seed)
    artifact = mobile.convert(
        keras_model,
        scheme=scheme,
        calibration=calibration,
        target=target,
        input_type=input_type,
        output_type=output_type,
        float_layers=tuple(filter(None, float_layers.split(","))),
    )
    artifact.save(output)
    console.show(str(artifact))


@keras_command
def verify(
    model: Model,
    artifact: Annotated[Path, typer.Argument(help="The .tflite made of it.")],
    data: Data = None,
    images: Annotated[int, typer.Option(help="How many images to compare on.")] = 200,
    seed: Seed = 0,
):
    """Compare a .tflite with its Keras model on the same images."""
    import mobile
    from mobile.pipeline import keras_files
    from mobile.reporting import console

    keras_model = keras_files.load_model(model)
    pixels = mobile.data.load_images(data, keras_files.image_size(keras_model), images, seed)
    console.show(str(mobile.verify(keras_model, mobile.Artifact.load(artifact), pixels)))


@keras_command
def sensitivity(
    model: Model,
    data: Data = None,
    images: Annotated[int, typer.Option(help="How many images to compare on.")] = 32,
    target: Target = "xnnpack",
    plot: Annotated[Path | None, typer.Option(help="A .png of it to write.")] = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Say what each layer costs when it alone is quantised, and when it alone is not."""
    import mobile
    from mobile.pipeline import keras_files
    from mobile.record import write_file
    from mobile.reporting import console, plots

    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
    keras_model = keras_files.load_model(model)
    pixels = mobile.data.load_images(data, keras_files.image_size(keras_model), images, seed)
    found = mobile.sensitivity(keras_model, pixels, target=target)
    if plot is not None:
        write_file(plot, plots.sensitivity(found))
    console.show(str(found))
