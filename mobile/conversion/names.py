"""Operators and tensors named after the layers they came from, in Keras's order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_se.graph import Graph
from mobile.quantization import range_plan
from mobile.tflite import schema
from mobile.tflite.file import view


def name_after_layers(packed: Any, model: Any, graph: Graph | None, outputs: Sequence[str]) -> None:
    """Rename what the converter made, in place.

    Inputs and outputs get Keras's names and Keras's order, operators' outputs the names of layers,
    and constants `layer/kernel` and `layer/bias`.

    Args:
        packed: An unpacked file (`schema.unpack`).
        model: The Keras or tf_keras model that was converted.
        graph: The graph whose nodes the file's names count; None of a tf_keras model.
        outputs: What the outputs are to be called, in Keras's order.
    """
    names = _name_border(packed, model, graph, outputs)
    border = set(names.values())
    name_in = _counted(graph, model) if graph is not None else _spelt(model)
    file = view(packed, 0).subgraphs[0]
    for operator in file.operators:
        layer = next(filter(None, map(name_in, _parts(operator))), None)
        if layer is not None and operator.name in ("QUANTIZE", "DEQUANTIZE"):
            layer = _door(operator, layer, file.border)
        if layer is None:
            continue
        if operator.outputs[0].index not in names:
            # Before a last DEQUANTIZE, which makes the model's output, stands its layer in int8.
            name = f"{layer}_int8" if layer in border else layer
            if name in names.values():
                continue
            names[operator.outputs[0].index] = name
        if "CONV" not in operator.name and operator.name != "FULLY_CONNECTED":
            continue
        for tensor, part in zip(operator.inputs[1:], ("kernel", "bias"), strict=False):
            if tensor is not None and tensor.constant and tensor.index not in names:
                names[tensor.index] = f"{layer}/{part}"
    for index, name in names.items():
        packed.subgraphs[0].tensors[index].name = name


def _name_border(packed, model, graph, outputs):
    """Put inputs and outputs into Keras's order; return their names by index of the tensor."""
    (signature,) = packed.signatureDefs
    inputs = [t.name.split(":")[0] for t in model.inputs]
    wanted = {"inputs": inputs, "outputs": outputs}
    said = {"inputs": inputs, "outputs": model.output_names}
    if graph is not None:
        wanted["inputs"] = [ref.name for ref in graph.inputs]
        said = {side: [f"{side[:-1]}_{i}" for i in range(len(wanted[side]))] for side in wanted}
    names = {}
    for side, called in said.items():
        entries = {schema.text(entry.name): entry for entry in getattr(signature, side)}
        ordered = [entries[name].tensorIndex for name in called]
        names |= dict(zip(ordered, wanted[side], strict=True))
        setattr(packed.subgraphs[0], side, np.array(ordered, np.int32))
        keys = wanted["inputs"] if side == "inputs" else called
        if side == "outputs" and isinstance(model.output, dict):
            keys = sorted(model.output)  # as Keras orders them
        for name, key in zip(called, keys, strict=True):
            entries[name].name = key
    return names


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


def _counted(graph, model) -> Callable[[str], str | None]:
    """A function from the name `layer.N/...` to the lowered name of the N-th node, or None."""
    names = range_plan.lowered_names(model)
    order = [names.get(node.name, node.name) for node in graph.nodes]

    def name_in(name):
        found = re.search(r"\blayer\.(\d+)/", name)
        return order[int(found[1])] if found else None

    return name_in


def _spelt(model) -> Callable[[str], str | None]:
    """A function from the name of what a layer of a tfmot model made to the layer, or None."""
    # tfmot's wrappers and their layers are one model deeper.
    layers = [deep for layer in model.layers for deep in getattr(layer, "layers", [layer])]
    known = {layer.name.removeprefix("quant_") for layer in layers}

    def name_in(name):  # such as 'model_1/quant_stem_1/convolution'
        for part in name.replace("quant_", "").split("/"):
            stem = part.rpartition("_")[0] if part.rpartition("_")[2].isdigit() else part
            for candidate in (part, stem):
                if candidate in known:
                    return candidate
        return None

    return name_in
