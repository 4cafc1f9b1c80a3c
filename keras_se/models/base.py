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
        rows: One frozen dataclass a stage, columns in the paper's order. Each has a column `se`.
        body: `(network, options, x) -> (x, features)`, everything but the two ends.
        head: `(network, options, x) -> scores`, from the last feature map to the classifier.
        se: The paper's own squeeze-and-excitation, in the rows whose `se` is true.
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
    own = tuple(network.se if row.se else None for row in network.rows)
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


def preprocess(network: Network, preprocessing, x):
    """Apply the network's own (True), another `(scale, offset)`, or no (False) preprocessing."""
    if preprocessing is False or preprocessing is None:
        return x
    scale, offset = network.preprocessing if preprocessing is True else _pair(preprocessing)
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


def activate(x, kind: str | None, name: str):
    """Apply `relu`, `relu6`, or any Keras activation by name; None applies none."""
    if kind is None:
        return x
    if kind == "relu":
        return keras.layers.ReLU(name=name)(x)
    if kind == "relu6":
        return keras.layers.ReLU(6.0, name=name)(x)
    return keras.layers.Activation(kind, name=name)(x)


@dataclass(frozen=True)
class Normalizer:
    """Convolution, BatchNorm, activation, with one family's epsilon and initialisation."""

    epsilon: float = 1e-3
    momentum: float = 0.99
    kernel_initializer: Any = "glorot_uniform"

    def conv(
        self,
        x,
        filters,
        kernel=1,
        stride=1,
        activation=None,
        *,
        name,
        bn=None,
        act=None,
        groups=1,
        padding="same",
        dilation=1,
    ):
        """Convolve without bias, normalise, activate. Names default to `NAME_bn`, `NAME_act`."""
        x, padding = pad(x, kernel, stride, padding, name)
        x = keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding,
            groups=groups,
            dilation_rate=dilation,
            use_bias=False,
            kernel_initializer=self.kernel_initializer,
            name=name,
        )(x)
        return activate(self.norm(x, bn or f"{name}_bn"), activation, act or f"{name}_act")

    def depthwise(
        self,
        x,
        kernel=3,
        stride=1,
        activation=None,
        *,
        name,
        bn=None,
        act=None,
        padding="same",
        dilation=1,
    ):
        """Convolve each channel by itself, normalise, activate."""
        x, padding = pad(x, kernel, stride, padding, name)
        x = keras.layers.DepthwiseConv2D(
            kernel,
            stride,
            padding,
            dilation_rate=dilation,
            use_bias=False,
            depthwise_initializer=self.kernel_initializer,
            name=name,
        )(x)
        return activate(self.norm(x, bn or f"{name}_bn"), activation, act or f"{name}_act")

    def norm(self, x, name):
        """Normalise over the batch."""
        return keras.layers.BatchNormalization(
            epsilon=self.epsilon, momentum=self.momentum, name=name
        )(x)


def pad(x, kernel, stride, padding, name):
    """Pad for a strided convolution and return `(x, padding left to do)`.

    `"same"` is TensorFlow's: one pixel more at the end where the total is odd. `"symmetric"` is
    PyTorch's and Caffe's: kernel // 2 on each side. They differ only where the stride is 2 and the
    size even, by a shift of one pixel, which trained weights do notice.
    """
    if padding == "symmetric" and stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        return x, "valid"
    return x, "same" if padding == "symmetric" else padding


def add_se(config: SEConfig | None, x, name: str):
    """Rescale `x` by the squeeze-and-excitation layer of `config`; None leaves it alone."""
    return x if config is None else config.layer(name=name)(x)
