"""A functional model copied layer by layer, changed on the way."""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_se.graph import check_functional, input_names, twin


def rebuild(
    model: keras.Model,
    clone: Callable | None = None,
    after: Callable | None = None,
    calls: Mapping[tuple, Callable] | None = None,
    batch: int | None = None,
) -> keras.Model:
    """Copy a functional or sequential model, changing it on the way.

    Weights, names and what is trainable go along. Nested models stay nested, shared layers
    shared. What no output needs any more is left out. The copy is not compiled.

    Args:
        model: It is not changed, and shares no weights with the copy.
        clone: From a layer to its copy, or to None to leave it out; copies all by default.
        after: From a layer's name and output to what its consumers read; inputs are asked too.
        calls: The place of a call, see `keras_se.graph.Node`, to what stands there instead: a
            function of the copied layer or operation and of the call's arguments, that returns
            the call's outputs.
        batch: The batch size of the copy; the model's own by default.

    Raises:
        TypeError: The model is not functional, or a layer's configuration is incomplete.

    Example:

    >>> image = keras.Input((4,))
    >>> model = keras.Model(image, keras.layers.Dense(2, name="dense")(image))
    >>> twice = rebuild(model, calls={((), 0): lambda copy, x: 2 * copy(x)})
    >>> x = keras.ops.ones((1, 4))
    >>> bool(keras.ops.all(twice(x) == 2 * model(x)))
    True
    """
    check_functional(model)
    copier = _Copier(clone or _new, after or (lambda name, tensor: tensor), calls or {}, batch)
    copy: Any = copier.copy(model, None)
    copier.load()
    return copy


class _Copier:
    """Copies each layer once, however often it is called."""

    def __init__(self, clone, after, calls, batch):
        self.clone, self.after, self.calls, self.batch = clone, after, calls, batch
        self.copies = {}  # id of a layer or operation, to it and its copy; models before layers

    def model(self, model: keras.Model, path: tuple[str, ...]) -> keras.Model:
        """A copy of `model`, which is nested as `path` says."""
        model = _functional(model)
        names = {id(x): name for x, name in zip(model.inputs, input_names(model), strict=True)}

        def new_input(tensor):
            shape = (self.batch, *tensor.shape[1:]) if self.batch else tensor.shape
            return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=names[id(tensor)])

        inputs = keras.tree.map_structure(new_input, model.input)
        flat: Any = keras.tree.flatten(inputs)
        doors = set() if path else {id(x) for x in flat}
        entered = {}  # id of an input to what is read in its place
        numbers = itertools.count()

        def read(x):
            if id(x) not in doors:
                return x
            if id(x) not in entered:
                entered[id(x)] = self.after(x.name, x)
            return entered[id(x)]

        def call(operation, *args, **kwargs):
            instead, copy = self.calls.get((path, next(numbers))), self.copy(operation, path)
            given: Any = keras.tree.map_structure(read, (args, kwargs))
            args, kwargs = given
            if instead:
                return instead(copy, *args, **kwargs)
            return args[0] if copy is None else self.after(operation.name, copy(*args, **kwargs))

        return keras.models.clone_model(
            model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
        )

    def copy(
        self, operation: keras.Operation, path: tuple[str, ...] | None
    ) -> keras.Operation | None:
        """The copy of a layer, operation or nested model."""
        if id(operation) not in self.copies:
            self.copies[id(operation)] = operation, None
            if isinstance(operation, keras.Model):
                copy = self.model(operation, () if path is None else (*path, operation.name))
            else:
                copy = self.clone(operation)
            self.copies[id(operation)] = operation, copy
        return self.copies[id(operation)][1]

    def load(self) -> None:
        """Give the copies their weights, and say which of them train."""
        layers = [x for x in self.copies.values() if isinstance(x[1], keras.layers.Layer)]
        for original, copy in layers:
            copy.trainable = original.trainable
        for original, copy in layers:
            if isinstance(original, keras.Model) or not copy.weights:
                continue
            copy.set_weights(original.get_weights())
            for old, new in zip(original.weights, copy.weights, strict=True):
                new.trainable = old.trainable
            if hasattr(copy, "finalize_state"):  # what it computes from its weights
                copy.finalize_state()


def _functional(model):
    """A functional model of the same layers and tensors, whatever class the model is of."""
    check_functional(model)
    if isinstance(model, keras.Sequential):  # its `input` is that of its first call, if any
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def _new(operation):
    """A layer or operation of the same configuration."""
    if isinstance(operation, keras.layers.Lambda):  # whose function may have no configuration
        return twin(operation)
    try:
        config = operation.get_config()
        try:
            return type(operation).from_config(config)
        except Exception:
            functions = _functions(operation, config)
            if not functions:
                raise
            return type(operation).from_config(config | functions)
    except Exception as error:
        kind = type(operation).__name__
        said = next(iter(str(error).strip().splitlines()), "")
        raise TypeError(
            f"Every layer must have a configuration that makes it anew. {kind} "
            f"{operation.name!r} failed with {type(error).__name__}: "
            f"{textwrap.shorten(said, 240, placeholder=' ...')} Give {kind} a get_config that "
            f"returns its arguments, and register it with keras.saving.register_keras_serializable."
        ) from error


def _functions(operation, config):
    """The user's functions among a layer's arguments, which Keras may not find by their names."""
    held = {name: getattr(operation, name, None) for name in config}
    return {name: value for name, value in held.items() if inspect.isfunction(value)}
