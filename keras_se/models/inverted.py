"""Networks of repeated inverted residuals: MobileNetV2, MnasNet-A1, EfficientNet-B0 and -Lite0.

Sandler et al., 2018, "MobileNetV2", arXiv:1801.04381, table 2.
Tan et al., 2019, "MnasNet", arXiv:1807.11626, figure 7(a).
Tan and Le, 2019, "EfficientNet", arXiv:1905.11946, table 1.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from keras_se import blocks
from keras_se.blocks.residual import INVERTED_PLACES
from keras_se.config import EFFICIENTNET, SEConfig
from keras_se.models.base import (
    IMAGENET_NORMALIZED,
    Features,
    Network,
    Options,
    Tensor,
    pool_and_classify,
    round_channels,
)


@dataclass(frozen=True)
class MBConv:
    """One row of the tables: a stage of inverted residual blocks.

    Args:
        kernel: Side of the depthwise kernels ("k3x3").
        expansion: Expanded channels over those of each block's input ("t", "MBConv6").
        out: Output channels ("c").
        repeat: Blocks ("n").
        stride: Stride of the first block ("s").
        ratio: Squeezed channels are those of the block's input over this; None for no SE.
        activation: Of SE.
    """

    kernel: int
    expansion: int
    out: int
    repeat: int
    stride: int
    ratio: int | None = None
    activation: str = "relu"

    @property
    def se(self) -> SEConfig | None:
        """The row's squeeze-and-excitation, told for the expanded tensor it stands on."""
        if self.ratio is None:
            return None
        own = dataclasses.replace(EFFICIENTNET, reduction=self.ratio, activation=self.activation)
        return own.for_expansion(self.expansion)


@dataclass(frozen=True)
class Inverted(Network):
    """A network of inverted residuals with what stands around its rows.

    Args:
        activation: After the expanding and the depthwise convolutions, and in both ends.
        momentum: Of BatchNorm.
        block_name: Template of the blocks' names, from `stage`, `letter` and `index`.
        last_narrows: Whether a width below 1 narrows the last convolution too.
        fixed_ends: Whether stem and last convolution keep their channels at any width.
    """

    activation: str = "relu6"
    momentum: float = 0.99
    block_name: str = "block_{index}"
    last_narrows: bool = True
    fixed_ends: bool = False


MOBILENET_V2 = (
    # k, t, c, n, s
    MBConv(3, 1, 16, 1, 1),
    MBConv(3, 6, 24, 2, 2),
    MBConv(3, 6, 32, 3, 2),
    MBConv(3, 6, 64, 4, 2),
    MBConv(3, 6, 96, 3, 1),
    MBConv(3, 6, 160, 3, 2),
    MBConv(3, 6, 320, 1, 1),
)

MNASNET_A1 = (
    # k, t, c, n, s, SE
    MBConv(3, 1, 16, 1, 1),  # "SepConv"
    MBConv(3, 6, 24, 2, 2),
    MBConv(5, 3, 40, 3, 2, 4),
    MBConv(3, 6, 80, 4, 2),
    MBConv(3, 6, 112, 2, 1, 4),
    MBConv(5, 6, 160, 3, 2, 4),
    MBConv(3, 6, 320, 1, 1),
)

EFFICIENTNET_B0 = (
    # k, t, c, n, s, SE
    MBConv(3, 1, 16, 1, 1, 4, "silu"),
    MBConv(3, 6, 24, 2, 2, 4, "silu"),
    MBConv(5, 6, 40, 2, 2, 4, "silu"),
    MBConv(3, 6, 80, 3, 2, 4, "silu"),
    MBConv(5, 6, 112, 3, 1, 4, "silu"),
    MBConv(5, 6, 192, 4, 2, 4, "silu"),
    MBConv(3, 6, 320, 1, 1, 4, "silu"),
)


def body(network: Inverted, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Stem of 32 channels, stages, last convolution of 1280.

    Source:
        Rounding, BatchNorm's settings and drop connect are those of `keras.applications`, whose
        weights fit. MnasNet and EfficientNet squeeze to a quarter of a block's input, not of the
        expanded tensor.
    """
    settings = options.settings
    common: dict[str, Any] = {
        "activation": network.activation,
        "padding": settings["padding"],
        "momentum": network.momentum,
    }
    ends = 1.0 if network.fixed_ends else options.width
    x = blocks.conv_bn(x, round_channels(32 * ends), 3, 2, name="stem", **common)
    features, stride, index = {2: x}, 2, 0
    total = sum(row.repeat for row in network.rows)
    for stage, (row, row_se) in enumerate(zip(network.rows, options.se, strict=True), start=1):
        for repeat, se in enumerate(row_se):
            x = blocks.inverted_residual(
                x,
                round_channels(row.out * options.width),
                strides=1 if repeat else row.stride,
                expanded=x.shape[-1] * row.expansion,
                kernel_size=row.kernel,
                se=se,
                drop_rate=settings.get("drop_connect", 0.0) * index / total,
                name=network.block_name.format(
                    stage=stage, letter=chr(ord("a") + repeat), index=index
                ),
                **common,
            )
            index += 1
        stride *= row.stride
        features[stride] = x
    last = round_channels(1280 * (ends if network.last_narrows else max(1.0, ends)))
    x = features[stride] = blocks.conv_bn(x, last, name="top", **common)
    return x, features


_MOBILE = {"padding": "same"}

NETWORKS = (
    Inverted(
        name="mobilenet_v2",
        source="arXiv:1801.04381, table 2",
        rows=MOBILENET_V2,
        body=body,
        head=pool_and_classify,
        places=INVERTED_PLACES,
        momentum=0.999,
        last_narrows=False,
        dropout=0.2,
        settings=_MOBILE,
    ),
    Inverted(
        name="mnasnet_a1",
        source="arXiv:1807.11626, figure 7(a)",
        rows=MNASNET_A1,
        body=body,
        head=pool_and_classify,
        places=INVERTED_PLACES,
        activation="relu",
        last_narrows=False,
        dropout=0.2,
        settings=_MOBILE,
    ),
    Inverted(
        name="efficientnet_b0",
        source="arXiv:1905.11946, table 1",
        rows=EFFICIENTNET_B0,
        body=body,
        head=pool_and_classify,
        places=INVERTED_PLACES,
        preprocessing=IMAGENET_NORMALIZED,
        activation="silu",
        block_name="block{stage}{letter}",
        dropout=0.2,
        settings=_MOBILE | {"drop_connect": 0.2},
    ),
    Inverted(
        name="efficientnet_lite0",
        source="github.com/tensorflow/tpu, models/official/efficientnet/lite",
        rows=tuple(dataclasses.replace(row, ratio=None) for row in EFFICIENTNET_B0),
        body=body,
        head=pool_and_classify,
        places=INVERTED_PLACES,
        preprocessing=(1 / 128, -127 / 128),
        block_name="block{stage}{letter}",
        fixed_ends=True,
        dropout=0.2,
        settings=_MOBILE | {"drop_connect": 0.2},
    ),
)
