"""Dynamic range, on convolutions only: int8 kernels, everything else in float32.

TFLiteConverter's dynamic range also takes depthwise convolutions, for which XNNPACK has no
such kernel: MobileNetV3-Small is then slower than in float32. With convolutions alone it is
faster. The runtime quantises each input as it comes, so no calibration is needed.
"""

from __future__ import annotations

import numpy as np

from mobile import flatbuffer, schema

_AXIS = {"CONV_2D": 0, "FULLY_CONNECTED": 0}
_SMALLEST = 1024  # elements; below it a kernel saves no space worth an error


def quantize_convolutions(content: bytes) -> bytes:
    """Store the kernels of a float32 file's convolutions as int8, one scale per output channel.

    scale = max|kernel| / 127;  stored = round(kernel / scale)
    """
    file = flatbuffer.read(content)
    packed = schema.unpack(content)
    generated = schema.load()
    tensors = packed.subgraphs[0].tensors
    for operator in file.operators:
        kernel = operator.inputs[1] if operator.name in _AXIS else None
        if kernel is None or not kernel.constant or kernel.dtype != "float32":
            continue
        values = np.asarray(kernel.values, np.float32)
        if values.size < _SMALLEST:
            continue
        channels = values.reshape(values.shape[0], -1)
        scales = np.maximum(np.abs(channels).max(axis=1), 1e-9) / 127
        stored = np.clip(np.round(channels / scales[:, None]), -127, 127).astype(np.int8)
        tensor = tensors[kernel.index]
        tensor.type = generated.TensorType.INT8
        tensor.quantization = generated.QuantizationParametersT()
        tensor.quantization.scale = scales.astype(np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
        tensor.quantization.quantizedDimension = _AXIS[operator.name]
        if sum(other.buffer == tensor.buffer for other in tensors) > 1:
            tensor.buffer = len(packed.buffers)
            packed.buffers.append(generated.BufferT())
        packed.buffers[tensor.buffer].data = stored.reshape(-1).view(np.uint8)
    return schema.pack(packed)
