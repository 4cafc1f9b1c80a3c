"""The command line: each command is a thin face on one function, with the same words."""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

from mobile.terminal import (
    INSTALL,
    Data,
    Engine,
    Images,
    Interrupted,
    Method,
    Model,
    Output,
    Overwrite,
    Se,
    Seed,
    Target,
    Threads,
    app,
    command,
    import_tensorflow,
    keras_command,
    refuse_existing,
)

import typer  # isort: skip - mobile.terminal says what to install where it is missing

from mobile import commands  # isort: skip


@command
def models(name: Annotated[str | None, typer.Argument(help="One network, in detail.")] = None):
    """List the networks, or show one layer by layer."""
    from mobile import reporting, store

    if name is None:
        reporting.show(reporting.networks_table(store.network_figures()))
        return
    import_tensorflow()
    import keras_se

    reporting.show(str(keras_se.complexity(keras_se.models.build(name))))


@keras_command
def build(
    name: Annotated[str, typer.Argument(help="A network of `keras-se models`.")],
    output: Output,
    se: Se = "default",
    reduction: Annotated[float | None, typer.Option(help="Change the preset's reduction.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    width: Annotated[float, typer.Option(help="Multiplies the channels.")] = 1.0,
    weights: Annotated[Path | None, typer.Option(help="Weights to start from.")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="End without softmax.")] = False,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Build a network and write it as a .keras file."""
    import keras

    import keras_se
    from mobile import options, reporting, store

    refuse_existing(output, overwrite, ".keras")
    keras.utils.set_random_seed(seed)
    model = keras_se.models.build(
        name,
        se=options.se_named(se, reduction),
        input_shape=(size, size, 3) if size else None,
        classes=classes,
        width=width,
        classifier_activation=None if logits else "softmax",
    )
    if weights is not None:
        reporting.show(str(keras_se.weights.load(model, weights, transfer=True)))
    store.save_model(model, output)
    reporting.show(str(keras_se.complexity(model)))


@keras_command
def lower(model: Model, output: Output, target: Target = "xnnpack", overwrite: Overwrite = False):
    """Rewrite a model as an equal one that the target runs fast in int8."""
    import mobile
    from mobile import reporting, store

    refuse_existing(output, overwrite, ".keras")
    lowered = mobile.lower(store.load_model(model), target=target)
    store.save_model(lowered, output)
    reporting.show(f"{output}: {len(lowered.layers)} layers")


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
    from mobile import reporting, store, training

    refuse_existing(output, overwrite, ".h5" if engine == "tfmot" else ".keras")
    float_model = store.load_model(model)
    size = store.image_size(float_model)
    calibration = mobile.data.load_images(data, size, images, seed)
    aware = mobile.quantize_aware(
        float_model, calibration=calibration, engine=engine, method=method, target=target
    )
    if epochs:
        found = mobile.data.load(data, size, validation_split, seed)
        with reporting.Progress().stage("quantisation-aware training", steps=True) as watch:
            training.train(
                aware, found.x_train, found.y_train, epochs, batch, learning_rate, 0.0,
                seed=seed, watch=watch,
            )  # fmt: skip
        outputs = training.predict(aware, found.x_test)
        reporting.show(f"accuracy {reporting.percent(training.accuracy(outputs, found.y_test))}")
    store.save_model(aware, output)
    reporting.show(f"{output}: ranges from {len(calibration)} images")


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
    from mobile import reporting, store

    refuse_existing(output, overwrite, ".tflite")
    keras_model = store.load_model(model)
    calibration = None
    if scheme in ("int8", "int16x8") and not store.is_quantized(keras_model):
        size = store.image_size(keras_model)
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
    reporting.show(str(artifact))


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
    from mobile import reporting, store

    keras_model = store.load_model(model)
    pixels = mobile.data.load_images(data, store.image_size(keras_model), images, seed)
    reporting.show(str(mobile.verify(keras_model, mobile.Artifact.load(artifact), pixels)))


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
    from mobile import plots, reporting, store
    from mobile.serial import write_file

    if plot is not None:
        refuse_existing(plot, overwrite, ".png")
    keras_model = store.load_model(model)
    pixels = mobile.data.load_images(data, store.image_size(keras_model), images, seed)
    found = mobile.sensitivity(keras_model, pixels, target=target)
    if plot is not None:
        write_file(plot, plots.sensitivity(found))
    reporting.show(str(found))


for _measuring in (commands.benchmark, commands.lint, commands.report):
    command(_measuring)


@keras_command
def run(
    data: Data = None,
    network: Annotated[str, typer.Option(help="A network of `keras-se models`.")] = (
        "mobilenet_v3_small"
    ),
    se: Annotated[str, typer.Option(help="Squeeze-and-excitation of the mobile one.")] = "mobile",
    reduction: Annotated[float | None, typer.Option(help="Change the preset's reduction.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    width: Annotated[float | None, typer.Option(help="Multiplies the channels.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Float training epochs.")] = None,
    qat_epochs: Annotated[
        int | None, typer.Option(help="Quantisation-aware epochs; 0 calibrates alone.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest step size.")] = None,
    qat_learning_rate: Annotated[
        float | None, typer.Option(help="The same for quantisation-aware training.")
    ] = None,
    augment: Annotated[str | None, typer.Option(help="none, shift or photo.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to start from, by layer name.")
    ] = None,
    engine: Engine = "keras",
    target: Target = "xnnpack",
    method: Method = "mse",
    validation_split: Annotated[
        float | None, typer.Option(help="Share to test on, if DATA has no test part.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A broken image is an error.")] = False,
    threads: Threads = 1,
    runs: Annotated[int, typer.Option(help="Benchmark rounds.")] = 200,
    seed: Seed = 0,
    output: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: the data's.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run of that name.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
):
    """Train, quantise, verify, time and report a network, its server twin, and one without SE."""
    import mobile
    from mobile import reporting

    settings = {k: v for k, v in locals().items() if k not in ("mobile", "reporting")}
    mobile.run(**settings, progress=reporting.Progress(), show=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every foreseen error is one line and exit status 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # this process alone
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = app(arguments, standalone_mode=False)
    except Interrupted as error:
        _fail(error, 130)
    except (ValueError, TypeError, ImportError, OSError, RuntimeError, KeyError) as error:
        _fail(error)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error
            _fail(_usage(error))
        raise
    sys.exit(status if isinstance(status, int) else 0)


def _show_warning(message, category, *where):
    if issubclass(category, UserWarning):  # the others are for developers
        print(f"keras-se: {' '.join(str(message).split())}", file=sys.stderr)


def _usage(error):
    """Say what is wrong with the arguments, and what is known."""
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and "command" in text:
        return f"{text}. Known: {', '.join(commands)}."
    return f"{text}. See {context.command_path if context else 'keras-se'} --help."


def _fail(error, status=1):
    """Print an error as one line and exit."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = " ".join([*text.split(), *getattr(error, "__notes__", ())]) or type(error).__name__
    if isinstance(error, ImportError) and "pip install" not in text:
        text += f". Install what is missing with: {INSTALL}"
    print(f"keras-se: {text}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
