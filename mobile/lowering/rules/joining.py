"""Sums, products, maxima and concatenations of tensors."""

from __future__ import annotations

import functools

import keras
import numpy as np

from mobile.lowering.registry import check_ranks, constant_of, rule, unsupported
from mobile.lowering.values import Concat, Value

_L = keras.layers


def _of_several(function):
    """A rule for which one tensor alone is itself."""

    @functools.wraps(function)
    def joined(low, node, values, **kwargs):
        return values[0] if len(values) == 1 else function(low, node, values, **kwargs)

    return joined


@rule(_L.Add)
@_of_several
def _add(low, node, values):
    return low.add(values, node.name)


@rule(_L.Average)
@_of_several
def _average(low, node, values):
    return low.affine(low.add(values, node.name), 1.0 / len(values), 0.0, node.name)


@rule(_L.Subtract)
def _subtract(low, node, values):
    return low.add(values, node.name, subtract=True)


@rule(_L.Multiply)
@_of_several
def _multiply(low, node, values):
    return low.multiply(values, node.name)


def _greater(low, node, a, b, sign=1):
    """max(a, b) = b + relu(a - b), and min(a, b) = a - relu(a - b)."""
    a, b = low.alike([a, b], node.name)
    if low.target.maximum:
        kind = _L.Maximum if sign > 0 else _L.Minimum
        t = low.emit(kind, low.true(a), low.true(b), name=node.name)
        return Value(t, flat=a.flat and b.flat)
    for v in (a, b):
        low.tensor(v)
    gap = low.relu(low.add([a, b], f"{node.name}_gap", subtract=True), f"{node.name}_relu")
    return low.add([b if sign > 0 else a, gap], node.name, subtract=sign < 0)


@rule(_L.Maximum)
def _maximum(low, node, values):
    result = values[0]
    for v in values[1:]:
        result = _greater(low, node, result, v)
    return result


@rule(_L.Minimum)
def _minimum(low, node, values):
    result = values[0]
    for v in values[1:]:
        result = _greater(low, node, result, v, sign=-1)
    return result


@rule("Maximum")
def _op_maximum(low, node, a, b):
    constant = b if isinstance(a, Value) else a
    if isinstance(constant, Value):
        check_ranks(node)
        return _greater(low, node, a, b)
    if np.any(constant_of(constant) != 0):
        raise unsupported(node, f"the constant {constant}", "Shift the tensor before and after.")
    return low.relu(b if constant is a else a, node.name)


@rule("Minimum")
def _op_minimum(low, node, a, b):
    if not (isinstance(a, Value) and isinstance(b, Value)):
        raise unsupported(node, "a constant", "Use ReLU(max_value=6).")
    check_ranks(node)
    return _greater(low, node, a, b, sign=-1)


@rule(_L.Concatenate, "Concatenate", reads=("axis",))
@_of_several
def _concatenate(low, node, values, axis=None):
    axis = node.operation.axis if axis is None else axis
    rank = len(node.outputs[0].spec.shape)
    alike = len({v.flat for v in values}) == 1 and all(_is_vector(low, v) for v in values)
    if rank in (2, 4) and axis in (-1, rank - 1) and alike:
        return Value(pending=Concat(list(values), node.name), flat=values[0].flat)
    tensors = [low.true(low.unflattened(v)) for v in values]
    return Value(low.emit(_L.Concatenate, *tensors, name=node.name, axis=axis))


def _is_vector(low, v):
    """Whether its last axis is all that it has, or all that it stands for."""
    return not v.flat or tuple(low.tensor(v).shape[1:3]) == (1, 1)
