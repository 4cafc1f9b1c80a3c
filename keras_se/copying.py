"""Copy a functional model, changing some of its calls on the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import keras

from keras_se.graph import check_functional, twin


def copy_model(model: keras.Model, calls: Mapping[tuple, Callable] | None = None) -> keras.Model:
    """Copy a functional or sequential model with its weights, names and trainability.

    Nested models stay nested, shared layers shared. What no output needs any more is left out.
    The copy is not compiled.

    Args:
        model: It is not changed, and shares no weights with the copy.
        calls: The place of a call, see `keras_se.graph.Node`, to what stands there instead: a
            function of the copied layer or operation and of the call's arguments, that returns
            the call's outputs.

    Raises:
        TypeError: The model is not functional, or a layer's configuration is incomplete.

    Example:

    >>> image = keras.Input((4,))
    >>> model = keras.Model(image, keras.layers.Dense(2, name="dense")(image))
    >>> twice = copy_model(model, {((), 0): lambda copy, x: 2 * copy(x)})
    >>> x = keras.ops.ones((1, 4))
    >>> bool(keras.ops.all(twice(x) == 2 * model(x)))
    True
    """
    check_functional(model)
    copier = _Copier(calls or {})
    copy = copier.copy(model, None)
    copier.load()
    return copy


def _functional(model):
    """A functional model of the same layers and tensors, whatever class the model is of."""
    check_functional(model)
    if isinstance(model, keras.Sequential):  # its `input` is that of its first call, if any
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


class _Copier:
    """Copies each layer once, however often it is called."""

    def __init__(self, calls):
        self.calls = calls
        self.copies = {}  # id of a layer or operation, to it and its copy; models before layers

    def model(self, model, path):
        model = _functional(model)
        # An unnamed Input has a tensor of another name than its layer.
        entrances = [x for x in model.layers if isinstance(x, keras.layers.InputLayer)]
        names = {id(layer.output): layer.name for layer in entrances}
        inputs = keras.tree.map_structure(
            lambda x: keras.Input(
                batch_shape=x.shape, dtype=x.dtype, name=names.get(id(x), x.name)
            ),
            model.input,
        )
        numbers = itertools.count()

        def call(operation, *args, **kwargs):
            instead = self.calls.get((path, next(numbers)))
            copy = self.copy(operation, path)
            return instead(copy, *args, **kwargs) if instead else copy(*args, **kwargs)

        return keras.models.clone_model(
            model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
        )

    def copy(self, operation, path):
        """The copy of a layer, operation or nested model."""
        if id(operation) not in self.copies:
            self.copies[id(operation)] = operation, None
            if isinstance(operation, keras.Model):
                copy = self.model(operation, () if path is None else (*path, operation.name))
            else:
                copy = _new(operation)
            self.copies[id(operation)] = operation, copy
        return self.copies[id(operation)][1]

    def load(self):
        """Give the copies their weights, and say which of them train."""
        layers = [x for x in self.copies.values() if isinstance(x[0], keras.layers.Layer)]
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


def _new(operation):
    """A layer or operation of the same configuration."""
    if isinstance(operation, keras.layers.Lambda):  # whose function may have no configuration
        return twin(operation)
    try:
        return type(operation).from_config(operation.get_config())
    except Exception as error:
        kind = type(operation).__name__
        raise TypeError(
            f"Every layer must have a configuration that makes it anew. {kind} "
            f"{operation.name!r} failed with {type(error).__name__}: "
            f"{next(iter(str(error).strip().splitlines()), '')} Give {kind} a get_config that "
            f"returns its arguments, and register it with keras.saving.register_keras_serializable."
        ) from error
