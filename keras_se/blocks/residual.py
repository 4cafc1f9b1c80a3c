"""Blocks with a shortcut, whose SE stands where its `placement` says."""

from typing import Any

from keras import layers

from keras_se.blocks.plain import (
    Activation,
    Tensor,
    channel_axis,
    conv_bn,
    depthwise_bn,
    pool,
    squeeze_excite,
)
from keras_se.checks import check_known
from keras_se.config import SEConfig


def basic_block(
    x: Tensor,
    filters: int,
    strides: int = 1,
    *,
    se: SEConfig | None = None,
    activation: Activation = "relu",
    name: str,
    **options: Any,
) -> Tensor:
    """Residual block of two 3x3 convolutions, as in ResNet-18 and -34.

        y = activation(shortcut(x) + se(conv3x3(conv3x3(x))))

    Args:
        x: Tensor.
        filters: Output channels. The shortcut is a 1x1 convolution where they or the size change.
        strides: Of the first convolution and the shortcut.
        se: `SEConfig` with its placement, or None. `"conv3x3"` is after the first convolution.
        activation: After the first convolution and after the sum.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Source:
        He et al., 2016, arXiv:1512.03385; Hu et al., 2018, figure 3.
    """
    place = _Placer(se, name)
    y = place("pre", x)
    y = conv_bn(y, filters, 3, strides, activation=activation, name=f"{name}_1", **options)
    y = place("conv3x3", y)
    y = conv_bn(y, filters, 3, activation=None, name=f"{name}_2", **options)
    y = place("standard", y)
    shortcut = _shortcut(x, filters, strides, 1, name, options)
    return _add(place("identity", shortcut), y, activation, place, name)


def bottleneck_block(
    x: Tensor,
    filters: int,
    strides: int = 1,
    *,
    se: SEConfig | None = None,
    width: int | None = None,
    first_width: int | None = None,
    groups: int = 1,
    stride_in_first: bool = False,
    shortcut_kernel: int = 1,
    activation: Activation = "relu",
    name: str,
    **options: Any,
) -> Tensor:
    """Residual block of a 1x1, a 3x3 and a 1x1 convolution: ResNet-50, ResNeXt, SENet-154.

        y = activation(shortcut(x) + se(conv1x1(conv3x3(conv1x1(x)))))

    Args:
        x: Tensor.
        filters: Output channels. The shortcut is a convolution where they or the size change.
        strides: Of the block.
        se: `SEConfig` with its placement, or None.
        width: Channels of the 3x3 convolution; None for a quarter of `filters`.
        first_width: Channels of the first 1x1 convolution; None for `width`. SENet-154 has half.
        groups: Of the 3x3 convolution; ResNeXt-50 32x4d has 32 and twice the width.
        stride_in_first: Whether the first 1x1 convolution strides (the paper's ResNets), rather
            than the 3x3 (most code since).
        shortcut_kernel: Side of the shortcut's kernel; SENet-154 has 3.
        activation: After the first two convolutions and after the sum.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Source:
        He et al., 2016, arXiv:1512.03385; Xie et al., 2017, arXiv:1611.05431; Hu et al., 2018.
    """
    width = filters // 4 if width is None else width
    first, second = (strides, 1) if stride_in_first else (1, strides)
    options = {"activation": activation, **options}
    place = _Placer(se, name)
    y = place("pre", x)
    y = conv_bn(y, first_width or width, 1, first, name=f"{name}_1", **options)
    y = conv_bn(y, width, 3, second, groups=groups, name=f"{name}_2", **options)
    y = place("conv3x3", y)
    y = conv_bn(y, filters, 1, name=f"{name}_3", **options | {"activation": None})
    y = place("standard", y)
    shortcut = _shortcut(x, filters, strides, shortcut_kernel, name, options)
    return _add(place("identity", shortcut), y, activation, place, name)


def inverted_residual(
    x: Tensor,
    filters: int,
    strides: int = 1,
    *,
    expanded: int | None = None,
    kernel_size: int | tuple[int, int] = 3,
    se: SEConfig | None = None,
    se_on: str = "expanded",
    activation: Activation = "relu6",
    drop_rate: float = 0.0,
    name: str,
    **options: Any,
) -> Tensor:
    """Expand (1x1), depthwise, project (1x1): MobileNetV2 and V3, MnasNet, EfficientNet.

        y = x + project(se(depthwise(expand(x))))  # no sum where size or channels change

    Args:
        x: Tensor.
        filters: Output channels.
        strides: Of the depthwise convolution.
        expanded: Channels between; None for six times the input's. No expanding convolution
            where they equal the input's.
        kernel_size: Of the depthwise convolution.
        se: `SEConfig`, or None. Its placements `"pre"`, `"post"` and `"identity"` are as in any
            residual block, the last only where there is a sum; `"conv3x3"` is after the depthwise
            convolution, `"standard"` where `se_on` says.
        se_on: `"expanded"` as published, or `"projected"`, on the narrow tensor before the sum:
            on int8 runtimes cheaper by about the expansion.
        activation: After expanding and after the depthwise convolution; none after projecting.
        drop_rate: Fraction of the samples whose branch is dropped in training, where there is a
            sum (EfficientNet).
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Example: EfficientNet's, whose reduction counts from the block's input.

    >>> import keras
    >>> from keras_se import EFFICIENTNET
    >>> x, se = keras.Input((56, 56, 24)), EFFICIENTNET.for_expansion(6)
    >>> inverted_residual(x, 24, activation="silu", se=se, name="block").shape
    (None, 56, 56, 24)

    Source:
        Sandler et al., 2018, arXiv:1801.04381; Howard et al., 2019, arXiv:1905.02244; Tan and
        Le, 2019, arXiv:1905.11946.
    """
    check_known("se_on", se_on, ("expanded", "projected"))
    channels = x.shape[channel_axis()]
    expanded = 6 * channels if expanded is None else expanded
    options = {"activation": activation, **options}
    place = _Placer(se, name)
    y = place("pre", x)
    if expanded != channels:
        y = conv_bn(y, expanded, name=f"{name}_1", **options)
    y = depthwise_bn(y, kernel_size, strides, name=f"{name}_2", **options)
    y = place("conv3x3", y)
    if se_on == "expanded":
        y = place("standard", y)
    y = conv_bn(y, filters, name=f"{name}_3", **options | {"activation": None})
    if se_on == "projected":
        y = place("standard", y)
    if strides != 1 or channels != filters:
        return place("post", y)
    if drop_rate:
        y = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return _add(place("identity", x), y, None, place, name)


def shuffle_unit(
    x: Tensor,
    filters: int,
    strides: int = 1,
    *,
    groups: int = 3,
    first_groups: int | None = None,
    width: int | None = None,
    se: SEConfig | None = None,
    name: str,
    **options: Any,
) -> Tensor:
    """ShuffleNet's unit: grouped 1x1, channel shuffle, depthwise 3x3, grouped 1x1.

        y = relu(x + se(branch(x)))                            # strides 1
        y = relu(concatenate(average_pool(x), se(branch(x))))  # strides 2

    Args:
        x: Tensor, of known height and width.
        filters: Output channels, with strides 2 counting those of the input that are passed on.
        strides: 1 or 2.
        groups: Of both 1x1 convolutions.
        first_groups: Of the first one; None for `groups`. The network's first unit has 1.
        width: Channels between; None for a quarter of `filters`.
        se: `SEConfig` with its placement, or None.
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Source:
        Zhang et al., 2017, arXiv:1707.01083, figure 2; SE's place is that of a residual block.
    """
    width = filters // 4 if width is None else width
    branch_filters = filters if strides == 1 else filters - x.shape[channel_axis()]
    place = _Placer(se, name)
    y = place("pre", x)
    y = conv_bn(y, width, groups=first_groups or groups, name=f"{name}_1", **options)
    y = shuffle_channels(y, groups, name=f"{name}_shuffle")
    y = depthwise_bn(y, 3, strides, activation=None, name=f"{name}_2", **options)
    y = place("conv3x3", y)
    y = conv_bn(y, branch_filters, groups=groups, activation=None, name=f"{name}_3", **options)
    y = place("standard", y)
    if strides == 1:
        return _add(place("identity", x), y, "relu", place, name)
    shortcut = place("identity", pool(x, 3, strides, kind="avg", name=f"{name}_pool"))
    y = layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")([shortcut, y])
    return place("post", layers.Activation("relu", name=f"{name}_out")(y))


def shuffle_channels(x: Tensor, groups: int, *, name: str) -> Tensor:
    """Deal the channels of each group out to all groups: (g, n) becomes (n, g).

    Height and width must be known, but for one; the layers are `NAME_split`, `NAME_swap` and
    `NAME_join`.
    """
    shape = list(x.shape[1:])
    axis = channel_axis() % 4 - 1  # without the batch
    if shape.count(None) > 1 or shape[axis] % groups:
        raise ValueError(
            f"A channel shuffle needs a known size and channels that its groups divide. Received: "
            f"shape {tuple(x.shape)} and groups={groups} at {name!r}. Give the model's Input its "
            f"height and width, and a multiple of {groups} channels."
        )
    shape = [-1 if size is None else size for size in shape]
    split = [*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]]
    swap = [1, 2, 3, 4]
    swap[axis], swap[axis + 1] = swap[axis + 1], swap[axis]
    x = layers.Reshape(split, name=f"{name}_split")(x)
    x = layers.Permute(swap, name=f"{name}_swap")(x)
    return layers.Reshape(shape, name=f"{name}_join")(x)


class _Placer:
    """Applies SE at the one place that its placement names; `place(at, x)` elsewhere is `x`."""

    def __init__(self, se, name):
        self.se, self.name = se, name

    def __call__(self, at, x):
        here = self.se is not None and getattr(self.se, "placement", at) == at
        return squeeze_excite(x, self.se if here else None, name=f"{self.name}_se")


def _shortcut(x, filters, strides, kernel_size, name, options):
    if strides == 1 and x.shape[channel_axis()] == filters:
        return x
    options = options | {"activation": None}
    return conv_bn(x, filters, kernel_size, strides, name=f"{name}_shortcut", **options)


def _add(shortcut, y, activation, place, name):
    """The sum, its activation, and what is placed after them."""
    axis = channel_axis()
    if shortcut.shape[axis] != y.shape[axis]:
        raise ValueError(
            f"The two sides of a residual sum must have equal channels. Received: "
            f"{shortcut.shape[axis]} and {y.shape[axis]} in block {name!r}, se={place.se!r}. "
            f"An SEConfig with aggregate='concat' doubles them: use 'add', 'max' or 'mul' here."
        )
    y = layers.Add(name=f"{name}_add")([shortcut, y])
    if activation is not None:
        y = layers.Activation(activation, name=f"{name}_out")(y)
    return place("post", y)
