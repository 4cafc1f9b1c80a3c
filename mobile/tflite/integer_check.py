"""Whether a file computes in integers alone."""

from collections.abc import Iterable
from typing import Any

from mobile.tflite.file import FLOATS, Flatbuffer, read

_SHAPE_ARITHMETIC = ("SHAPE", "PACK", "STRIDED_SLICE", "GATHER", "CONCATENATION", "REDUCE_PROD")


def check_int8(model: Any, allow_float_io: bool = False, float_layers: Iterable[str] = ()) -> None:
    """Raise if anything in the graph is not integer arithmetic of fixed shape.

    Wrong are: a float tensor, QUANTIZE, DEQUANTIZE, shape arithmetic (SHAPE, PACK and the like on
    integers that are computed at run time), Flex and other custom operators.

    Args:
        model: `Flatbuffer`, bytes, path or `Artifact`.
        allow_float_io: Accept float inputs and outputs, each with its one QUANTIZE or DEQUANTIZE.
        float_layers: Tensors whose operators may compute in float, and read what a DEQUANTIZE or
            be read by what a QUANTIZE makes.

    Raises:
        ValueError: Something is; the message names the operator and the tensor it makes.
    """
    file = model if isinstance(model, Flatbuffer) else read(model)
    wrong = []
    for graph in file.subgraphs:
        in_float = _in_float(graph, float_layers)
        for op in graph.operators:
            objection = _objection(graph, op, allow_float_io, in_float)
            wrong += [(op.origin, *objection)] if objection else []
        floats = [t for t in (graph.tensors[i] for i in graph.border) if t.dtype in FLOATS]
        if floats and not allow_float_io:
            what = f"input or output {floats[0].name!r}"
            wrong.append((what, f"it is {floats[0].dtype}", "Convert with int8 input and output."))
    if wrong:
        origin, reason, advice = wrong[0]
        more = f" and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        raise ValueError(
            f"An int8 file must hold integer operators of fixed shape only. "
            f"Received: {origin}: {reason}{more}. {advice}"
        )


def _in_float(graph, names):
    """Return the indices of the float operators of these names, and of what leads in and out."""
    named = [op for op in graph.operators if any(t.name in names for t in op.outputs)]
    inside = [op for op in named if op.dtype == "float32"]
    reads = {t.index for op in inside for t in op.inputs if t is not None}
    makes = {t.index for op in inside for t in op.outputs}
    doors = [
        op
        for op in graph.operators
        if (op.name == "DEQUANTIZE" and op.outputs[0].index in reads)
        or (op.name == "QUANTIZE" and op.inputs[0].index in makes)
    ]
    return {op.index for op in (*inside, *doors)}


def _objection(graph, op, allow_float_io, in_float):
    """Return what `check_int8` has against an operator, and what to do; None if nothing."""
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
    if op.custom or op.name.startswith(("Flex", "STABLEHLO")):
        advice = "Make the model of operators that TFLite has, without it."
        return "phones and microcontrollers lack this operator", advice
    if op.index in in_float:
        return None
    if op.name in ("QUANTIZE", "DEQUANTIZE"):
        at_border = any(t.index in graph.border for t in tensors)
        if at_border and allow_float_io:
            return None
        advice = "Give all that is read and made beside it a range, or allow the layer in float."
        if at_border:
            advice = "Convert with int8 input and output, or allow float ones."
        return f"it changes {op.dtype.replace('>', ' into ')} on the way", advice
    is_output = any(t.index in graph.output_indices for t in op.outputs)
    computes_integers = any(t.dtype in ("int32", "int64") for t in op.outputs)
    if op.name in _SHAPE_ARITHMETIC and computes_integers and not is_output:
        return "it computes a shape at run time", "Convert with a fixed batch size."
    floats = [t for t in tensors if t.dtype in FLOATS]
    if floats:
        advice = "Give it a range, or allow the layer in float."
        return f"tensor {floats[0].name!r} is {floats[0].dtype}", advice
    return None
