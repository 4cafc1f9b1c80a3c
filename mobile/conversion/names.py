"""Operators and tensors named after the layers they came from."""

from __future__ import annotations

import re

import keras

from keras_se.graph import trace
from mobile import tflite
from mobile.tflite import schema


def name_after_layers(content, model):
    """Rename inputs as in Keras, operators' outputs to layers, constants to `layer/kernel`."""
    file = tflite.read(content)
    name_in = _reader_of_names(model)
    indices = file.subgraphs[0].input_indices
    names = dict(zip(indices, (t.name.split(":")[0] for t in model.inputs), strict=True))
    for operator in file.operators:
        layer = next(filter(None, map(name_in, _parts(operator))), None)
        if layer is not None and operator.name in ("QUANTIZE", "DEQUANTIZE"):
            layer = _door(operator, layer, file.subgraphs[0].border)
        if layer is None or layer in names.values():
            continue
        names[operator.outputs[0].index] = layer
        if "CONV" not in operator.name and operator.name != "FULLY_CONNECTED":
            continue
        for tensor, part in zip(operator.inputs[1:], ("kernel", "bias"), strict=False):
            if tensor is not None and tensor.constant and tensor.index not in names:
                names[tensor.index] = f"{layer}/{part}"
    outputs = file.subgraphs[0].output_indices
    if isinstance(model, keras.Model) and len(outputs) == 1 and outputs[0] not in names:
        names[outputs[0]] = ends(model)[0].name  # which the converter names after nothing
    packed = schema.unpack(content)
    for index, name in names.items():
        packed.subgraphs[0].tensors[index].name = name
    return schema.pack(packed)


def ends(model):
    """The layers whose outputs are the model's."""
    return [x for x in model.layers if any(x.output is tensor for tensor in model.outputs)]


def _door(operator, layer, border):
    """The name of what leads into or out of layers in float: `layer_float` or `layer_range`."""
    inwards = operator.name == "DEQUANTIZE"
    in_float = operator.outputs[0] if inwards else operator.inputs[0]
    if in_float.index in border:
        return None
    return f"{layer}_float" if inwards else f"{layer}_range"


def _parts(operator):
    """The converter's names for what an operator makes and, if that fails, for its kernel."""
    tensors = [operator.outputs[0], *operator.inputs[1:2]]
    return [part for tensor in tensors if tensor for part in tensor.name.split(";")]


def _reader_of_names(model):
    """A function from a converter's name to the layer it tells of, or None."""
    if isinstance(model, keras.Model):
        order = [node.name.removesuffix("_range") for node in trace(model).nodes]  # as `_trace`

        def numbered(name):
            found = re.search(r"\blayer\.(\d+)/", name)
            return order[int(found[1])] if found else None

        return numbered
    # tfmot's wrappers and their layers are one model deeper.
    layers = [deep for layer in model.layers for deep in getattr(layer, "layers", [layer])]
    known = {layer.name.removeprefix("quant_") for layer in layers}
    return lambda name: _layer_in(name, known)


def _layer_in(name, known):
    """The layer in a name such as 'model_1/quant_stem_1/convolution'."""
    for part in name.replace("quant_", "").split("/"):
        stem = part.rpartition("_")[0] if part.rpartition("_")[2].isdigit() else part
        for candidate in (part, stem):
            if candidate in known:
                return candidate
    return None
