"""Int8 kernels in a file that computes in float: dynamic range, and weights alone.

Both store the kernels of a float32 file in a quarter of the size, one scale per output channel:

    scale = max|kernel| / levels;  stored = round(kernel / scale)

with the levels, 64 to 127, that `mobile.quantization.kernel_grids` finds. They work in place, on a
file that `schema.unpack` opened.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile.quantization import kernel_grids
from mobile.tflite import schema
from mobile.tflite.file import view

_CHANNELS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 0, "DEPTHWISE_CONV_2D": 3}
_DYNAMIC = ("CONV_2D", "FULLY_CONNECTED")
_SMALLEST = 1024  # elements; below it a kernel saves no space worth an error


def dynamic(packed: Any) -> None:
    """Let the convolutions of a float32 file compute in int8; all else stays in float.

    TFLiteConverter's dynamic range also takes depthwise convolutions, for which XNNPACK has no
    such kernel: MobileNetV3-Small is then slower than in float32. With convolutions alone it is
    faster. The runtime quantises each input as it comes, so no calibration is needed.
    """
    tensors = packed.subgraphs[0].tensors
    for kernel, axis in _kernels(packed, _DYNAMIC):
        tensor = tensors[kernel.index]
        alone = sum(other.buffer == tensor.buffer for other in tensors) == 1
        _store(packed, tensor, kernel, axis, tensor.buffer if alone else None)


def weight_only(packed: Any) -> None:
    """Store the kernels of a float32 file as int8, each behind a DEQUANTIZE of its own.

    XNNPACK takes those when the file is loaded, so that the model runs as fast as in float32. Of
    depthwise convolutions it does as well.
    """
    schema_ = schema.load()
    graph = packed.subgraphs[0]
    code = schema_.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema_.BuiltinOperator.DEQUANTIZE
    code.version = 5  # the first with a scale per channel
    packed.operatorCodes.append(code)
    unpacking = []
    for kernel, axis in _kernels(packed, _CHANNELS):
        tensor = schema_.TensorT()
        tensor.name, tensor.hasRank = f"{kernel.name}/int8", True
        tensor.shape = np.array(kernel.shape, np.int32)
        _store(packed, tensor, kernel, axis)
        graph.tensors[kernel.index].buffer = 0  # from now on it is computed
        graph.tensors.append(tensor)
        operator = schema_.OperatorT()
        operator.opcodeIndex = len(packed.operatorCodes) - 1
        operator.inputs = np.array([len(graph.tensors) - 1], np.int32)
        operator.outputs = np.array([kernel.index], np.int32)
        unpacking.append(operator)
    graph.operators = [*unpacking, *graph.operators]
    used = {tensor.buffer for tensor in graph.tensors} | {m.buffer for m in packed.metadata or []}
    for index, buffer in enumerate(packed.buffers):
        if index not in used:
            buffer.data = None


def _kernels(packed, operators):
    """The kernels worth storing, each once, with the axis of their channels."""
    found = {}
    for operator in view(packed, 0).operators:
        kernel = operator.inputs[1] if operator.name in operators else None
        if kernel is None or not kernel.constant or kernel.dtype != "float32":
            continue
        if np.size(np.asarray(kernel.values)) >= _SMALLEST:
            found[kernel.index] = (kernel, _CHANNELS[operator.name])
    return list(found.values())


def _store(packed, tensor, kernel, axis, buffer=None):
    """Make `tensor` the int8 form of `kernel`, in a buffer of its own unless one is given."""
    schema_ = schema.load()
    values = np.moveaxis(np.asarray(kernel.values, np.float32), axis, -1)
    largest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0).clip(1e-9)
    scales = largest / kernel_grids.levels(values, -1)
    stored = np.clip(np.round(values / scales), -127, 127).astype(np.int8)
    tensor.type = schema_.TensorType.INT8
    tensor.quantization = schema_.QuantizationParametersT()
    tensor.quantization.scale = scales.astype(np.float32)
    tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    tensor.quantization.quantizedDimension = axis
    if buffer is None:
        buffer = len(packed.buffers)
        packed.buffers.append(schema_.BufferT())
    tensor.buffer = buffer
    packed.buffers[buffer].data = np.moveaxis(stored, -1, axis).reshape(-1).view(np.uint8)
