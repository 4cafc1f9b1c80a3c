"""A functional model copied layer by layer, changed on the way."""

from __future__ import annotations

from collections.abc import Callable

import keras


def rebuild(
    model: keras.Model,
    clone: Callable[[keras.Layer], keras.Layer | None] | None = None,
    after: Callable[[str, keras.KerasTensor], keras.KerasTensor] = lambda name, tensor: tensor,
) -> keras.Model:
    """Copy a functional model with its weights, changing it on the way.

    Args:
        model: A functional model that uses each layer once.
        clone: From a layer to its copy, or to None to leave it out; copies all by default. A copy
            gets the weights of its layer, under whatever name.
        after: From a layer's name and output to what its consumers read; inputs are asked too.

    Returns:
        A model that is not compiled.
    """
    clone = clone or (lambda layer: type(layer).from_config(layer.get_config()))
    copies: dict[int, tuple[keras.Layer, keras.Layer, bool]] = {}  # by id: copy, layer, left out
    # An unnamed Input has a tensor of another name than its layer.
    entrances = [x for x in model.layers if isinstance(x, keras.layers.InputLayer)]
    names = {id(layer.output): layer.name for layer in entrances}

    def new_input(tensor):
        return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=names[id(tensor)])

    def new_layer(layer):
        copy = clone(layer)
        left_out = copy is None
        copy = keras.layers.Identity(name=layer.name) if left_out else copy
        copies[id(copy)] = copy, layer, left_out
        return copy

    inputs = keras.tree.map_structure(new_input, model.input)
    entry = {id(t): t for t in keras.tree.flatten(inputs)}

    def read(tensor):
        if isinstance(tensor, keras.KerasTensor) and entry.get(id(tensor)) is tensor:
            entered = after(tensor.name, tensor)
            entry[id(tensor)] = entered
            return entered
        return entry.get(id(tensor), tensor)

    def call(copy, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(read, (args, kwargs))
        _, layer, left_out = copies[id(copy)]
        return args[0] if left_out else after(layer.name, copy(*args, **kwargs))

    bare = keras.Model(model.input, model.output, name=model.name)  # clone_model compiles as well
    result = keras.models.clone_model(
        bare, input_tensors=inputs, clone_function=new_layer, call_function=call
    )
    for copy, layer, left_out in copies.values():
        if layer.weights and not left_out:
            copy.set_weights(layer.get_weights())
    return result
