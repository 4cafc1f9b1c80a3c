"""MobileNetV3, small and large, and the minimalistic twins that accelerators prefer.

Howard et al., 2019, "Searching for MobileNetV3", arXiv:1905.02244, tables 1 and 2.
"""

from dataclasses import dataclass
from typing import Any

import keras

from keras_se import blocks
from keras_se.blocks.residual import INVERTED_PLACES
from keras_se.config import MOBILENET_V3
from keras_se.models.base import (
    Features,
    Network,
    Options,
    Tensor,
    classify,
    round_channels,
)

_SOURCE = "arXiv:1905.02244, tables 1 and 2"
_NORM: dict[str, Any] = {"epsilon": 1e-3, "momentum": 0.999}


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


def body(network: MobileNetV3, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem, blocks, last convolution.

    Source:
        Rounding, the stem's fixed width and BatchNorm's settings are those of
        `keras.applications`, whose weights fit. The squeezed width is a quarter of the expanded,
        rounded to a multiple of 8. Table 2 prints an SE in the last convolution of Small; no
        published code has it, and neither has this. With `output_stride=16` the last stage
        dilates its kernels instead of striding, as for segmentation in section 6.4.
    """
    hs = RE if network.minimalistic else HS
    padding = options.settings["padding"]
    x = blocks.conv_bn(x, network.stem, 3, 2, activation=hs, padding=padding, name="conv", **_NORM)
    features, reached, dilation, came_in = {2: x}, 2, 1, network.stem
    for index, (row, (se,)) in enumerate(zip(network.rows, options.se, strict=True)):
        stride = row.stride
        if reached * stride > options.settings["output_stride"]:
            stride, dilation = 1, dilation * stride
        reached *= stride
        x = blocks.inverted_residual(
            x,
            round_channels(row.out * options.width),
            strides=stride,
            expanded=_expanded(x, row, came_in),
            kernel_size=3 if network.minimalistic else row.kernel,
            se=se,
            activation=RE if network.minimalistic else row.activation,
            padding=padding,
            dilation=dilation,
            name=f"block_{index}",
            **_NORM,
        )
        features[reached] = x
        came_in = row.out
    last = round_channels(x.shape[-1] * 6)
    x = features[reached] = blocks.conv_bn(x, last, activation=hs, name="conv_1", **_NORM)
    return x, features


def _expanded(x, row, came_in):
    """Expand what comes in, which another width may have rounded, by the row's own factor."""
    channels = x.shape[-1]
    return (
        channels if row.expanded == came_in else round_channels(channels * row.expanded / came_in)
    )


def head(network: MobileNetV3, options: Options, x: Tensor, features: Features) -> Tensor:
    """Pool, widen, classify: two 1x1 convolutions, so that no batch-dependent reshape is needed."""
    last = round_channels(network.last * max(options.width, 1.0))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = keras.layers.Conv2D(last, 1, name="conv_2")(x)
    x = keras.layers.Activation(RE if network.minimalistic else HS, name="conv_2_act")(x)
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    x = keras.layers.Conv2D(options.classes, 1, name="logits")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return classify(options, x)


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
        places=INVERTED_PLACES,
        settings={"padding": "same", "output_stride": 32},
    )


NETWORKS = (
    _network("mobilenet_v3_small", SMALL, last=1024),
    _network("mobilenet_v3_small_minimalistic", SMALL, last=1024, minimalistic=True),
    _network("mobilenet_v3_large", LARGE, last=1280),
    _network("mobilenet_v3_large_minimalistic", LARGE, last=1280, minimalistic=True),
)
