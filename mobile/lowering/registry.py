"""The rules: what the walk does at each class of layer and each `keras.ops` operation.

A rule is a function of the walk, the node, and the node's arguments with a `Value` in the place of
each tensor; it returns the `Value` (or the list of them) of its output. It declares the settings
that it reads: any other one away from its default is refused, by name, before the rule is asked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_se.graph import Node, open_layer
from mobile.lowering.values import Value


@dataclass(frozen=True)
class Rule:
    """What the walk does at one class of layer or operation.

    Args:
        function: Called with the walk, the node, and the node's arguments.
        reads: The settings that it handles, whatever their value.
        layer: The class whose constructor says which settings there are; None of an operation.
    """

    function: Callable
    reads: frozenset[str]
    layer: type | None = None

    def apply(self, low: object, node: Node, *args: Any, **kwargs: Any) -> Value | list[Value]:
        """Hand the walk `low` and the node to the function, after a check of its settings."""
        self._check(node)
        return self.function(low, node, *args, **kwargs)

    def _check(self, node):
        operation = node.operation
        config = operation.get_config() if self.layer else vars(operation)
        for name, usual in settings_of(self.layer or type(operation)).items():
            value = config.get(name, usual)
            if name == "data_format" and value == "channels_first":
                raise unsupported(node, "data_format='channels_first'", "Build it channels_last.")
            if name in self.reads or name == "data_format" or _plain(value) == _plain(usual):
                continue
            raise unsupported(node, f"{name}={value!r}", f"Leave it at the usual {name}={usual!r}.")


#: Layers by class; operations, whose classes are not public, by the name of their class.
RULES: dict[type | str, Rule] = {}
_USER_RULES: dict[type, Callable] = {}


def lowering_rule(layer_class: type) -> Callable[[Callable], Callable]:
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


def opener(operation: keras.Operation, path: str) -> Callable | None:
    """For `graph.trace`: None where there is a rule, else how to open the operation."""
    if type(operation) in _USER_RULES:
        return functools.partial(_USER_RULES[type(operation)], operation)
    if _found(operation):
        return None
    if isinstance(operation, keras.layers.Layer):
        return functools.partial(open_layer, operation)
    inside = f" of layer {path.rpartition('/')[0]!r}" if "/" in path else ""
    raise TypeError(
        f"Every operation must have an exact equal for the target. `keras.ops` operation "
        f"{type(operation).__name__} ({operation.name!r}){inside} has none here. Replace it by "
        "layers or operations that have, or put it in a layer with a rule: "
        "`@mobile.lowering_rule(Layer)`."
    )


def rule_for(operation: keras.Operation) -> Rule:
    """The rule of an operation that `opener` kept."""
    found = _found(operation)
    assert found is not None
    return RULES[found]


def _found(operation):
    """The key of an operation's rule, or None."""
    if not isinstance(operation, keras.layers.Layer):
        name = type(operation).__name__
        return name if name in RULES else None
    for kind in type(operation).__mro__:
        if kind in RULES:
            return kind
        if not kind.__module__.startswith("keras.") and {"call", "convolution_op"} & set(
            vars(kind)
        ):
            return None  # a subclass that computes something of its own
    return None


def rule(*kinds: type | str, reads: tuple[str, ...] = ()) -> Callable[[Callable], Callable]:
    """Register the decorated function for layer classes and operation names.

    Args:
        *kinds: Classes of layers, and names of the classes of operations.
        reads: Settings, arguments of their constructors, that the function handles.
    """

    def register(function):
        for kind in kinds:
            layer = kind if isinstance(kind, type) else None
            RULES[kind] = Rule(function, frozenset(reads), layer)
        return function

    return register


@functools.cache
def settings_of(kind: type) -> dict[str, Any]:
    """The arguments of a constructor that change what is computed, with their usual values."""
    found = inspect.signature(kind.__init__).parameters.values()
    named = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: p.default for p in named[1:] if not _of_training(p.name)}


def _of_training(name):
    """Whether a setting names things, starts weights or acts in training only."""
    ends = ("_initializer", "_regularizer", "_constraint")
    return name in ("name", "dtype", "autocast", "trainable", "seed") or name.endswith(ends)


def _plain(value):
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def unsupported(node: Node, setting: str, advice: str) -> ValueError:
    """The error of a layer whose setting has no exact equal."""
    return ValueError(
        f"Every layer must have an exact equal for the target. {type(node.operation).__name__} "
        f"{node.name!r} has {setting}, which has none. {advice}"
    )


def check_ranks(node: Node) -> None:
    """Raise where an operation combines tensors of unequal rank: the batch meets another axis."""
    shapes = [x.spec.shape for x in node.inputs]
    if len({len(shape) for shape in shapes}) > 1:
        said = " and ".join(map(str, shapes))
        raise unsupported(node, f"inputs of shapes {said}", "Reshape one to the rank of the other.")


def constant_of(x: Any) -> np.ndarray:
    """The value of a number, array or variable: of what is no `Value`."""
    return np.asarray(keras.ops.convert_to_numpy(x), "float64")


def as_channels(constant: np.ndarray, node: Node) -> float | np.ndarray:
    """A constant as a number or a vector of channels."""
    squeezed = np.squeeze(constant)
    if squeezed.ndim == 0:
        return float(squeezed)
    if squeezed.ndim == 1 and constant.shape[-1] == squeezed.size:
        channels = node.inputs[0].spec.shape[-1]
        if squeezed.size != channels:
            said = f"a constant of {squeezed.size} channels for a tensor of {channels}"
            raise unsupported(node, said, "Repeat the tensor's channels first: Concatenate.")
        return squeezed
    raise unsupported(node, f"a constant of shape {constant.shape}", "Use one for each channel.")
