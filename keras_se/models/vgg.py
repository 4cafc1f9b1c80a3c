"""VGG-16 with BatchNorm, plain or with SE after each convolution.

Simonyan and Zisserman, 2015, arXiv:1409.1556, table 1, column D.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import keras

from keras_se import blocks
from keras_se.config import PAPER
from keras_se.models.base import (
    IMAGENET_NORMALIZED,
    Features,
    Network,
    Options,
    Tensor,
    classify,
    round_channels,
)


@dataclass(frozen=True)
class Convs:
    """Rows of column D between two poolings.

    Args:
        repeat: 3x3 convolutions.
        out: Their channels ("conv3-64").
        se: Whether each is rescaled.
    """

    repeat: int
    out: int
    se: bool = False


ROWS = (
    Convs(2, 64),
    Convs(2, 128),
    Convs(3, 256),
    Convs(3, 512),
    Convs(3, 512),
)


def body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Five blocks of convolutions, each ended by a pooling.

    Source:
        BatchNorm after each convolution, as in the SE paper's VGG-16; the original has none.
    """
    features = {}
    for index, (row, row_se) in enumerate(zip(network.rows, options.se, strict=True), start=1):
        out = round_channels(row.out * options.width)
        for i, se in enumerate(row_se, start=1):
            x = blocks.conv_bn(x, out, 3, se=se, name=f"block{index}_{i}")
        x = blocks.pool(x, 2, 2, padding="valid", name=f"block{index}_pool")
        features[2**index] = x
    return x, features


def head(network: Network, options: Options, x: Tensor, features: Features) -> Tensor:
    """Two dense layers of 4096, and the classifier; they fix the size of the image."""
    x = keras.layers.Flatten(name="flatten")(x)
    initializer: Any = _glorot_uniform_in_parts
    for name in ("fc1", "fc2"):
        units = round_channels(4096 * options.width)
        dense = keras.layers.Dense(
            units, activation="relu", kernel_initializer=initializer, name=name
        )
        x = dense(x)
        dense.kernel_initializer = keras.initializers.GlorotUniform()  # what is saved
        x = keras.layers.Dropout(network.dropout, name=f"{name}_dropout")(x)
    x = keras.layers.Dense(options.classes, name="predictions")(x)
    return classify(options, x)


def _glorot_uniform_in_parts(shape, dtype=None) -> Any:
    """Keras's GlorotUniform, which needs three times the memory of fc1's 103 million weights."""
    limit = math.sqrt(6 / sum(shape))
    rows = 2048
    parts = [
        keras.random.uniform((min(rows, shape[0] - first), shape[1]), -limit, limit, dtype=dtype)
        for first in range(0, shape[0], rows)
    ]
    return keras.ops.concatenate(parts)


_PLAIN = Network(
    name="vgg16_bn",
    source="arXiv:1409.1556, table 1, D",
    rows=ROWS,
    body=body,
    head=head,
    preprocessing=IMAGENET_NORMALIZED,
    dropout=0.5,
)

NETWORKS = (
    _PLAIN,
    dataclasses.replace(
        _PLAIN,
        name="se_vgg16_bn",
        source="arXiv:1709.01507, table 2",
        rows=tuple(dataclasses.replace(row, se=True) for row in ROWS),
        se=PAPER,
    ),
)
