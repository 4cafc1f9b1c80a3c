"""Squeeze-and-excitation configurations of one network, as int8 files to be timed side by side."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from mobile.benchmarking.measurements import Configuration
from mobile.pipeline import options
from mobile.reporting import units
from mobile.tflite import Artifact

UNTRAINED = (
    "The weights are random, with the BatchNorm statistics of {images}: only the latency means "
    "anything, not what the files answer."
)


def build(
    names: Iterable[str],
    network: str,
    size: int | None = None,
    data: str | Path | None = None,
    images: int = 32,
    target: str = "xnnpack",
    seed: int = 0,
) -> tuple[dict[str, Artifact], tuple[Configuration, ...], str, str]:
    """Build, lower and convert a network to int8 once with each configuration.

    Args:
        names: Configurations as `keras-se build --se` takes them: `default`, `none`, a preset.
        network: A network of `keras_se.models.names()`.
        size: Height and width of the image; by default the network's own.
        data: Folder of images; None or the word `digits` for the embedded digits, enlarged.
        images: How many images BatchNorm statistics and ranges come from.
        target: As in `mobile.lower`.
        seed: Of the weights and the choice of images.

    Returns:
        Name to `Artifact`; the `Configuration` of each; a title; a warning that they are untrained.

    Raises:
        ValueError: A name is unknown or given twice.
    """
    import keras

    import keras_se
    import mobile
    from mobile.pipeline import batch_norms

    names = list(names)
    if len(set(names)) != len(names) or len(names) < 2:
        raise ValueError(
            f"At least two configurations must be compared, each given once. Received: "
            f"{', '.join(names) or 'none'}. Known: default, none, {', '.join(keras_se.PRESETS)}."
        )
    kinds = {name: options.se_named(name) for name in names}
    found = keras_se.models.find(network)
    size = size or found.input_shape[0]
    pixels = mobile.data.load_images(data, size, images, seed)
    artifacts, configurations = {}, []
    for name, se in kinds.items():
        keras.utils.set_random_seed(seed)
        model = keras_se.models.build(
            network, se=se, input_shape=(size, size, 3), classifier_activation=None
        )
        batch_norms.refresh_batch_norms(model, pixels, batch=16)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*looks untrained")  # as UNTRAINED says
            artifacts[name] = mobile.convert(model, calibration=pixels, target=target)
        counted = keras_se.complexity(model)
        kind = found.se if se == "default" else se
        words = units.se_in_words(kind.to_dict() if isinstance(kind, keras_se.SEConfig) else None)
        configurations.append(Configuration(name, words, counted.trainable_params, counted.macs))
    kind = "enlarged digits" if mobile.data.is_digits(data) else f"images of {data}"
    source = f"{len(pixels)} {kind}"
    title = f"{network}, {size}x{size}, int8"
    return artifacts, tuple(configurations), title, UNTRAINED.format(images=source)
