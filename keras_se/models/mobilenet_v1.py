"""MobileNetV1: depthwise separable convolutions, plain or with SE on each.

Howard et al., 2017, "MobileNets", arXiv:1704.04861, table 1.
"""

import dataclasses
from dataclasses import dataclass

import keras

from keras_se import blocks
from keras_se.config import PAPER
from keras_se.models.base import Features, Network, Options, Tensor, classify


@dataclass(frozen=True)
class Separable:
    """One row of table 1, a depthwise and a pointwise convolution together.

    Args:
        out: Channels after the pointwise convolution.
        stride: Stride of the first depthwise convolution ("s").
        repeat: How often the row stands in the table.
        se: Whether the output of each is rescaled.
    """

    out: int
    stride: int
    repeat: int = 1
    se: bool = False


ROWS = (
    # out, s, n
    Separable(64, 1),
    Separable(128, 2),
    Separable(128, 1),
    Separable(256, 2),
    Separable(256, 1),
    Separable(512, 2),
    Separable(512, 1, 5),
    Separable(1024, 2),
    Separable(1024, 1),
)


def body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem of 32 channels, thirteen separable blocks.

    Source:
        Table 1 prints stride 2 in its last row, where the size does not change: it is 1. The
        channels of another width are cut, not rounded to 8, as in the paper and in
        `keras.applications`.
    """
    padding = options.settings["padding"]

    def channels(n):
        return max(1, int(n * options.width))

    x = blocks.conv_bn(x, channels(32), 3, 2, activation="relu6", padding=padding, name="conv")
    features, stride, index = {2: x}, 2, 0
    for row, row_se in zip(network.rows, options.se, strict=True):
        for repeat, se in enumerate(row_se):
            index += 1
            x = blocks.separable_block(
                x,
                channels(row.out),
                strides=1 if repeat else row.stride,
                se=se,
                padding=padding,
                name=f"block_{index}",
            )
        stride *= row.stride
        features[stride] = x
    return x, features


def head(network: Network, options: Options, x: Tensor, features: Features) -> Tensor:
    """Pool and classify with a 1x1 convolution."""
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    x = keras.layers.Conv2D(options.classes, 1, name="logits")(x)
    return classify(options, keras.layers.Flatten(name="flatten")(x))


_PLAIN = Network(
    name="mobilenet_v1",
    source="arXiv:1704.04861, table 1",
    rows=ROWS,
    body=body,
    head=head,
    dropout=1e-3,
    settings={"padding": "same"},
)

NETWORKS = (
    _PLAIN,
    dataclasses.replace(
        _PLAIN,
        name="se_mobilenet_v1",
        source="arXiv:1709.01507, table 3",
        rows=tuple(dataclasses.replace(row, se=True) for row in ROWS),
        se=PAPER,
    ),
)
