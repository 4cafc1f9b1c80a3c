"""A functional model copied layer by layer, changed on the way."""

from __future__ import annotations

import keras


def rebuild(model, clone=None, after=lambda name, tensor: tensor, batch=None) -> keras.Model:
    """Copy a functional model with its weights, changing it on the way.

    Args:
        model: A functional model that uses each layer once.
        clone: From a layer to its copy, or to None to leave it out; copies all by default.
        after: From a layer's name and output to what its consumers read; inputs are asked too.
        batch: The batch size of the copy; the model's own by default.
    """
    clone = clone or (lambda layer: type(layer).from_config(layer.get_config()))
    left_out = set()
    # An unnamed Input has a tensor of another name than its layer.
    entrances = [x for x in model.layers if isinstance(x, keras.layers.InputLayer)]
    names = {id(layer.output): layer.name for layer in entrances}

    def new_input(tensor):
        shape = (batch, *tensor.shape[1:]) if batch else tensor.shape
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=names[id(tensor)])

    def new_layer(layer):
        copy = clone(layer)
        if copy is None:
            left_out.add(layer.name)
            return keras.layers.Identity(name=layer.name)
        return copy

    inputs = keras.tree.map_structure(new_input, model.input)
    entry = {id(t): t for t in keras.tree.flatten(inputs)}

    def read(tensor):
        if isinstance(tensor, keras.KerasTensor) and entry.get(id(tensor)) is tensor:
            entered = after(tensor.name, tensor)
            entry[id(tensor)] = entered
            return entered
        return entry.get(id(tensor), tensor)

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(read, (args, kwargs))
        if layer.name in left_out:
            return args[0]
        return after(layer.name, layer(*args, **kwargs))

    copy = keras.models.clone_model(
        model, input_tensors=inputs, clone_function=new_layer, call_function=call
    )
    for layer in copy.layers:
        if layer.weights and layer.name in {known.name for known in model.layers}:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return copy
