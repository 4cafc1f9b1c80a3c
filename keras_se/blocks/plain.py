"""Blocks without a shortcut: their SE has one place, after the last activation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from keras_se.checks import check_known
from keras_se.config import SEConfig

Tensor = Any  # symbolic, or of any backend
Initializer = Any  # what keras.initializers.get takes
Activation = str | Callable | None

PADDINGS = ("same", "valid", "symmetric")


def squeeze_excite(x: Tensor, se: SEConfig | None, *, name: str) -> Tensor:
    """Rescale `x` by the layer of an `SEConfig`, called `name`; None leaves `x` as it is."""
    if se is None:
        return x
    if not isinstance(se, SEConfig):
        raise TypeError(
            f"`se` must be an SEConfig or None. Received: se={se!r} of type {type(se).__name__} "
            f"for layer {name!r}. For the paper's block, pass se=keras_se.PAPER."
        )
    return se.layer(name=name)(x)


def conv_bn(
    x: Tensor,
    filters: int,
    kernel_size: int | tuple[int, int] = 1,
    strides: int = 1,
    *,
    name: str,
    activation: Activation = "relu",
    se: SEConfig | None = None,
    groups: int = 1,
    dilation: int = 1,
    padding: str = "same",
    use_bias: bool = False,
    batch_norm: bool = True,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    kernel_initializer: Initializer = "glorot_uniform",
) -> Tensor:
    """Convolution, BatchNorm, activation, SE.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        filters: Output channels.
        kernel_size: Side of the kernel, or a pair.
        strides: Step of the kernel.
        name: Prefix of the layers' names.
        activation: After BatchNorm.
        se: `SEConfig` of what comes last, or None.
        groups: Groups of the convolution.
        dilation: Step between the kernel's taps; a 1x1 kernel has none.
        padding: `"same"` (TensorFlow's: the odd pixel at the end), `"valid"`, or `"symmetric"`
            (PyTorch's and Caffe's: half the kernel on every side). The first and the last differ
            only for strides above 1.
        use_bias: Whether the convolution has a bias.
        batch_norm: Whether there is a BatchNorm.
        epsilon: Of BatchNorm.
        momentum: Of BatchNorm.
        kernel_initializer: Of the convolution.

    Example:

    >>> image = keras.Input((32, 32, 3))
    >>> model = keras.Model(image, conv_bn(image, 16, 3, 2, se=SEConfig(), name="stem"))
    >>> [layer.name for layer in model.layers[1:]], model.output_shape
    (['stem_conv', 'stem_bn', 'stem_act', 'stem_se'], (None, 16, 16, 16))
    """
    x, padding = _pad(x, kernel_size, strides, padding, name)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        groups=groups,
        dilation_rate=1 if kernel_size == 1 else dilation,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        name=f"{name}_conv",
    )(x)
    x = _norm_act(x, activation, batch_norm, epsilon, momentum, name)
    return squeeze_excite(x, se, name=f"{name}_se")


def depthwise_bn(
    x: Tensor,
    kernel_size: int | tuple[int, int] = 3,
    strides: int = 1,
    *,
    name: str,
    activation: Activation = "relu",
    se: SEConfig | None = None,
    dilation: int = 1,
    padding: str = "same",
    use_bias: bool = False,
    batch_norm: bool = True,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    kernel_initializer: Initializer = "glorot_uniform",
) -> Tensor:
    """Depthwise convolution (`NAME_dwconv`), BatchNorm, activation, SE; arguments of `conv_bn`."""
    x, padding = _pad(x, kernel_size, strides, padding, name)
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        use_bias=use_bias,
        depthwise_initializer=kernel_initializer,
        name=f"{name}_dwconv",
    )(x)
    x = _norm_act(x, activation, batch_norm, epsilon, momentum, name)
    return squeeze_excite(x, se, name=f"{name}_se")


def pool(
    x: Tensor,
    size: int = 3,
    strides: int = 2,
    *,
    kind: str = "max",
    padding: str = "same",
    name: str,
) -> Tensor:
    """Maximum or average pooling (`kind` `"max"` or `"avg"`), as one layer called `name`."""
    check_known("kind", kind, ("max", "avg"))
    cls = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
    return cls(size, strides, padding, name=name)(x)


def separable_block(
    x: Tensor,
    filters: int,
    strides: int = 1,
    *,
    kernel_size: int | tuple[int, int] = 3,
    se: SEConfig | None = None,
    activation: Activation = "relu6",
    name: str,
    **options: Any,
) -> Tensor:
    """Depthwise, then 1x1 convolution, each with BatchNorm and activation; SE last (MobileNetV1).

    Args:
        x: Tensor.
        filters: Output channels.
        strides: Of the depthwise convolution.
        kernel_size: Of the depthwise convolution.
        se: `SEConfig` of what comes last, or None.
        activation: After both convolutions.
        name: Prefix of the layers' names.
        **options: For `conv_bn` and `depthwise_bn`.

    Source:
        Howard et al., 2017, arXiv:1704.04861; SE's place is that of Hu et al., 2018, table 3.
    """
    options = {"activation": activation, **options}
    x = depthwise_bn(x, kernel_size, strides, name=f"{name}_1", **options)
    x = conv_bn(x, filters, name=f"{name}_2", **options)
    return squeeze_excite(x, se, name=f"{name}_se")


def vgg_block(
    x: Tensor,
    filters: int,
    convs: int = 2,
    *,
    se: SEConfig | None = None,
    activation: Activation = "relu",
    name: str,
    **options: Any,
) -> Tensor:
    """VGG's stage: `convs` 3x3 convolutions, each with SE after its activation; max pooling.

    Args:
        x: Tensor.
        filters: Output channels of each convolution.
        convs: Number of convolutions.
        se: `SEConfig`, or None.
        activation: After each convolution.
        name: Prefix of the layers' names.
        **options: For `conv_bn`; `batch_norm=False, use_bias=True` is the original VGG.

    Source:
        Simonyan and Zisserman, 2015, arXiv:1409.1556; SE as in Hu et al., 2018, section 3.3.
    """
    for i in range(1, convs + 1):
        x = conv_bn(x, filters, 3, activation=activation, se=se, name=f"{name}_{i}", **options)
    return pool(x, 2, 2, padding="valid", name=f"{name}_pool")


def inception_module(
    x: Tensor,
    branches: Sequence[Sequence[Callable[..., Tensor]]],
    *,
    se: SEConfig | None = None,
    name: str,
) -> Tensor:
    """Parallel branches, concatenated; SE on the result.

    Args:
        x: Tensor.
        branches: Sequence of branches, a branch a sequence of functions `(tensor, name=...)`,
            such as `functools.partial(conv_bn, filters=64, kernel_size=3)` or
            `functools.partial(pool, strides=1)`.
        se: `SEConfig` of what comes last, or None.
        name: Prefix; step j of branch i gets `NAME_i_j`, counted from 1.

    Example:

    >>> from functools import partial
    >>> rows = [
    ...     [partial(conv_bn, filters=16)],
    ...     [partial(pool, strides=1), partial(conv_bn, filters=8)],
    ... ]
    >>> inception_module(keras.Input((28, 28, 32)), rows, se=SEConfig(), name="mixed").shape
    (None, 28, 28, 24)

    Source:
        Szegedy et al., 2015, arXiv:1409.4842; Hu et al., 2018, figure 2.
    """
    ends = []
    for i, steps in enumerate(branches, start=1):
        y = x
        for j, step in enumerate(steps, start=1):
            y = step(y, name=f"{name}_{i}_{j}")
        ends.append(y)
    y = layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")(ends)
    return squeeze_excite(y, se, name=f"{name}_se")


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
        x: Tensor from below.
        skip: The encoder's tensor of twice its size, or None.
        filters: Output channels.
        se: `SEConfig` of what comes last, or None; scSE is `SEConfig(kind="scse")`.
        activation: After each convolution.
        interpolation: `"nearest"` or `"bilinear"`.
        name: Prefix of the layers' names.
        **options: For `conv_bn`.

    Source:
        Ronneberger et al., 2015, arXiv:1505.04597; Roy et al., 2018, arXiv:1803.02579.
    """
    x = layers.UpSampling2D(2, interpolation=interpolation, name=f"{name}_up")(x)
    if skip is not None:
        x = layers.Concatenate(axis=channel_axis(), name=f"{name}_concat")([x, skip])
    for i in (1, 2):
        x = conv_bn(x, filters, 3, activation=activation, name=f"{name}_{i}", **options)
    return squeeze_excite(x, se, name=f"{name}_se")


def _norm_act(x, activation, batch_norm, epsilon, momentum, name):
    if batch_norm:
        x = layers.BatchNormalization(
            axis=channel_axis(), epsilon=epsilon, momentum=momentum, name=f"{name}_bn"
        )(x)
    return x if activation is None else layers.Activation(activation, name=f"{name}_act")(x)


def _pad(x, kernel_size, strides, padding, name):
    """Do the padding that Keras has no word for; return it and the word for the rest."""
    check_known("padding", padding, PADDINGS)
    if padding != "symmetric":
        return x, padding
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    if strides == 1 or sides == (1, 1):
        return x, "same"
    return layers.ZeroPadding2D(tuple(s // 2 for s in sides), name=f"{name}_pad")(x), "valid"


def channel_axis() -> int:
    """The axis of the channels in the data format of Keras."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1
