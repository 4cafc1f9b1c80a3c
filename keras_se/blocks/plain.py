"""Blocks without a shortcut: their SE has one place, after the last activation."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import layers

from keras_se.blocks.parts import (
    Activation,
    Tensor,
    block,
    channel_axis,
    conv_bn,
    depthwise_bn,
    pool,
    squeeze_excite,
)
from keras_se.checks import check_count, check_known
from keras_se.config import SEConfig


@block(conv_bn, depthwise_bn)
def separable_block(
    x: Tensor,
    filters: int,
    *,
    strides: int = 1,
    kernel_size: int | tuple[int, int] = 3,
    se: SEConfig | None = None,
    activation: Activation = "relu6",
    name: str,
    **options: Any,
) -> Tensor:
    """Depthwise, then 1x1 convolution, each with BatchNorm and activation; SE last (MobileNetV1).

    Args:
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels.
        strides: Of the depthwise convolution.
        kernel_size: Of the depthwise convolution.
        se: `SEConfig` of what comes last, or None.
        activation: After both convolutions.
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`.

    Raises:
        ValueError, TypeError: As `conv_bn`.

    Source:
        Howard et al., 2017, arXiv:1704.04861; SE's place is that of Hu et al., 2018, table 3.
    """
    options = {"activation": activation, **options}
    x = depthwise_bn(x, kernel_size, strides, name=f"{name}_1", **options)
    x = conv_bn(x, filters, name=f"{name}_2", **options)
    return squeeze_excite(x, se, name=f"{name}_se")


@block(conv_bn)
def vgg_block(
    x: Tensor,
    filters: int,
    *,
    convs: int = 2,
    se: SEConfig | None = None,
    activation: Activation = "relu",
    name: str,
    **options: Any,
) -> Tensor:
    """VGG's stage: `convs` 3x3 convolutions, each with SE after its activation; max pooling.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels of each convolution.
        convs: Number of convolutions.
        se: `SEConfig`, or None.
        activation: After each convolution.
        name: Prefix of the layers' names.
        **options: For `conv_bn`; `batch_norm=False, use_bias=True` is the original VGG.

    Returns:
        Tensor `(batch, height // 2, width // 2, filters)`.

    Raises:
        ValueError: `convs` is less than 1, or as `conv_bn`.
        TypeError: As `conv_bn`.

    Source:
        Simonyan and Zisserman, 2015, arXiv:1409.1556; SE as in Hu et al., 2018, section 3.3.
    """
    check_count("convs", convs, 1, "VGG-16 has 2 and 3.", f" in block {name!r}")
    for i in range(1, convs + 1):
        x = conv_bn(x, filters, 3, activation=activation, se=se, name=f"{name}_{i}", **options)
    return pool(x, 2, 2, padding="valid", name=f"{name}_pool")


@block()
def inception_module(
    x: Tensor,
    branches: Sequence[Sequence[Callable[..., Tensor]]],
    *,
    se: SEConfig | None = None,
    name: str,
) -> Tensor:
    """Parallel branches, concatenated; SE on the result.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        branches: Sequence of branches, a branch a sequence of functions `(tensor, name=...)`,
            such as `functools.partial(conv_bn, filters=64, kernel_size=3)` or
            `functools.partial(pool, strides=1)`.
        se: `SEConfig` of what comes last, or None.
        name: Prefix; step j of branch i gets `NAME_i_j`, counted from 1.

    Returns:
        Tensor with the channels of all branches, of the size that each must have.

    Raises:
        ValueError: There are no branches, or their sizes differ.
        TypeError: `se` is neither an `SEConfig` nor None.

    Example:

    >>> import keras
    >>> from functools import partial
    >>> from keras_se.blocks import conv_bn, pool
    >>> rows = [
    ...     [partial(conv_bn, filters=16)],
    ...     [partial(pool, strides=1), partial(conv_bn, filters=8)],
    ... ]
    >>> inception_module(keras.Input((28, 28, 32)), rows, se=SEConfig(), name="mixed").shape
    (None, 28, 28, 24)

    Source:
        Szegedy et al., 2015, arXiv:1409.4842; Hu et al., 2018, figure 2.
    """
    if not branches:
        raise ValueError(
            f"`branches` must have at least one branch. Received: branches={branches!r} in block "
            f"{name!r}. Pass a list of lists, such as [[functools.partial(conv_bn, filters=64)]]."
        )
    ends = []
    for i, steps in enumerate(branches, start=1):
        y = x
        for j, step in enumerate(steps, start=1):
            y = step(y, name=f"{name}_{i}_{j}")
        ends.append(y)
    y = layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")(ends)
    return squeeze_excite(y, se, name=f"{name}_se")


@block(conv_bn)
def unet_decoder(
    x: Tensor,
    skip: Tensor | None,
    filters: int,
    *,
    se: SEConfig | None = None,
    activation: Activation = "relu",
    interpolation: str = "nearest",
    name: str,
    **options: Any,
) -> Tensor:
    """U-Net's way up: double the size, append the encoder's map, two 3x3 convolutions, SE.

    Args:
        x: Tensor `(batch, height, width, channels)` from below.
        skip: The encoder's tensor of twice its size, or None.
        filters: Output channels.
        se: `SEConfig` of what comes last, or None; scSE is `SEConfig(kind="scse")`.
        activation: After each convolution.
        interpolation: `"nearest"` or `"bilinear"`.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Returns:
        Tensor `(batch, 2 * height, 2 * width, filters)`.

    Raises:
        ValueError: `interpolation` is not known, or as `conv_bn`.
        TypeError: As `conv_bn`.

    Source:
        Ronneberger et al., 2015, arXiv:1505.04597; Roy et al., 2018, arXiv:1803.02579.
    """
    where = f" in block {name!r}"
    check_known("interpolation", interpolation, ("nearest", "bilinear"), where=where)
    x = layers.UpSampling2D(2, interpolation=interpolation, name=f"{name}_up")(x)
    if skip is not None:
        x = layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")([x, skip])
    for i in (1, 2):
        x = conv_bn(x, filters, 3, activation=activation, name=f"{name}_{i}", **options)
    return squeeze_excite(x, se, name=f"{name}_se")
