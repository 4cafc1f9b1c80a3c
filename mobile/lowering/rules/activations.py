"""Activations, as layer, string, function or `keras.ops` operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_se.graph import Node
from mobile.lowering import layers as own
from mobile.lowering.registry import as_channels, constant_of, rule, unsupported
from mobile.lowering.values import Value

if TYPE_CHECKING:
    from mobile.lowering.walk import Lowering  # which asks the rules

_L = keras.layers
_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Silu": "silu",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Exp": "exponential",
}


def activate(low: Lowering, v: Value, function: Callable | None, name: str) -> Value:
    """Apply a Keras activation function to `v`; `name` is that of the last layer it becomes."""
    kind = activation_name(function)
    if kind == "linear":
        return v
    if kind in ("relu", "relu6"):
        return low.relu(v, name, six=kind == "relu6")
    if kind == "hard_sigmoid":
        return _hard_sigmoid(low, v, name)
    if kind == "hard_silu":
        x = Value(low.true(v), flat=v.flat)
        if low.target.hard_swish:
            return Value(_emit(low, x.tensor, "hard_silu", name), flat=v.flat)
        return low.multiply([x, _hard_sigmoid(low, x, f"{name}_gate")], name)
    if kind == "silu":
        x = Value(low.true(v), flat=v.flat)
        gate = Value(_emit(low, x.tensor, "sigmoid", f"{name}_gate"))
        return low.multiply([x, gate], name)
    if kind == "leaky_relu":
        return low.through(v, _L.LeakyReLU, name, negative_slope=0.2)
    if kind == "softmax" and v.flat:
        v = low.unflattened(v)
    return Value(_emit(low, low.true(v), function, name), flat=v.flat)


def activation_name(function: Callable | None) -> str:
    """The name of a Keras activation function; `linear` for None."""
    name = "linear" if function is None else keras.activations.serialize(function)
    return name if isinstance(name, str) else "activation"


def activated(low: Lowering, v: Value, node: Node) -> Value:
    """The activation that a convolution or dense layer brings along."""
    function = node.operation.activation
    return activate(low, v, function, f"{node.name}_{activation_name(function)}")


def _emit(low, tensor, function, name):
    return low.emit(_L.Activation, tensor, name=name, activation=function)


def _hard_sigmoid(low, v, name):
    """relu6(x + 3) / 6: the 3 goes into the bias before it, the 1/6 into the next kernel."""
    gate = low.relu(low.affine(v, 1.0, 3.0, f"{name}_shift"), name, six=True)
    return low.affine(gate, 1 / 6, 0.0, name)


@rule(_L.Activation, reads=("activation",))
def _activation(low, node, v):
    return activate(low, v, node.operation.activation, node.name)


@rule(*_OPERATIONS)
def _operation(low, node, v):
    name = _OPERATIONS[type(node.operation).__name__]
    return activate(low, v, keras.activations.get(name), node.name)


@rule("Gelu", own.ApproximateGelu, reads=("approximate",))
def _gelu(low, node, v):
    if getattr(node.operation, "approximate", True):
        return Value(low.emit(own.ApproximateGelu, low.true(v), name=node.name), flat=v.flat)
    return activate(low, v, keras.activations.gelu, node.name)


@rule(
    _L.ReLU, "ReLU", reads=("max_value", "negative_slope", "threshold")
)  # the operation is that of keras.activations.relu
def _relu_layer(low, node, v):
    layer = node.operation
    slope, top = float(layer.negative_slope or 0), layer.max_value
    if layer.threshold or (slope and top is not None):
        raise unsupported(node, "a threshold, or a slope and a maximum", "Use a plain ReLU.")
    if slope:
        return low.through(v, _L.LeakyReLU, node.name, negative_slope=slope)
    return _clipped(low, v, top, node)


def _clipped(low, v, top, node):
    """min(max(x, 0), top) = relu6(x * 6 / top) * top / 6."""
    if top is None:
        return low.relu(v, node.name)
    if not top > 0:
        raise unsupported(node, f"a maximum of {float(top):g}", "Pass one above 0.")
    v = low.affine(v, 6.0 / float(top), 0.0, node.name)
    return low.affine(low.relu(v, node.name, six=True), float(top) / 6.0, 0.0, node.name)


@rule("Clip", reads=("x_min", "x_max"))
def _clip(low, node, v, x_min=None, x_max=None):
    low_end = constant_of(node.operation.x_min if x_min is None else x_min)
    top = constant_of(node.operation.x_max if x_max is None else x_max)
    if np.any(low_end != 0) or np.size(top) != 1:
        raise unsupported(node, f"the bounds {low_end} and {top}", "Clip from 0.")
    return _clipped(low, v, top, node)


@rule(_L.LeakyReLU, reads=("negative_slope",))
def _leaky_relu(low, node, v):
    slope = float(node.operation.negative_slope)
    return low.through(v, _L.LeakyReLU, node.name, negative_slope=slope)


@rule("LeakyRelu", reads=("negative_slope",))
def _leaky_relu_operation(low, node, v):
    slope = float(node.operation.negative_slope)
    return low.through(v, _L.LeakyReLU, node.name, negative_slope=slope)


@rule(_L.PReLU, reads=("shared_axes",))
def _prelu(low, node, v):
    """relu(x) - slope * relu(-x), for a slope that space shares."""
    slope = np.asarray(node.operation.get_weights()[0], "float64")
    if slope.size != slope.shape[-1]:
        raise unsupported(node, "a slope for each pixel", "Pass shared_axes=[1, 2].")
    slope = as_channels(slope, node)
    if v.flat and low.tensor(v).shape[-1] != np.size(slope):
        v = low.unflattened(v)
    t = low.true(v)
    up = low.relu(Value(t, flat=v.flat, single=False), f"{node.name}_up")
    down = low.affine(Value(t, flat=v.flat, single=False), -1.0, 0.0, f"{node.name}_negative")
    down = low.relu(down, f"{node.name}_down")
    down = low.affine(down, -slope, 0.0, f"{node.name}_slope")
    return low.add([up, down], node.name)


@rule(_L.Softmax, reads=("axis",))
def _softmax_layer(low, node, v):
    v = low.unflattened(v)
    axis = node.operation.axis
    return Value(low.emit(_L.Softmax, low.true(v), name=node.name, axis=axis))


@rule("Softmax", reads=("axis",))
def _softmax_operation(low, node, v):
    return _softmax_layer(low, node, v)
