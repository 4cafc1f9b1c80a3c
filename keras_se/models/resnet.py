"""ResNet, ResNeXt and SENet-154, each with the paper's SE and without.

He et al., 2016, arXiv:1512.03385, table 1.
Xie et al., 2017, arXiv:1611.05431, table 1.
Hu et al., 2018, arXiv:1709.01507, table 1 and section 6.5 of the appendix.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from keras_se import blocks
from keras_se.blocks.residual import PLACES
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

_NORM: dict[str, Any] = {
    "epsilon": 1.001e-5,
    "padding": "symmetric",
}  # epsilon: keras.applications' ResNets


@dataclass(frozen=True)
class Stage:
    """One row of the tables: conv2_x to conv5_x.

    Args:
        out: Output channels of each block.
        repeat: Blocks.
        stride: Stride of the first block.
        width: Channels of the 3x3 convolutions; None for a quarter of `out`.
        groups: Groups of the 3x3 convolutions ("C").
        first_width: Channels of the first 1x1 convolutions; None for `width`.
        shortcut_kernel: Side of the kernel on the first block's shortcut.
        se: Whether the branch of each block is rescaled.
    """

    out: int
    repeat: int
    stride: int
    width: int | None = None
    groups: int = 1
    first_width: int | None = None
    shortcut_kernel: int = 1
    se: bool = True


@dataclass(frozen=True)
class ResNet(Network):
    """A residual network with its stem.

    Args:
        bottleneck: Whether blocks are 1x1, 3x3, 1x1 rather than two 3x3.
        stem: `(channels, kernel, stride)` of each convolution before the pooling.
    """

    bottleneck: bool = True
    stem: tuple[tuple[int, int, int], ...] = ((64, 7, 2),)


def _rows(repeats, expansion=4, **columns):
    widths = (64, 128, 256, 512)
    return tuple(
        Stage(width * expansion, repeat, 2 if index else 1, **columns)
        for index, (width, repeat) in enumerate(zip(widths, repeats, strict=True))
    )


def _resnext(repeats):
    rows = _rows(repeats, groups=32)
    return tuple(dataclasses.replace(row, width=row.out // 2) for row in rows)


BASIC = {
    # blocks of conv2_x to conv5_x
    18: _rows((2, 2, 2, 2), expansion=1),
    34: _rows((3, 4, 6, 3), expansion=1),
}
BOTTLENECK = {
    50: _rows((3, 4, 6, 3)),
    101: _rows((3, 4, 23, 3)),
    152: _rows((3, 8, 36, 3)),
}
RESNEXT = {  # 32 groups, 4 channels each in conv2_x
    50: _resnext((3, 4, 6, 3)),
    101: _resnext((3, 4, 23, 3)),
}
SENET_154 = (
    # out, n, s, width, C, first, shortcut
    Stage(256, 3, 1, 256, 64, 128, 1),
    Stage(512, 8, 2, 512, 64, 256, 3),
    Stage(1024, 36, 2, 1024, 64, 512, 3),
    Stage(2048, 3, 2, 2048, 64, 1024, 3),
)


def body(network: ResNet, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem, pooling, four stages of residual blocks.

    `stride_in` says which convolution of a bottleneck strides: `"1x1"`, the first, as in the
    paper's ResNets, or `"3x3"`, as in torchvision's and in every ResNeXt. `pool` says how the
    stem's pooling is padded: `"symmetric"` as in Keras and torchvision, `"end"` as in Caffe and so
    in the weights that the paper's authors published.
    """
    settings = options.settings

    def channels(n):
        divisor = max(row.groups for row in network.rows)
        return n if options.width == 1 else round_channels(n * options.width, max(8, divisor))

    for index, (out, kernel, stride) in enumerate(network.stem, start=1):
        name = "conv1" if len(network.stem) == 1 else f"conv1_{index}"
        x = blocks.conv_bn(x, channels(out), kernel, stride, name=name, **_NORM)
    features = {2: x}
    # Zeros do as padding, after a ReLU. "same" would pad odd sizes on both sides.
    sides = 1 if settings["pool"] == "symmetric" else ((0, 1), (0, 1))
    x = keras.layers.ZeroPadding2D(sides, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    reached = 4
    for index, (row, row_se) in enumerate(zip(network.rows, options.se, strict=True), start=2):
        for repeat, se in enumerate(row_se):
            stride = 1 if repeat else row.stride
            name = f"conv{index}_block{repeat + 1}"
            if not network.bottleneck:
                out = channels(row.out)
                x = blocks.basic_block(x, out, strides=stride, se=se, name=name, **_NORM)
                continue
            x = blocks.bottleneck_block(
                x,
                channels(row.out),
                strides=stride,
                se=se,
                width=channels(row.width or row.out // 4),
                first_width=row.first_width and channels(row.first_width),
                groups=row.groups,
                stride_in_first=settings["stride_in"] == "1x1",
                shortcut_kernel=row.shortcut_kernel,
                name=name,
                **_NORM,
            )
        reached *= row.stride
        features[reached] = x
    return x, features


def _pair(name, source, rows, stride_in="3x3", **fields):
    """Return the SE network `se_NAME` and its plain twin."""
    plain = ResNet(
        name=name,
        source=source,
        rows=tuple(dataclasses.replace(row, se=False) for row in rows),
        body=body,
        head=pool_and_classify,
        preprocessing=IMAGENET_NORMALIZED,
        places=PLACES,
        settings={"stride_in": stride_in, "pool": "symmetric"},
        **fields,
    )
    source = f"arXiv:1709.01507, table 1, on {source}"
    return plain, dataclasses.replace(plain, name=f"se_{name}", source=source, rows=rows, se=PAPER)


_HE, _XIE = "arXiv:1512.03385, table 1", "arXiv:1611.05431, table 1"
_SENET = ResNet(
    name="senet154",
    source="arXiv:1709.01507, section 6.5 and appendix",
    rows=SENET_154,
    body=body,
    head=pool_and_classify,
    se=dataclasses.replace(PAPER, use_bias=True),  # as published; table 1's has none
    preprocessing=IMAGENET_NORMALIZED,
    stem=((64, 3, 2), (64, 3, 1), (128, 3, 1)),
    dropout=0.2,
    places=PLACES,
    settings={"stride_in": "3x3", "pool": "end"},
)

NETWORKS = (
    *(n for d, rows in BASIC.items() for n in _pair(f"resnet{d}", _HE, rows, bottleneck=False)),
    *(n for d, rows in BOTTLENECK.items() for n in _pair(f"resnet{d}", _HE, rows, "1x1")),
    *(n for d, rows in RESNEXT.items() for n in _pair(f"resnext{d}_32x4d", _XIE, rows)),
    _SENET,
)
