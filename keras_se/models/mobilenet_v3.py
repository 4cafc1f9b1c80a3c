"""MobileNetV3, small and large, and the minimalistic twins that accelerators prefer.

Howard et al., 2019, "Searching for MobileNetV3", arXiv:1905.02244, tables 1 and 2.
"""

import dataclasses
from dataclasses import dataclass

import keras

from keras_se.config import MOBILENET_V3
from keras_se.models.base import Network, Normalizer, activate, add_se, round_channels

_SOURCE = "arXiv:1905.02244, tables 1 and 2"
_NORMALIZER = Normalizer(epsilon=1e-3, momentum=0.999)


@dataclass(frozen=True)
class Bneck:
    """One row of tables 1 and 2: an inverted residual block.

    Args:
        kernel: Side of the depthwise kernel ("bneck, 3x3").
        expanded: Channels after the first 1x1 convolution ("exp size").
        out: Channels after the last one ("#out").
        se: Whether the expanded tensor is rescaled ("SE").
        activation: RE is `relu`, HS is `hard_silu` ("NL").
        stride: Stride of the depthwise convolution ("s").
    """

    kernel: int
    expanded: int
    out: int
    se: bool
    activation: str
    stride: int


RE, HS = "relu", "hard_silu"

SMALL = (
    # k, exp, out, SE,   NL, s
    Bneck(3, 16, 16, True, RE, 2),
    Bneck(3, 72, 24, False, RE, 2),
    Bneck(3, 88, 24, False, RE, 1),
    Bneck(5, 96, 40, True, HS, 2),
    Bneck(5, 240, 40, True, HS, 1),
    Bneck(5, 240, 40, True, HS, 1),
    Bneck(5, 120, 48, True, HS, 1),
    Bneck(5, 144, 48, True, HS, 1),
    Bneck(5, 288, 96, True, HS, 2),
    Bneck(5, 576, 96, True, HS, 1),
    Bneck(5, 576, 96, True, HS, 1),
)

LARGE = (
    # k, exp, out, SE,   NL, s
    Bneck(3, 16, 16, False, RE, 1),
    Bneck(3, 64, 24, False, RE, 2),
    Bneck(3, 72, 24, False, RE, 1),
    Bneck(5, 72, 40, True, RE, 2),
    Bneck(5, 120, 40, True, RE, 1),
    Bneck(5, 120, 40, True, RE, 1),
    Bneck(3, 240, 80, False, HS, 2),
    Bneck(3, 200, 80, False, HS, 1),
    Bneck(3, 184, 80, False, HS, 1),
    Bneck(3, 184, 80, False, HS, 1),
    Bneck(3, 480, 112, True, HS, 1),
    Bneck(3, 672, 112, True, HS, 1),
    Bneck(5, 672, 160, True, HS, 2),
    Bneck(5, 960, 160, True, HS, 1),
    Bneck(5, 960, 160, True, HS, 1),
)


@dataclass(frozen=True)
class MobileNetV3(Network):
    """MobileNetV3 with its two numbers that are not in the rows.

    Args:
        stem: Channels of the first convolution.
        last: Channels of the 1x1 convolution after the pooling.
        minimalistic: ReLU for h-swish, 3x3 for 5x5, and no SE unless asked for.
    """

    stem: int = 16
    last: int = 1024
    minimalistic: bool = False


def body(network, options, x):
    """Stem, blocks, last convolution.

    Source:
        Layer names, rounding and the stem's fixed width are those of `keras.applications`, so that
        its weights load. The squeezed width is a quarter of the expanded, rounded to a multiple
        of 8. Table 2 prints an SE in the last convolution of Small; no published code has it, and
        neither has this.
    """
    hs = RE if network.minimalistic else HS
    padding = options.settings["padding"]
    output_stride = options.settings["output_stride"]
    x = _NORMALIZER.conv(
        x, network.stem, 3, 2, hs, name="conv", act="conv_activation", padding=padding
    )
    features, reached, dilation, came_in = {2: x}, 2, 1, network.stem
    for index, (row, se) in enumerate(zip(network.rows, options.se, strict=True)):
        stride = row.stride
        if reached * stride > output_stride:
            stride, dilation = 1, dilation * stride
        reached *= stride
        x = _bneck(
            x,
            dataclasses.replace(row, stride=stride),
            se,
            expansion=row.expanded / came_in,
            width=options.width,
            prefix=f"expanded_conv_{index}_" if index else "expanded_conv_",
            minimalistic=network.minimalistic,
            padding=padding,
            dilation=dilation,
        )
        features[reached] = x
        came_in = row.out
    last = round_channels(x.shape[-1] * 6)
    x = _NORMALIZER.conv(x, last, name="conv_1", activation=hs, act="conv_1_activation")
    features[reached] = x
    return x, features


def _bneck(x, row, se, *, expansion, width, prefix, minimalistic, padding, dilation):
    activation = RE if minimalistic else row.activation
    kernel = 3 if minimalistic else row.kernel
    shortcut = x
    out = round_channels(row.out * width)
    if expansion != 1:
        x = _NORMALIZER.conv(
            x,
            round_channels(x.shape[-1] * expansion),
            activation=activation,
            name=f"{prefix}expand",
            act=f"{prefix}expand_activation",
        )
    x = _NORMALIZER.depthwise(
        x,
        kernel,
        row.stride,
        activation,
        name=f"{prefix}depthwise",
        act=f"{prefix}depthwise_activation",
        padding=padding,
        dilation=dilation,
    )
    x = add_se(se, x, f"{prefix}squeeze_excite")
    x = _NORMALIZER.conv(x, out, name=f"{prefix}project")
    if row.stride == 1 and shortcut.shape[-1] == out:
        x = keras.layers.Add(name=f"{prefix}add")([shortcut, x])
    return x


def head(network, options, x):
    """Pool, widen, classify: two 1x1 convolutions, so that no batch-dependent reshape is needed."""
    last = round_channels(network.last * max(options.width, 1.0))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = keras.layers.Conv2D(last, 1, name="conv_2")(x)
    x = activate(x, RE if network.minimalistic else HS, "conv_2_activation")
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    x = keras.layers.Conv2D(options.classes, 1, name="logits")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return activate(x, options.classifier_activation, "predictions")


def _network(name, rows, last, minimalistic=False):
    return MobileNetV3(
        name=name,
        source=_SOURCE + (", minimalistic: github.com/tensorflow/models" if minimalistic else ""),
        rows=rows,
        body=body,
        head=head,
        se=None if minimalistic else MOBILENET_V3,
        last=last,
        minimalistic=minimalistic,
        dropout=0.2,
        settings={"padding": "same", "output_stride": 32},
    )


NETWORKS = (
    _network("mobilenet_v3_small", SMALL, last=1024),
    _network("mobilenet_v3_small_minimalistic", SMALL, last=1024, minimalistic=True),
    _network("mobilenet_v3_large", LARGE, last=1280),
    _network("mobilenet_v3_large_minimalistic", LARGE, last=1280, minimalistic=True),
)
