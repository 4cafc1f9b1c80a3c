"""What blocks are made of: convolution with BatchNorm and activation, pooling, SE."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import keras
from keras import layers

from keras_se.checks import (
    check_activation,
    check_arguments,
    check_count,
    check_flag,
    check_initializer,
    check_known,
    check_name,
    check_number,
    check_side,
)
from keras_se.config import SEConfig

Tensor = Any  # symbolic, or of any backend
Initializer = Any  # what keras.initializers.get takes
Activation = str | Callable | None

P = ParamSpec("P")

PADDINGS = ("same", "valid", "symmetric")


def block(*parts: Callable) -> Callable[[Callable[P, Tensor]], Callable[P, Tensor]]:
    """Decorate a block: its name and the names of its arguments are checked before it begins.

    Args:
        *parts: The functions that its `options` go to.
    """
    keywords = [
        {k for k, p in inspect.signature(part).parameters.items() if p.kind == p.KEYWORD_ONLY}
        for part in parts
    ]
    options = set.intersection(*keywords) - {"activation", "se"} if keywords else set()

    def decorate(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
        known = [*inspect.signature(function).parameters, *sorted(options)]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Tensor:
            check_arguments(function.__name__, (k for k in kwargs if k != "x"), known)
            if "name" in kwargs:
                check_name(kwargs["name"])
            return function(*args, **kwargs)

        return checked

    return decorate


def check_place(se: Any, places: Sequence[str], name: str) -> None:
    """Raise unless `se` is None or an SEConfig whose placement is one of a block's `places`."""
    if se is None:
        return
    if not isinstance(se, SEConfig):
        raise TypeError(
            f"`se` must be an SEConfig or None. Received: se={se!r} of type {type(se).__name__} "
            f"for {name!r}. For the paper's block, pass se=keras_se.PAPER."
        )
    if se.placement not in places:
        raise ValueError(
            f"`placement` must be a place that the block has. Received: placement="
            f"{se.placement!r} for {name!r}. Choose from {', '.join(map(repr, places))}."
        )


@block()
def squeeze_excite(x: Tensor, se: SEConfig | None, *, name: str) -> Tensor:
    """Rescale `x` by the layer of an `SEConfig`, called `name`; None leaves `x` as it is.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        se: `SEConfig` of placement `"standard"`, as here there is no other, or None.
        name: The layer's name.

    Returns:
        Tensor of the same shape; of twice the channels for scSE with `aggregate="concat"`.

    Raises:
        ValueError: `se` has another placement.
        TypeError: `se` is neither of the two.
    """
    check_place(se, ("standard",), name)
    return x if se is None else se.layer(name=name)(x)


@block()
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

    Returns:
        Tensor `(batch, height / strides, width / strides, filters)`, sizes rounded up for
        `"same"`.

    Raises:
        ValueError: A value is out of its range, or a name is not known.
        TypeError: A value is of the wrong kind.

    Example:

    >>> image = keras.Input((32, 32, 3))
    >>> model = keras.Model(image, conv_bn(image, 16, 3, 2, se=SEConfig(), name="stem"))
    >>> [layer.name for layer in model.layers[1:]], model.output_shape
    (['stem_conv', 'stem_bn', 'stem_act', 'stem_se'], (None, 16, 16, 16))
    """
    where = f" in block {name!r}"
    check_count("filters", filters, 1, "It is the number of output channels.", where)
    check_count("groups", groups, 1, "For one group, leave it out.", where)
    check_initializer("kernel_initializer", kernel_initializer, where)
    check_flag("use_bias", use_bias, where)
    check_side("kernel_size", kernel_size, "3 is usual.", where)
    check_count("strides", strides, 1, "For no step, leave it out.", where)
    check_count("dilation", dilation, 1, "For no gaps, leave it out.", where)
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


@block()
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
    """Depthwise convolution (`NAME_dwconv`), BatchNorm, activation, SE.

    Arguments and errors are those of `conv_bn`.

    Returns:
        Tensor `(batch, height / strides, width / strides, channels)`, the input's channels.
    """
    where = f" in block {name!r}"
    check_initializer("kernel_initializer", kernel_initializer, where)
    check_flag("use_bias", use_bias, where)
    check_side("kernel_size", kernel_size, "3 is usual.", where)
    check_count("strides", strides, 1, "For no step, leave it out.", where)
    check_count("dilation", dilation, 1, "For no gaps, leave it out.", where)
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


@block()
def pool(
    x: Tensor,
    size: int = 3,
    strides: int = 2,
    *,
    kind: str = "max",
    padding: str = "same",
    name: str,
) -> Tensor:
    """Maximum or average pooling (`kind` `"max"` or `"avg"`), as one layer called `name`.

    Args:
        x: Tensor `(batch, height, width, channels)`.
        size: Side of the window.
        strides: Step of the window.
        kind: `"max"` or `"avg"`.
        padding: `"same"` or `"valid"`.
        name: The layer's name.

    Returns:
        Tensor `(batch, height / strides, width / strides, channels)`.

    Raises:
        ValueError: `kind` or `padding` is not known.
    """
    where = f" in layer {name!r}"
    check_count("size", size, 1, "3 is usual.", where)
    check_count("strides", strides, 1, "2 halves the size.", where)
    check_known("kind", kind, ("max", "avg"), where=where)
    check_known("padding", padding, ("same", "valid"), where=where)
    cls = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
    return cls(size, strides, padding, name=name)(x)


def _norm_act(x, activation, batch_norm, epsilon, momentum, name):
    where = f" in block {name!r}"
    check_flag("batch_norm", batch_norm, where)
    if batch_norm:
        check_number("epsilon", epsilon, 0, math.inf, "Keras's own is 1e-3.", where)
        check_number("momentum", momentum, 0, 1, "Keras's own is 0.99.", where)
        x = layers.BatchNormalization(
            axis=channel_axis(), epsilon=epsilon, momentum=momentum, name=f"{name}_bn"
        )(x)
    if activation is None:
        return x
    check_activation("activation", activation, where)
    return layers.Activation(activation, name=f"{name}_act")(x)


def _pad(x, kernel_size, strides, padding, name):
    """Do the padding that Keras has no word for; return it and the word for the rest."""
    check_known("padding", padding, PADDINGS, where=f" in block {name!r}")
    if padding != "symmetric":
        return x, padding
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    if strides == 1 or sides == (1, 1):
        return x, "same"
    return layers.ZeroPadding2D(tuple(s // 2 for s in sides), name=f"{name}_pad")(x), "valid"


def channel_axis() -> int:
    """The axis of the channels in the data format of Keras."""
    return -1 if keras.config.image_data_format() == "channels_last" else 1
