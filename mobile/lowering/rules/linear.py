"""Convolutions, dense layers, and constants that fold into them."""

from __future__ import annotations

import keras
import numpy as np

from keras_se.layers import ChannelScale
from mobile.lowering import layers as own
from mobile.lowering.registry import as_channels, check_ranks, constant_of, rule, unsupported
from mobile.lowering.rules.activations import activated
from mobile.lowering.values import Value

_L = keras.layers
_ADAPTED = ("lora_rank", "lora_alpha", "quantization_config")
_WINDOW = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")


def _check_conv(node):
    layer = node.operation
    if layer.padding not in ("same", "valid"):
        raise unsupported(node, f"padding={layer.padding!r}", "Pad with ZeroPadding2D.")


def _conv_options(layer):
    return {
        "strides": tuple(layer.strides),
        "padding": layer.padding,
        "dilation_rate": tuple(layer.dilation_rate),
    }


def _weights(node, outputs):
    """Kernel and bias as the layer computes with them: a kernel may be adapted (LoRA)."""
    layer = node.operation
    if getattr(layer, "quantization_mode", None):
        raise unsupported(
            node,
            f"a kernel quantised by Keras ({layer.quantization_mode})",
            "Lower the float model: mobile.convert quantises it.",
        )
    kernel = _array(layer.kernel)
    return kernel, _array(layer.bias) if layer.use_bias else np.zeros(outputs)


def _array(weight):
    return np.asarray(keras.ops.convert_to_numpy(weight), "float64")


@rule(_L.Conv2D, reads=(*_WINDOW, "filters", "groups"))
def _conv(low, node, v):
    layer = node.operation
    _check_conv(node)
    kernel, bias = _weights(node, layer.filters)
    options = _conv_options(layer) | {"groups": layer.groups}
    y = low.linear(v, kernel, bias, node.name, kind=_L.Conv2D, **options)
    return activated(low, y, node)


@rule(_L.DepthwiseConv2D, reads=(*_WINDOW, "depth_multiplier"))
def _depthwise(low, node, v):
    layer = node.operation
    _check_conv(node)
    kernel, bias = _weights(node, layer.kernel.shape[2] * layer.kernel.shape[3])
    y = low.linear(v, kernel, bias, node.name, **_conv_options(layer))
    return activated(low, y, node)


@rule(_L.SeparableConv2D, reads=(*_WINDOW, "filters", "depth_multiplier"))
def _separable(low, node, v):
    layer = node.operation
    _check_conv(node)
    depthwise, pointwise = _array(layer.depthwise_kernel), _array(layer.pointwise_kernel)
    bias = _array(layer.bias) if layer.use_bias else np.zeros(layer.filters)
    none = np.zeros(depthwise.shape[2] * depthwise.shape[3])
    y = low.linear(v, depthwise, none, f"{node.name}_depthwise", **_conv_options(layer))
    y = low.linear(y, pointwise, bias, node.name, kind=_L.Conv2D)
    return activated(low, y, node)


@rule(_L.Conv2DTranspose, reads=(*_WINDOW, "filters", "output_padding"))
def _conv_transpose(low, node, v):
    layer = node.operation
    _check_conv(node)
    kernel, bias = _weights(node, layer.filters)
    options = _conv_options(layer) | {"output_padding": layer.output_padding}
    low.tensor(v)
    y = low.linear(v, kernel, bias, node.name, kind=_L.Conv2DTranspose, **options)
    return activated(low, y, node)


@rule(_L.Dense, reads=("units", "activation", "use_bias", *_ADAPTED))
def _dense(low, node, v):
    layer = node.operation
    kernel, bias = _weights(node, layer.units)
    v = low.image(v, node.name)
    t = low.tensor(v)
    if len(t.shape) != 4 or (v.flat and None in t.shape[1:]):
        raise unsupported(node, f"an input of shape {t.shape}", "Give it one vector an image.")
    window = tuple(t.shape[1:3]) if v.flat else (1, 1)
    kernel = kernel.reshape(*window, t.shape[-1], layer.units)
    y = low.linear(v, kernel, bias, node.name, kind=_L.Conv2D)
    return activated(low, y, node)


# Constants: each is `v * gain + offset`


_OF_TRAINING = ("momentum", "renorm", "renorm_clipping", "renorm_momentum", "synchronized")


@rule(_L.BatchNormalization, reads=("axis", "epsilon", "center", "scale", *_OF_TRAINING))
def _batch_norm(low, node, v, **_):
    layer = node.operation
    rank = len(node.args[0].spec.shape)
    if layer.axis not in (-1, rank - 1):
        raise unsupported(node, f"axis={layer.axis}", "Normalise the last axis.")
    gain = 1.0 / np.sqrt(_array(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        gain = gain * _array(layer.gamma)
    offset = -_array(layer.moving_mean) * gain
    if layer.center:
        offset = offset + _array(layer.beta)
    return low.affine(v, gain, offset, node.name)


@rule(_L.Rescaling, reads=("scale", "offset"))
def _rescaling(low, node, v):
    gain, offset = constant_of(node.operation.scale), constant_of(node.operation.offset)
    return low.affine(v, as_channels(gain, node), as_channels(offset, node), node.name)


@rule(ChannelScale, reads=("data_format",))
def _channel_scale(low, node, v):
    if node.operation.data_format == "channels_first":
        raise unsupported(node, "data_format='channels_first'", "Build it channels_last.")
    return low.affine(v, _array(node.operation.scale), 0.0, node.name)


@rule(_L.Normalization, reads=("axis", "mean", "variance", "invert"))
def _normalization(low, node, v):
    layer = node.operation
    mean, variance = (as_channels(constant_of(x), node) for x in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        return low.affine(v, deviation, mean, node.name)
    return low.affine(v, 1.0 / deviation, -mean / deviation, node.name)


@rule(own.Shift, reads=("value",))
def _shift(low, node, v):
    return low.affine(v, 1.0, float(node.operation.value), node.name)


def _binary(with_constant, with_tensors):
    """The rule of an operation on two operands, of which one may be a constant."""

    def rule(low, node, a, b):
        if isinstance(a, Value) and isinstance(b, Value):
            check_ranks(node)
            return with_tensors(low, node, a, b)
        left = isinstance(b, Value)
        constant = as_channels(constant_of(a if left else b), node)
        gain, offset = with_constant(constant, left)
        if gain is None:
            raise unsupported(node, "a constant divided by a tensor", "Leave it out.")
        return low.affine(b if left else a, gain, offset, node.name)

    return rule


def _quotient(low, node, a, b):
    raise unsupported(node, "a tensor as the divisor", "Multiply by a gate instead.")


rule("Add")(_binary(lambda c, left: (1.0, c), lambda low, n, a, b: low.add([a, b], n.name)))
rule("Subtract")(
    _binary(
        lambda c, left: (-1.0, c) if left else (1.0, -c),
        lambda low, n, a, b: low.add([a, b], n.name, subtract=True),
    )
)
rule("Multiply")(
    _binary(lambda c, left: (c, 0.0), lambda low, n, a, b: low.multiply([a, b], n.name))
)
rule("TrueDivide", "Divide")(
    _binary(lambda c, left: (None, None) if left else (1.0 / c, 0.0), _quotient)
)


@rule("Negative")
def _negative(low, node, v):
    return low.affine(v, -1.0, 0.0, node.name)
