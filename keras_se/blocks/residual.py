"""Blocks with a shortcut, whose SE stands where its `placement` says."""

from typing import Any

from keras import layers

from keras_se.blocks.parts import (
    Activation,
    Tensor,
    block,
    channel_axis,
    check_place,
    conv_bn,
    depthwise_bn,
    pool,
)
from keras_se.checks import check_count, check_flag, check_number
from keras_se.config import SEConfig

PLACES = ("standard", "pre", "post", "identity", "conv3x3")
INVERTED_PLACES = ("standard", "expanded", "projected", "pre", "post", "identity")


@block(conv_bn)
def basic_block(
    x: Tensor,
    filters: int,
    *,
    strides: int = 1,
    se: SEConfig | None = None,
    activation: Activation = "relu",
    name: str,
    **options: Any,
) -> Tensor:
    """Residual block of two 3x3 convolutions, as in ResNet-18 and -34.

        y = activation(shortcut(x) + se(conv3x3(conv3x3(x))))

    Args:
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels. The shortcut is a 1x1 convolution where they or the size change.
        strides: Of the first convolution and the shortcut.
        se: `SEConfig`, or None. Its places are `"standard"`, on the branch before the sum, `"pre"`,
            `"post"`, `"identity"`, and `"conv3x3"`, after the first convolution.
        activation: After the first convolution and after the sum.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`, sizes rounded up.

    Raises:
        ValueError: A value is out of its range, a name is not known, the block has no such place
            for SE, or the two sides of the sum have other channels.
        TypeError: A value is of the wrong kind.

    Source:
        He et al., 2016, arXiv:1512.03385; Hu et al., 2018, figure 3.
    """
    place = _Placer(se, name, PLACES)
    y = place("pre", x)
    y = conv_bn(y, filters, 3, strides, activation=activation, name=f"{name}_1", **options)
    y = place("conv3x3", y)
    y = conv_bn(y, filters, 3, activation=None, name=f"{name}_2", **options)
    y = place("standard", y)
    shortcut = _shortcut(x, filters, strides, 1, name, options)
    return _add(place("identity", shortcut), y, activation, place, name)


@block(conv_bn)
def bottleneck_block(
    x: Tensor,
    filters: int,
    *,
    strides: int = 1,
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
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels. The shortcut is a convolution where they or the size change.
        strides: Of the block.
        se: `SEConfig`, or None. Its places are `"standard"`, on the branch before the sum, `"pre"`,
            `"post"`, `"identity"`, and `"conv3x3"`.
        width: Channels of the 3x3 convolution; None for a quarter of `filters`.
        first_width: Channels of the first 1x1 convolution; None for `width`. SENet-154 has half.
        groups: Of the 3x3 convolution; ResNeXt-50 32x4d has 32 and twice the width.
        stride_in_first: Whether the first 1x1 convolution strides (the paper's ResNets), rather
            than the 3x3 (most code since).
        shortcut_kernel: Side of the shortcut's kernel; SENet-154 has 3.
        activation: After the first two convolutions and after the sum.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`, sizes rounded up.

    Raises:
        ValueError: A value is out of its range, a name is not known, the block has no such place
            for SE, or the two sides of the sum have other channels.
        TypeError: A value is of the wrong kind.

    Source:
        He et al., 2016, arXiv:1512.03385; Xie et al., 2017, arXiv:1611.05431; Hu et al., 2018.
    """
    where = f" in block {name!r}"
    check_flag("stride_in_first", stride_in_first, where)
    check_count("shortcut_kernel", shortcut_kernel, 1, "SENet-154 has 3, others 1.", where)
    check_count("filters", filters, 4, "It is the number of output channels.", where)
    width = _width("width", width, filters // 4, where)
    first_width = _width("first_width", first_width, width, where)
    first, second = (strides, 1) if stride_in_first else (1, strides)
    place = _Placer(se, name, PLACES)
    y = place("pre", x)
    y = conv_bn(y, first_width, 1, first, activation=activation, name=f"{name}_1", **options)
    y = conv_bn(
        y, width, 3, second, groups=groups, activation=activation, name=f"{name}_2", **options
    )
    y = place("conv3x3", y)
    y = conv_bn(y, filters, 1, activation=None, name=f"{name}_3", **options)
    y = place("standard", y)
    shortcut = _shortcut(x, filters, strides, shortcut_kernel, name, options)
    return _add(place("identity", shortcut), y, activation, place, name)


@block(conv_bn, depthwise_bn)
def inverted_residual(
    x: Tensor,
    filters: int,
    *,
    strides: int = 1,
    expanded: int | None = None,
    kernel_size: int | tuple[int, int] = 3,
    se: SEConfig | None = None,
    activation: Activation = "relu6",
    drop_rate: float = 0.0,
    name: str,
    **options: Any,
) -> Tensor:
    """Expand (1x1), depthwise, project (1x1): MobileNetV2 and V3, MnasNet, EfficientNet.

        y = x + project(se(depthwise(expand(x))))  # no sum where size or channels change

    Args:
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels.
        strides: Of the depthwise convolution.
        expanded: Channels between; None for six times the input's. No expanding convolution
            where they equal the input's.
        kernel_size: Of the depthwise convolution.
        se: `SEConfig`, or None. Its places are `"standard"` or `"expanded"`, both after the
            depthwise convolution; `"projected"`, on the narrow tensor before the sum, on int8
            runtimes cheaper by about the expansion; `"pre"`, `"post"`, and `"identity"`, which a
            block without a sum leaves out.
        activation: After expanding and after the depthwise convolution; none after projecting.
        drop_rate: Fraction of the samples whose branch is dropped in training, where there is a
            sum (EfficientNet).
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`, sizes rounded up.

    Raises:
        ValueError: A value is out of its range, a name is not known, the block has no such place
            for SE, or the two sides of the sum have other channels.
        TypeError: A value is of the wrong kind.

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
    where = f" in block {name!r}"
    check_number("drop_rate", drop_rate, 0, 1, "For no dropping, pass 0.", where)
    channels = x.shape[channel_axis()]
    wide = _width("expanded", expanded, 6 * channels, where)
    place = _Placer(se, name, INVERTED_PLACES, standard="expanded")
    y = place("pre", x)
    if wide != channels:
        y = conv_bn(y, wide, activation=activation, name=f"{name}_1", **options)
    y = depthwise_bn(y, kernel_size, strides, activation=activation, name=f"{name}_2", **options)
    y = place("expanded", y)
    y = conv_bn(y, filters, activation=None, name=f"{name}_3", **options)
    y = place("projected", y)
    if strides != 1 or channels != filters:
        return place("post", y)
    if drop_rate:
        y = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
    return _add(place("identity", x), y, None, place, name)


@block(conv_bn, depthwise_bn)
def shuffle_unit(
    x: Tensor,
    filters: int,
    *,
    strides: int = 1,
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
        x: Tensor `(batch, height, width, channels)`, height and width known.
        filters: Output channels, with strides 2 counting those of the input that are passed on.
        strides: 1 or 2.
        groups: Of both 1x1 convolutions.
        first_groups: Of the first one; None for `groups`. The network's first unit has 1.
        width: Channels between; None for a quarter of `filters`.
        se: `SEConfig`, or None. Its places are `"standard"`, on the branch before the sum or the
            concatenation, `"pre"`, `"post"`, `"identity"`, and `"conv3x3"`, after the depthwise
            convolution.
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`, sizes rounded up.

    Raises:
        ValueError: `strides` is another number, the size is not known, `groups` does not divide
            the channels, or as `bottleneck_block`.
        TypeError: A value is of the wrong kind.

    Source:
        Zhang et al., 2017, arXiv:1707.01083, figure 2; SE's place is that of a residual block.
    """
    where = f" in block {name!r}"
    if strides not in (1, 2):
        raise ValueError(
            f"`strides` of a shuffle unit must be 1 or 2. Received: strides={strides!r}{where}. "
            f"For a larger step, use several units."
        )
    check_count("filters", filters, 4, "It is the number of output channels.", where)
    width = _width("width", width, filters // 4, where)
    branch_filters = filters if strides == 1 else filters - x.shape[channel_axis()]
    place = _Placer(se, name, PLACES)
    y = place("pre", x)
    first_groups = groups if first_groups is None else first_groups
    y = conv_bn(y, width, groups=first_groups, name=f"{name}_1", **options)
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


@block()
def shuffle_channels(x: Tensor, groups: int, *, name: str) -> Tensor:
    """Deal the channels of each group out to all groups: (g, n) becomes (n, g).

    Args:
        x: Tensor `(batch, height, width, channels)`; height or width may be unknown, not both.
        groups: Groups of channels.
        name: Prefix: the layers are `NAME_split`, `NAME_swap` and `NAME_join`.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: The size is not known, or `groups` does not divide the channels.
    """
    check_count("groups", groups, 1, "Channels are dealt out from so many groups.", f" at {name!r}")
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
    """Applies what of SE stands at a place; `place(at, x)` elsewhere is `x`."""

    def __init__(self, se, name, places, standard="standard"):
        check_place(se, places, name)
        self.se, self.name, self.standard = se, f"{name}_se", standard

    def __call__(self, at, x):
        names = ("standard", at) if at == self.standard else (at,)
        se = None if self.se is None else self.se.at(*names)
        return x if se is None else se.layer(name=self.name)(x)


def _width(argument, width, default, where):
    if width is None:
        return default
    check_count(argument, width, 1, f"For the default, {default}, leave it out.", where)
    return width


def _shortcut(x, filters, strides, kernel_size, name, options):
    if strides == 1 and x.shape[channel_axis()] == filters:
        return x
    name = f"{name}_shortcut"
    return conv_bn(x, filters, kernel_size, strides, activation=None, name=name, **options)


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
