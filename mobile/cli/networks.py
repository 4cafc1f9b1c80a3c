"""The commands about networks: models, build."""

import importlib.util
import json
from pathlib import Path
from typing import Annotated

import typer

from mobile.cli.app import (
    SE,
    Output,
    Overwrite,
    Seed,
    Source,
    command,
    import_tensorflow,
    keras_command,
    one_of,
    refuse_existing,
)


@command
def models(name: Annotated[str | None, typer.Argument(help="One network, in detail.")] = None):
    """List the networks, or show one layer by layer."""
    from mobile.reporting import console, report, sheets

    if name is None:
        report.show(sheets.of_networks(network_figures()))
        return
    import_tensorflow()
    import keras_se

    console.show(str(keras_se.complexity(keras_se.models.build(name))))


@keras_command
def build(
    name: Annotated[str, typer.Argument(help="A network of `keras-se models`.")],
    output: Output,
    se: Annotated[
        str,
        typer.Option(help=f"Squeeze-and-excitation: {one_of(SE)}; or a .json of it by block."),
    ] = "default",
    reduction: Annotated[float | None, typer.Option(help="Change the preset's reduction.")] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the images.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    width: Annotated[float, typer.Option(help="Multiplies the channels.")] = 1.0,
    weights: Annotated[Path | None, typer.Option(help="Weights to start from.")] = None,
    source: Source = None,
    logits: Annotated[bool, typer.Option("--logits", help="End without softmax.")] = False,
    overwrite: Overwrite = False,
    seed: Seed = 0,
):
    """Build a network and write it as a .keras file."""
    import keras

    import keras_se
    from mobile.pipeline import keras_files, options
    from mobile.reporting import console

    refuse_existing(output, overwrite, ".keras")
    options.check_source(source, weights)
    keras.utils.set_random_seed(seed)
    model = keras_se.models.build(
        name,
        se=options.se_of(se, reduction),
        input_shape=(size, size, 3) if size else None,
        classes=classes,
        width=width,
        classifier_activation=None if logits else "softmax",
    )
    if weights is not None:
        console.show(str(keras_se.weights.load(model, weights, transfer=True, source=source)))
    keras_files.save(model, output)
    console.show(str(keras_se.complexity(model)))


def network_figures() -> dict:
    """Return name to parameters, multiply-adds and source of every network, without Keras.

    As `keras_se.models.describe` says, from the file behind it: importing Keras takes seconds.
    """
    spec = importlib.util.find_spec("keras_se")
    places = (spec and spec.submodule_search_locations) or ["keras_se"]
    return json.loads((Path(places[0]) / "models" / "figures.json").read_text())
