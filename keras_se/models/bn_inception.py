"""BN-Inception, plain or with SE on each module's output.

Ioffe and Szegedy, 2015, "Batch Normalization", arXiv:1502.03167, figure 5.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial

import keras

from keras_se import blocks
from keras_se.config import PAPER
from keras_se.models.base import (
    IMAGENET_NORMALIZED,
    Features,
    Network,
    Options,
    Tensor,
    pool_and_classify,
    round_channels,
)

_conv = partial(blocks.conv_bn, epsilon=1e-5, padding="symmetric")


@dataclass(frozen=True)
class Module:
    """One row of figure 5: four branches, concatenated.

    Args:
        name: The row's name.
        one: Channels of the 1x1 branch ("#1x1"); 0 for none, and stride 2 in the others.
        three: Channels of the 3x3 branch ("#3x3 reduce", "#3x3").
        double: Channels of the branch of two 3x3 ("double #3x3 reduce", "double #3x3").
        pool: Kind of the pooling branch ("Pool +proj").
        proj: Channels of its 1x1 convolution; 0 passes the pooled input on.
        se: Whether the concatenation is rescaled.
    """

    name: str
    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pool: str
    proj: int
    se: bool = False


ROWS = (
    #       #1x1      #3x3    double #3x3  pool +proj
    Module("3a", 64, (64, 64), (64, 96), "avg", 32),
    Module("3b", 64, (64, 96), (64, 96), "avg", 64),
    Module("3c", 0, (128, 160), (64, 96), "max", 0),
    Module("4a", 224, (64, 96), (96, 128), "avg", 128),
    Module("4b", 192, (96, 128), (96, 128), "avg", 128),
    Module("4c", 160, (128, 160), (128, 160), "avg", 128),
    Module("4d", 96, (128, 192), (160, 192), "avg", 128),
    Module("4e", 0, (128, 192), (192, 256), "max", 0),
    Module("5a", 352, (192, 320), (160, 224), "avg", 128),
    Module("5b", 352, (192, 320), (192, 224), "max", 128),
)


def body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem of two convolutions and two poolings, ten modules.

    Source:
        Figure 5, with 128 pooled channels in 4c and 4d where it prints 96, and a plain 7x7
        convolution where it has a separable one: so the Caffe model that the SE paper's authors
        published, and everything since. Average pooling counts the padding, as Caffe's does.
    """

    def channels(n):
        return round_channels(n * options.width)

    x = _conv(x, channels(64), 7, 2, name="conv1")
    features = {2: x}
    x = blocks.pool(x, name="pool1")
    x = _conv(x, channels(64), name="conv2_reduce")
    x = features[4] = _conv(x, channels(192), 3, name="conv2")
    x = blocks.pool(x, name="pool2")
    stride = 8
    for row, (se,) in zip(network.rows, options.se, strict=True):
        last = 1 if row.one else 2
        branches = [
            [_step(channels, row.three[0]), _step(channels, row.three[1], 3, last)],
            [
                _step(channels, row.double[0]),
                _step(channels, row.double[1], 3),
                _step(channels, row.double[1], 3, last),
            ],
            [partial(_pool, kind=row.pool, strides=last)],
        ]
        if row.one:
            branches.insert(0, [_step(channels, row.one)])
        if row.proj:
            branches[-1].append(_step(channels, row.proj))
        stride *= last
        x = blocks.inception_module(x, branches, se=se, name=f"inception_{row.name}")
        features[stride] = x
    return x, features


def _step(channels, out, kernel=1, stride=1):
    return partial(_conv, filters=channels(out), kernel_size=kernel, strides=stride)


def _pool(x, *, kind, strides, name):
    """Pool 3x3; an average counts the zeros around the image."""
    if kind == "avg":
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        return blocks.pool(x, 3, strides, kind=kind, padding="valid", name=name)
    return blocks.pool(x, 3, strides, kind=kind, name=name)


_PLAIN = Network(
    name="bn_inception",
    source="arXiv:1502.03167, figure 5",
    rows=ROWS,
    body=body,
    head=pool_and_classify,
    preprocessing=IMAGENET_NORMALIZED,
)

NETWORKS = (
    _PLAIN,
    dataclasses.replace(
        _PLAIN,
        name="se_bn_inception",
        source="arXiv:1709.01507, table 2",
        rows=tuple(dataclasses.replace(row, se=True) for row in ROWS),
        se=PAPER,
    ),
)
