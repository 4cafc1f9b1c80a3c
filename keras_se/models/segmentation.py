"""U-Net on any of the mobile encoders, with scSE after each decoder block; and LR-ASPP.

Ronneberger et al., 2015, arXiv:1505.04597; Roy et al., 2018, arXiv:1803.02579.
Howard et al., 2019, "Searching for MobileNetV3", arXiv:1905.02244, section 6.4 and figure 10.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from keras_se import blocks
from keras_se.checks import check_known
from keras_se.config import SEConfig
from keras_se.models import inverted, mobilenet_v1, mobilenet_v3, shufflenet_v1
from keras_se.models.base import (
    Features,
    Network,
    Options,
    Preprocessing,
    Tensor,
    classify,
    resolve_se,
    round_channels,
)

ENCODERS = {
    network.name: network
    for family in (mobilenet_v1, inverted, mobilenet_v3, shufflenet_v1)
    for network in family.NETWORKS
}


@dataclass(frozen=True)
class Decoder:
    """One step up of the U-Net.

    Args:
        stride: Stride of its output.
        out: Output channels.
        se: Whether its output is rescaled.
    """

    stride: int
    out: int
    se: bool = True


UNET = (
    # stride, out
    Decoder(16, 128),
    Decoder(8, 64),
    Decoder(4, 48),
    Decoder(2, 32),
    Decoder(1, 16),
)


@dataclass(frozen=True)
class UNet(Network):
    """A U-Net, which expects the pixels that its encoder does."""

    def expects(self, settings: dict[str, Any]) -> Preprocessing:
        """Return the `(scale, offset)` of the encoder."""
        return _encoder(settings).preprocessing


def _encoder(settings):
    name = settings["encoder"]
    check_known("encoder", name, ENCODERS, "U-Nets stand on mobile networks.")
    return ENCODERS[name]


def unet_body(network: Network, options: Options, x: Tensor) -> tuple[Tensor, Features]:
    """Encoder, then one decoder block a resolution.

    Source:
        Resizing is bilinear rather than a transposed convolution: integer runtimes keep it in
        one piece. scSE has reduction 2, as in Roy et al.
    """
    settings = options.settings
    encoder = _encoder(settings)
    _check_size(network, options, 32)
    inner = dataclasses.replace(
        options,
        se=resolve_se(encoder, settings["encoder_se"], "encoder_se"),
        settings=encoder.settings,
    )
    x, skips = encoder.body(encoder, inner, x)
    features = {}
    for row, (se,) in zip(network.rows, options.se, strict=True):
        x = features[row.stride] = blocks.unet_decoder(
            x,
            skips.get(row.stride),
            round_channels(row.out * options.width),
            se=se,
            interpolation="bilinear",
            name=f"decoder_{row.stride}",
        )
    return x, features


def unet_head(network: Network, options: Options, x: Tensor, features: Features) -> Tensor:
    """Classify each pixel."""
    x = keras.layers.Conv2D(options.classes, 3, padding="same", name="logits")(x)
    return classify(options, x)


def lraspp_body(
    network: mobilenet_v3.MobileNetV3, options: Options, x: Tensor
) -> tuple[Tensor, Features]:
    """MobileNetV3 dilated to stride 16."""
    _check_size(network, options, 16)
    dilated = options.settings | {"output_stride": 16}
    return mobilenet_v3.body(network, dataclasses.replace(options, settings=dilated), x)


def lraspp_head(network: Network, options: Options, x: Tensor, features: Features) -> Tensor:
    """Gate the deep features by their mean, add the scores of the finer ones, resize.

    Source:
        Figure 10. The mean is over the whole image, as in torchvision, so that any size will do;
        the paper's is over 49x49.
    """
    width = round_channels(128 * options.width)
    y = blocks.conv_bn(x, width, name="head")
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name="head_pool")(x)
    gate = keras.layers.Conv2D(width, 1, use_bias=False, name="head_gate")(gate)
    gate = keras.layers.Activation("sigmoid", name="head_sigmoid")(gate)
    y = keras.layers.Multiply(name="head_mul")([y, gate])
    y = keras.layers.UpSampling2D(2, interpolation="bilinear", name="head_up")(y)
    y = keras.layers.Conv2D(options.classes, 1, name="high_logits")(y)
    low = keras.layers.Conv2D(options.classes, 1, name="low_logits")(features[8])
    y = keras.layers.Add(name="logits")([low, y])
    y = keras.layers.UpSampling2D(8, interpolation="bilinear", name="resize")(y)
    return classify(options, y)


def _check_size(network, options: Options, stride):
    if any(side is not None and side % stride for side in options.input_shape[:2]):
        height, width = (side and -(-side // stride) * stride for side in options.input_shape[:2])
        raise ValueError(
            f"The image's sides must be multiples of the network's stride {stride}. Received: "
            f"input_shape={options.input_shape} for network {network.name!r}. "
            f"Pad or resize the images to ({height}, {width})."
        )


_V3 = {network.name: network for network in mobilenet_v3.NETWORKS}


def _lraspp(name, encoder):
    return dataclasses.replace(
        _V3[encoder],
        name=name,
        source="arXiv:1905.02244, figure 10",
        body=lraspp_body,
        head=lraspp_head,
        input_shape=(512, 512, 3),
        classes=21,
        dropout=0.0,
        settings={k: v for k, v in _V3[encoder].settings.items() if k != "output_stride"},
    )


NETWORKS = (
    UNet(
        name="unet",
        source="arXiv:1505.04597, with the scSE of arXiv:1803.02579",
        rows=UNET,
        body=unet_body,
        head=unet_head,
        se=SEConfig(kind="scse", reduction=2, min_channels=1),
        classes=21,
        settings={"encoder": "mobilenet_v2", "encoder_se": "default"},
    ),
    _lraspp("lraspp", "mobilenet_v3_large"),
    _lraspp("lraspp_small", "mobilenet_v3_small"),
)
