"""The rules: what the walk does at each class of layer and each `keras.ops` operation.

A rule is a function of the walk, the node, and the node's arguments with a `Value` in the place of
each tensor; it returns the `Value` (or the list of them) of its output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
import numpy as np

from keras_se.graph import open_layer
from mobile.lowering.values import Value

RULES: dict[type | str, Callable] = {}  # layers by class; operations, not public, by class name
_USER_RULES: dict[type, Callable] = {}


def lowering_rule(layer_class: type):
    """Register what a layer of your own computes, written in Keras layers and operations.

    The decorated function takes the layer and its symbolic inputs and returns symbolic outputs;
    `lower` then lowers what it is made of. It is needed only where `call` cannot be read that way.

    Example:

    >>> import keras, mobile
    >>> class Halve(keras.layers.Layer):
    ...     def call(self, x):
    ...         raise RuntimeError("written for another framework")
    ...     def compute_output_shape(self, input_shape):
    ...         return input_shape
    >>> @mobile.lowering_rule(Halve)
    ... def _(layer, x):
    ...     return 0.5 * keras.ops.relu6(x + 3)
    >>> x = keras.Input((8, 8, 4))
    >>> lowered = mobile.lower(keras.Model(x, Halve()(keras.layers.Conv2D(4, 1)(x))))
    >>> [type(layer).__name__ for layer in lowered.layers]
    ['InputLayer', 'Conv2D', 'Rescaling']
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(
            "`lowering_rule` takes a class of Keras layers. Received: "
            f"{layer_class!r}. Write @mobile.lowering_rule(MyLayer) above the function."
        )

    def register(function):
        _USER_RULES[layer_class] = function
        return function

    return register


def opener(operation):
    """For `graph.trace`: None where there is a rule, else how to open the operation."""
    if type(operation) in _USER_RULES:
        return partial(_USER_RULES[type(operation)], operation)
    if rule_for(operation):
        return None
    if isinstance(operation, keras.layers.Layer):
        return partial(open_layer, operation)
    raise TypeError(
        f"Every operation must have an exact equal for the target. `keras.ops` operation "
        f"{type(operation).__name__} ({operation.name!r}) has none here. Replace it by layers or "
        "operations that have, or put it in a layer with a rule: `@mobile.lowering_rule(Layer)`."
    )


def rule_for(operation):
    """The rule of an operation, or None."""
    if not isinstance(operation, keras.layers.Layer):
        return RULES.get(type(operation).__name__)
    for kind in type(operation).__mro__:
        if kind in RULES:
            return RULES[kind]
        if not kind.__module__.startswith("keras.") and {"call", "convolution_op"} & set(
            vars(kind)
        ):
            return None  # a subclass that computes something of its own
    return None


def rule(*kinds):
    """Register the decorated function for layer classes and operation names."""

    def register(function):
        for kind in kinds:
            RULES[kind] = function
        return function

    return register


def unsupported(node, setting, advice):
    """The error of a layer whose setting has no exact equal."""
    return ValueError(
        f"Every layer must have an exact equal for the target. {type(node.operation).__name__} "
        f"{node.name!r} has {setting}, which has none. {advice}"
    )


def constant_of(x):
    """The value of a number, array or variable, or None for a `Value`."""
    if isinstance(x, Value):
        return None
    return np.asarray(keras.ops.convert_to_numpy(x), "float64")


def as_channels(constant, node):
    """A constant as a number or a vector of channels."""
    squeezed = np.squeeze(constant)
    if squeezed.ndim == 0:
        return float(squeezed)
    if squeezed.ndim == 1 and constant.shape[-1] == squeezed.size:
        return squeezed
    raise unsupported(node, f"a constant of shape {constant.shape}", "Use one for each channel.")
