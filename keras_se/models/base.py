"""What every network shares: its record, the options of one `build`, and the two ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_se.checks import check_known, check_number
from keras_se.config import PRESETS, SEConfig
from keras_se.models import configuration

Tensor = Any  # symbolic
Features = dict[int, Tensor]  # the last feature map of each stride
Preprocessing = tuple[Any, Any]  # scale and offset: each a number, or one a channel
SEByBlock = tuple[tuple[SEConfig | None, ...], ...]  # one tuple a row, one entry a block

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
        rows: One frozen dataclass a stage, columns in the paper's order. Each has an `se`, and a
            `repeat` where it stands for several blocks.
        body: `(network, options, x) -> (x, features)`, everything but the two ends.
        head: `(network, options, x, features) -> scores`, from the last feature map to the
            classifier.
        se: The paper's own squeeze-and-excitation, in the rows whose `se` is true. A row may also
            have an `SEConfig` of its own there.
        preprocessing: `(scale, offset)` that take RGB pixels 0..255 to what the body expects.
        input_shape: The size the paper's figures are for.
        classes: Classes of the published network.
        dropout: Fraction dropped before the classifier in training.
        places: The placements that its blocks have for SE, see `SEConfig`.
        settings: What else `build` accepts for this network, with the defaults.
    """

    name: str
    source: str
    rows: tuple[Any, ...]
    body: Callable[..., tuple[Tensor, Features]]
    head: Callable[..., Tensor]
    se: SEConfig | None = None
    preprocessing: Preprocessing = TO_MINUS_ONE_TO_ONE
    input_shape: tuple[int, int, int] = (224, 224, 3)
    classes: int = 1000
    dropout: float = 0.0
    places: tuple[str, ...] = ("standard",)
    settings: dict[str, Any] = field(default_factory=dict)

    def expects(self, settings: dict[str, Any]) -> Preprocessing:
        """Return the `(scale, offset)` of its pixels; a network on top of another may ask that."""
        return self.preprocessing


@dataclass(frozen=True)
class Options:
    """The arguments of one `build`, checked: see `keras_se.models.build`."""

    se: SEByBlock
    input_shape: tuple[int | None, int | None, int]
    classes: int
    width: float
    classifier_activation: Any
    settings: dict[str, Any]


def blocks_in(row: Any) -> int:
    """Count the blocks that a row of a network stands for."""
    return getattr(row, "repeat", 1)


def resolve_se(network: Network, se: Any, argument: str = "se") -> SEByBlock:
    """Return one `SEConfig` or None for each block of each row of `network`.

    Args:
        network: The network.
        se: `"default"`, None or `"none"`, an `SEConfig` or the name of a preset; or a list with
            one of these for each row, in which a row's entry may be a list of these by block; or
            the path of a file of `keras_se.models.configuration`.
        argument: What errors call `se`.

    Raises:
        ValueError: A list has another length than the rows or blocks; a name is not known; a file
            is no configuration of this network.
        TypeError: An entry is none of these.
    """
    own: list[Any] = [
        row.se if isinstance(row.se, SEConfig) else network.se if row.se else None
        for row in network.rows
    ]
    if configuration.is_path(se):
        wanted = configuration.read(se, network.name, [blocks_in(row) for row in network.rows])
    elif isinstance(se, Sequence) and not isinstance(se, str):
        wanted = _by_row(network, argument, se)
    else:
        one = _variant(network, argument, se)
        everywhere = one == "default" or not any(row.se for row in network.rows)
        wanted = [[one if everywhere or row.se else None] * blocks_in(row) for row in network.rows]
    return tuple(
        tuple(mine if given == "default" else given for given in row)
        for mine, row in zip(own, wanted, strict=True)
    )


def _by_row(network, argument, se) -> list[list[Any]]:
    if len(se) != len(network.rows):
        blocks = ", ".join(str(blocks_in(row)) for row in network.rows)
        raise ValueError(
            f"`{argument}` given as a list must have one entry for each row of "
            f"{network.name!r}: {len(network.rows)}, of {blocks} blocks. Received: {len(se)} "
            f"entries. For the same in all rows, pass the SEConfig itself."
        )
    return [
        _by_block(network, f"{argument}[{i}]", blocks_in(row), entry)
        for i, (row, entry) in enumerate(zip(network.rows, se, strict=True))
    ]


def _by_block(network, argument, count, entry):
    if not isinstance(entry, Sequence) or isinstance(entry, str):
        return [_variant(network, argument, entry)] * count
    if len(entry) != count:
        raise ValueError(
            f"`{argument}` given as a list must have one entry for each block of that row of "
            f"{network.name!r}: {count}. Received: {len(entry)} entries. For the same in all "
            f"blocks of the row, write the SEConfig itself."
        )
    return [_variant(network, f"{argument}[{i}]", value) for i, value in enumerate(entry)]


def _variant(network, argument, value):
    """Return None, "default", or an `SEConfig`."""
    if value is None or isinstance(value, SEConfig):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f'`{argument}` must be "default", None, an SEConfig or the name of one, or a list with '
            f"one of these for each row or block. Received: {argument}={value!r} for network "
            f"{network.name!r}. For the paper's block, pass keras_se.PAPER; for no SE, write None."
        )
    where = f" for network {network.name!r}"
    check_known(argument, value, ("default", "none", *PRESETS), where=where)
    return {"default": "default", "none": None, **PRESETS}[value]


def check_settings(network: Network, settings: dict[str, Any]) -> None:
    """Raise unless each setting of a family has one of its values."""
    where = f" for network {network.name!r}"
    for name, value in settings.items():
        if name in _CHOICES:
            check_known(name, value, _CHOICES[name], where=where)
        elif name == "output_stride" and (isinstance(value, bool) or value not in (8, 16, 32)):
            raise ValueError(
                f"`output_stride` must be 8, 16 or 32: the image's side over that of the last "
                f"feature map. Received: output_stride={value!r}{where}. "
                f"For segmentation, pass 16."
            )
        elif name == "drop_connect":
            check_number(name, value, 0, 1, "For none, pass 0.", where)


_CHOICES = {
    "padding": ("same", "symmetric"),
    "stride_in": ("1x1", "3x3"),
    "pool": ("symmetric", "end"),
}


def preprocess(own: Preprocessing, preprocessing: Any, x: Tensor) -> Tensor:
    """Apply the network's own (True), another `(scale, offset)`, or no (False) preprocessing.

    The network's own constants are for three colours; another number of channels gets their mean
    in each.
    """
    if preprocessing is False or preprocessing is None:
        return x
    channels = x.shape[-1]
    if preprocessing is True:
        pair = [part if np.size(part) in (1, channels) else np.mean(part) for part in own]
    else:
        pair = preprocessing
    scale, offset = _pair(pair, channels)
    return keras.layers.Rescaling(scale, offset, name="rescaling")(x)


def _pair(preprocessing, channels) -> Any:
    """Return scale and offset as `Rescaling` can save them: floats, or lists of floats."""
    try:
        pair = [np.asarray(part, "float64") for part in preprocessing]
        right = len(pair) == 2 and all(
            part.shape in ((), (channels,)) and np.all(np.isfinite(part)) for part in pair
        )
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f"`preprocessing` must be True, False or a pair (scale, offset), each a number or one "
            f"for each of the image's {channels} channels: the network reads pixel * scale + "
            f"offset. Received: preprocessing={preprocessing!r}. "
            f"For (x - 128) / 127, pass (1 / 127, -128 / 127)."
        )
    return [part.tolist() for part in pair]


def round_channels(value: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, never below 90 % of the value (the MobileNet rule).

    >>> round_channels(96 * 0.35), round_channels(18)
    (32, 24)
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def pool_and_classify(network: Network, options: Options, x: Tensor, features: Features) -> Tensor:
    """End as most networks do: mean over the image, dropout, one dense layer, `predictions`."""
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if network.dropout:
        x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    x = keras.layers.Dense(options.classes, name="predictions")(x)
    return classify(options, x)


def classify(options: Options, scores: Tensor) -> Tensor:
    """Apply the last activation, a layer of its own so that it can be cut off."""
    if options.classifier_activation is None:
        return scores
    return keras.layers.Activation(options.classifier_activation, name="probabilities")(scores)
