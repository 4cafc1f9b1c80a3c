"""What the only readers of a tensor make of it, where that is a known function of each value.

A convolution before a hard-swish may reach to -25, but all below -3 becomes 0: a range that
holds it wastes most of its levels. So calibration weighs errors behind the function.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from mobile.quantization.range_plan import RangePlan, activation_of


def function_behind(name: str, plan: RangePlan, model: keras.Model) -> Callable | None:
    """The function that all readers of a point's tensor together are, or None.

    Known are sigmoid, tanh, relu6(x + c), and the product of x with one of them: swish and
    hard-swish, as lowering writes them.
    """
    found = [layer for layer, reads in plan.reads.items() if name in reads]
    if name in {point for point in _output_points(model, plan)} or len(found) > 2:
        return None
    gates = [(layer, _gate(layer, plan, model)) for layer in found]
    gates = [(layer, gate) for layer, gate in gates if gate]
    if len(gates) != 1:
        return None
    (_, (made_by, function)) = gates[0]
    if len(found) == 1:
        return function
    (other,) = (layer for layer in found if layer != gates[0][0])
    product = type(model.get_layer(other)).__name__ == "Multiply"
    if product and set(plan.reads[other]) == {name, made_by}:
        return lambda x: x * function(x)
    return None


def _gate(layer, plan, model):
    """The point and the function of a gate that begins with this layer."""
    kind = type(model.get_layer(layer)).__name__
    functions = {"sigmoid": _sigmoid, "tanh": np.tanh}
    activation = activation_of(model.get_layer(layer))
    if kind == "Activation" and activation in functions:
        return layer, functions[activation]
    if kind == "Shift":
        shift = model.get_layer(layer).value
        relus = [name for name, reads in plan.reads.items() if layer in reads]
        if len(relus) == 1 and activation_of(model.get_layer(relus[0])) == "relu6":
            return relus[0], lambda x: np.clip(x + shift, 0, 6)
    return None


def _output_points(model, plan):
    names = {tensor: layer.name for layer in model.layers for tensor in _ids(layer.output)}
    outputs = [names[t] for t in _ids(model.outputs) if t in names]
    return [name if name in plan.points else plan.reads[name][0] for name in outputs]


def _ids(tensors):
    return [id(t) for t in keras.tree.flatten(tensors)]


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
