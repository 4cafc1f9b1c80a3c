"""What every network shares: its record, the options of one `build`, and the two ends."""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_se.config import SEConfig

#: Pixels 0..255 to -1..1, the preprocessing of the MobileNets and of Inception.
TO_MINUS_ONE_TO_ONE = (1 / 127.5, -1.0)

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
#: Pixels 0..255 to the ImageNet colours' mean 0 and deviation 1, as torchvision and timm do.
IMAGENET_NORMALIZED = (
    tuple(1 / (255 * d) for d in _DEVIATION),
    tuple(-m / d for m, d in zip(_MEAN, _DEVIATION, strict=True)),
)


@dataclass(frozen=True)
class Network:
    """A network as its paper prints it.

    Args:
        name: What `keras_se.models.build` calls it.
        source: Paper or code the rows were read from.
        rows: One frozen dataclass a stage, columns in the paper's order. Each has an `se`.
        body: `(network, options, x) -> (x, features)`, everything but the two ends.
        head: `(network, options, x, features) -> scores`, from the last feature map to the
            classifier.
        se: The paper's own squeeze-and-excitation, in the rows whose `se` is true. A row may also
            have an `SEConfig` of its own there.
        preprocessing: `(scale, offset)` that take RGB pixels 0..255 to what the body expects.
        input_shape: The size the paper's figures are for.
        classes: Classes of the published network.
        dropout: Fraction dropped before the classifier in training.
        settings: What else `build` accepts for this network, with the defaults.
    """

    name: str
    source: str
    rows: tuple
    body: Callable
    head: Callable
    se: SEConfig | None = None
    preprocessing: tuple = TO_MINUS_ONE_TO_ONE
    input_shape: tuple = (224, 224, 3)
    classes: int = 1000
    dropout: float = 0.0
    settings: dict = field(default_factory=dict)

    def expects(self, settings) -> tuple:
        """Return the `(scale, offset)` of its pixels; a network on top of another may ask that."""
        return self.preprocessing


@dataclass(frozen=True)
class Options:
    """The arguments of one `build`, checked: see `keras_se.models.build`."""

    se: tuple  # one SEConfig or None a row
    input_shape: tuple
    classes: int
    width: float
    classifier_activation: str | None
    settings: dict[str, Any]


def resolve_se(network: Network, se) -> tuple:
    """Return one `SEConfig` or None for each row of `network`."""
    own = tuple(
        row.se if isinstance(row.se, SEConfig) else network.se if row.se else None
        for row in network.rows
    )
    if isinstance(se, str) and se == "default":
        return own
    if se is None:
        return (None,) * len(own)
    if isinstance(se, SEConfig):
        anywhere = not any(row.se for row in network.rows)
        return tuple(se if row.se or anywhere else None for row in network.rows)
    if not isinstance(se, Sequence) or isinstance(se, str):
        raise TypeError(
            f'`se` must be "default", None, an SEConfig, or a list with one of these for each '
            f"stage. Received: se={se!r} for network {network.name!r}. "
            f"For the paper's block, pass se=keras_se.PAPER."
        )
    if len(se) != len(own):
        raise ValueError(
            f"`se` given as a list must have one entry for each of the {len(own)} stages of "
            f"{network.name!r}. Received: {len(se)} entries. "
            f"For the same in all stages, pass the SEConfig itself."
        )
    for stage, entry in enumerate(se):
        if entry is not None and entry != "default" and not isinstance(entry, SEConfig):
            raise TypeError(
                f'Each entry of `se` must be "default", None or an SEConfig. Received: '
                f"se[{stage}]={entry!r} for network {network.name!r}. "
                f"For a stage without SE, write None."
            )
    return tuple(mine if given == "default" else given for mine, given in zip(own, se, strict=True))


def preprocess(own: tuple, preprocessing, x):
    """Apply the network's own (True), another `(scale, offset)`, or no (False) preprocessing."""
    if preprocessing is False or preprocessing is None:
        return x
    scale, offset = own if preprocessing is True else _pair(preprocessing)
    return keras.layers.Rescaling(_plain(scale), _plain(offset), name="rescaling")(x)


def _pair(preprocessing):
    try:
        scale, offset = preprocessing
    except (TypeError, ValueError):
        raise ValueError(
            f"`preprocessing` must be True, False or a pair (scale, offset): the network reads "
            f"pixel * scale + offset. Received: preprocessing={preprocessing!r}. "
            f"For (x - 128) / 127, pass (1 / 127, -128 / 127)."
        ) from None
    return scale, offset


def _plain(value):
    """Return a float, or a list of floats, as `Rescaling` can save it."""
    return float(value) if isinstance(value, numbers.Number) else [float(v) for v in value]


def round_channels(value: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, never below 90 % of the value (the MobileNet rule).

    >>> round_channels(96 * 0.35), round_channels(18)
    (32, 24)
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def pool_and_classify(network, options, x, features):
    """End as most networks do: mean over the image, dropout, one dense layer, `predictions`."""
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if network.dropout:
        x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    x = keras.layers.Dense(options.classes, name="predictions")(x)
    return classify(options, x)


def classify(options, scores):
    """Apply the last activation, a layer of its own so that it can be cut off."""
    if options.classifier_activation is None:
        return scores
    return keras.layers.Activation(options.classifier_activation, name="probabilities")(scores)
