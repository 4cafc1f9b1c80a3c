"""What each accelerator takes of a .tflite: one table a target, each with where it is from.

A verdict is `kept`, `leaves` (runs elsewhere), `refused` (the whole file fails), or `unknown`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mobile.tflite.file import Operator

MEASURED = "tried one by one between two convolutions on ai-edge-litert 2.3.0, x86-64"
_FLOATS = ("float32", "float16")
_BYTES = ("int8", "uint8")

_EQUALS = {  # what mobile.lower writes for XNNPACK in place of an operator
    "AVERAGE_POOL_2D": "A depthwise convolution, or a MEAN, computes the same",
    "HARD_SWISH": "ADD with a fused RELU6, then MUL, computes the same",
    "MAXIMUM": "b + relu(a - b) computes the same",
    "MINIMUM": "a - relu(a - b) computes the same",
    "RELU": "Fused into the operator before, it costs nothing",
    "RELU6": "Fused into the operator before, it costs nothing",
    "RESIZE_NEAREST_NEIGHBOR": "Concatenation and DEPTH_TO_SPACE compute the same",
    "TILE": "Concatenation and DEPTH_TO_SPACE compute the same",
}
_ADVICE = {
    "DEQUANTIZE": "At the border, convert with int8 input and output; within, mend the operator "
    "beside it that computes in float.",
    "DIV": "Multiply by the reciprocal, if it is constant.",
    "GELU": "Train with ReLU, ReLU6 or h-swish instead.",
    "PRELU": "Train with ReLU, or with LeakyReLU.",
    "SOFTMAX": "As the last operator it splits nothing; within a network, accept the cost.",
}


def advice_on(name: str, custom: bool = False, ours: bool = False) -> str:
    """Return what to do about an operator that an accelerator does not take.

    Args:
        name: As in the file.
        custom: Whether it is a custom operator.
        ours: Whether `mobile.convert` wrote the file, so that the model was lowered.
    """
    if custom and name.startswith("Flex"):
        return "Convert without TensorFlow's operators: write the layer out of TFLite's own."
    if custom:
        return "Link it into the program, or make the model without it."
    if name in _EQUALS and ours:
        return f"{_EQUALS[name]}. Convert with target='xnnpack', which writes it so."
    if name in _EQUALS:
        return (
            f"{_EQUALS[name]}. mobile.convert writes it so from the Keras model; where there is "
            f"none, accept the cost."
        )
    return _ADVICE.get(name, "Replace the layer, or accept the cost.")


@dataclass(frozen=True)
class Verdict:
    """What an accelerator does with one operator, why, and who says so.

    `advice` fits the reason; where it is empty, that of the operator (`advice_on`) does.
    """

    status: str
    reason: str = ""
    source: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Accelerator:
    """A target of `mobile.lint`.

    Args:
        name: As the user writes it.
        judge: Operator to `Verdict`.
        splits: Whether what leaves it splits the graph into partitions.
        takes_first_piece: Whether all after the first operator that leaves goes with it.
        notes: What holds for every file, in sentences.
    """

    name: str
    judge: Callable[[Operator], Verdict]
    splits: bool = True
    takes_first_piece: bool = False
    notes: tuple[str, ...] = ()


def _words(text):
    return frozenset(text.split())


def _leaves(reason, source, advice=""):
    return Verdict("leaves", reason, source, advice)


def _data(op):
    """Return the tensor whose dtype decides which kernel runs."""
    computed = [t for t in op.inputs if t is not None and not t.constant]
    return computed[0] if computed else (op.outputs[0] if op.outputs else None)


_XNNPACK_BOTH = _words(
    "ADD CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU FULLY_CONNECTED "
    "LEAKY_RELU LOGISTIC MAX_POOL_2D MEAN MUL PAD QUANTIZE REDUCE_MAX REDUCE_MIN RESHAPE "
    "RESIZE_BILINEAR SLICE SPACE_TO_DEPTH SPLIT STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV"
)
_XNNPACK_FLOAT = _XNNPACK_BOTH | _words(
    "ABS AVERAGE_POOL_2D CEIL COS DIV EXP FLOOR GELU HARD_SWISH LOG MAXIMUM MINIMUM NEG PRELU RELU "
    "RELU6 RELU_N1_TO_1 ROUND RSQRT SIN SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE"
)
_XNNPACK_BYTES = {"int8": _XNNPACK_BOTH, "uint8": _XNNPACK_BOTH - {"ELU"}}
_XNNPACK_CUSTOM = _words("Convolution2DTransposeBias MaxPoolingWithArgmax2D MaxUnpooling2D")
_XNNPACK_NEVER = _words("MIRROR_PAD RELU_0_TO_1 RESIZE_NEAREST_NEIGHBOR SIGN TILE")


def _xnnpack(op):
    data = _data(op)
    kind = data.dtype if data else "none"
    if op.custom and op.name in _XNNPACK_CUSTOM and kind == "float32":
        return Verdict("kept", source=MEASURED)  # MediaPipe's, which no plain kernel computes
    if op.custom:
        return _leaves("it is a custom operator", MEASURED)
    if kind in ("int32", "int64", "bool"):
        advice = "Convert with a fixed batch size."
        return _leaves(f"it computes on {kind}: shapes at run time", MEASURED, advice)
    if kind == "int16":
        return _leaves("there are no 16-bit integers", MEASURED, "Convert with scheme='int8'.")
    if kind not in (*_FLOATS, *_BYTES):
        return Verdict("unknown", f"{kind} was not tried")
    if op.dtype == "float32*int8" and op.name == "DEPTHWISE_CONV_2D":
        return Verdict("unknown", "dynamic range depthwise was not tried")
    if op.activation not in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"):
        source = "tflite/delegates/xnnpack/README.md of LiteRT"
        return _leaves(f"the fused activation {op.activation} is not taken", source)
    if verdict := _xnnpack_scales(op):
        return verdict
    if op.name == "CONCATENATION" and len(op.inputs) > 5:
        return _leaves("at most 5 inputs are taken", MEASURED, "Concatenate in two steps.")
    kept = _XNNPACK_FLOAT if kind in _FLOATS else _XNNPACK_BYTES[kind]
    if op.name in kept:
        return Verdict("kept", source=MEASURED)
    if op.name in _XNNPACK_NEVER | _XNNPACK_FLOAT:
        return _leaves(f"there is no {kind} kernel", MEASURED)
    return Verdict("unknown", "it was not tried")


def _xnnpack_scales(op):
    """Judge the ratios of scales that XNNPACK's fixed-point arithmetic cannot express."""
    tensors = [t for t in (*op.inputs[:2], *op.outputs[:1]) if t is not None]
    if len(tensors) < 2 or any(not t.scales or t.dtype not in _BYTES for t in tensors):
        return None
    advice = "A range is far too narrow or wide: calibrate on real images, with trained weights."
    out = tensors[-1].scales[0]
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        ratio = tensors[0].scales[0] * max(tensors[1].scales) / out
        if ratio >= 256:
            reason = f"input scale * kernel scale / output scale is {ratio:.0f}, not below 256"
            return Verdict("refused", reason, MEASURED, advice)
    elif op.name in ("ADD", "SUB"):
        ratios = [t.scales[0] / out for t in tensors[:-1]]
        if any(not 2**-10 <= ratio < 2**8 for ratio in ratios):
            reason = f"an input scale / output scale of {ratios} is not within 2^-10 and 2^8"
            return _leaves(reason, MEASURED, advice)
    elif op.name == "MUL" and len(tensors) == 3:
        ratio = tensors[0].scales[0] * tensors[1].scales[0] / out
        if not 2**-16 <= ratio < 2**8:
            reason = f"product of scales / output scale is {ratio:.3g}, not within 2^-16 and 2^8"
            return _leaves(reason, MEASURED, advice)
    elif op.name == "QUANTIZE" and not 2**-8 <= tensors[0].scales[0] / out <= 2**7:
        reason = "input scale / output scale is not within 2^-8 and 2^7"
        return _leaves(reason, MEASURED, advice)
    return None


_GPU_SOURCE = "tflite/tools/versioning/gpu_compatibility.cc of LiteRT, 2026"
_GPU = _words(
    "ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL BITCAST CAST CEIL CONCATENATION CONV_2D COS "
    "CUMSUM DENSIFY DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU "
    "EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER "
    "GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR "
    "LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD "
    "PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 "
    "RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RIGHT_SHIFT ROUND "
    "RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE "
    "SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV"
)


def _gpu(op):
    if op.custom:
        if op.name in (*_XNNPACK_CUSTOM, "Resampler"):
            return Verdict("kept", source=_GPU_SOURCE)
        return _leaves("it is a custom operator", _GPU_SOURCE)
    if op.name not in _GPU:
        return _leaves("it is not in the delegate's list", _GPU_SOURCE)
    if op.name in ("STRIDED_SLICE", "SLICE") and len(op.inputs[0].shape) not in (3, 4):
        advice = "Convert with a fixed batch size."
        return _leaves("only 3 or 4 dimensions are taken", _GPU_SOURCE, advice)
    shrinks = any(
        op.options.get(f"{mask}_mask") for mask in ("ellipsis", "new_axis", "shrink_axis")
    )
    if op.name == "STRIDED_SLICE" and shrinks:
        return _leaves("ellipsis, new axis and shrink masks are not taken", _GPU_SOURCE)
    if op.name == "SOFTMAX" and op.options.get("beta", 1.0) != 1:
        return _leaves("only beta = 1 is taken", _GPU_SOURCE)
    if op.name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN") and not op.inputs[1].constant:
        return _leaves("the axes must be constant", _GPU_SOURCE)
    return Verdict("kept", source=_GPU_SOURCE)


_COREML_SOURCE = "tflite/delegates/coreml/coreml_delegate.mm of LiteRT, 2026"
_COREML = _words(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH "
    "LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD MUL PAD PADV2 RELU RELU6 RELU_N1_TO_1 RESHAPE "
    "RESIZE_BILINEAR SOFTMAX TANH TRANSPOSE_CONV"
)


def _coreml(op):
    newest = {"DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 6}.get(op.name, 1)
    data = _data(op)
    if op.name == "DEQUANTIZE" and op.inputs[0].dtype == "float16" and op.inputs[0].constant:
        return Verdict("kept", source=_COREML_SOURCE)  # FP16GraphPartitionHelper removes it
    if op.name not in _COREML:
        return _leaves("it is not in the delegate's list", _COREML_SOURCE)
    if data and data.dtype != "float32":
        advice = "Convert with scheme='float32' or 'float16' for this target."
        return _leaves(f"{data.dtype} is not taken, only float32", _COREML_SOURCE, advice)
    if op.version > newest:
        reason = f"version {op.version} is not taken, only up to {newest}"
        return _leaves(reason, _COREML_SOURCE)
    if op.name in ("ADD", "MUL") and not _coreml_broadcasts(op):
        return _leaves("these two shapes do not broadcast there", _COREML_SOURCE)
    if op.name in ("AVERAGE_POOL_2D", "MAX_POOL_2D") and op.activation != "NONE":
        return _leaves("pooling with a fused activation is not taken", _COREML_SOURCE)
    return Verdict("kept", source=_COREML_SOURCE)


def _coreml_broadcasts(op):
    first, second = ((1, 1, 1, 1, *t.shape)[-4:] for t in op.inputs[:2])
    pictures = first[1:3] == second[1:3] or (1, 1) in (first[1:3], second[1:3])
    channels = first[3] == second[3] or 1 in (first[3], second[3])
    return len(op.inputs[0].shape) <= 4 and len(op.inputs[1].shape) <= 4 and pictures and channels


_EDGETPU_SOURCE = "coral.ai, TensorFlow models on the Edge TPU, table 1 (also Axis ARTPEC-7)"
_EDGETPU = _words(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED "
    "L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE "
    "REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR "
    "RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUEEZE STRIDED_SLICE SUB SUM "
    "SQUARED_DIFFERENCE TANH TRANSPOSE TRANSPOSE_CONV"
)


def _edgetpu(op):
    data = _data(op)
    if op.name not in _EDGETPU:
        return _leaves("it is not in the vendor's table", _EDGETPU_SOURCE)
    if data and data.dtype not in _BYTES and op.name != "QUANTIZE":
        advice = "Convert with scheme='int8'."
        return _leaves(f"{data.dtype} is not taken, only 8 bits", _EDGETPU_SOURCE, advice)
    pools = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION")
    if op.name in pools and op.activation != "NONE":
        return _leaves("it takes no fused activation", _EDGETPU_SOURCE)
    if op.name == "SOFTMAX" and data and sum(size > 1 for size in data.shape) > 1:
        return _leaves("only one dimension is taken", _EDGETPU_SOURCE)
    if any(sum(size > 1 for size in t.shape) > 3 for t in op.outputs):
        return _leaves("only 3 dimensions may be larger than 1", _EDGETPU_SOURCE)
    return Verdict("kept", source=_EDGETPU_SOURCE)


_ETHOS_SOURCE = "vela --supported-ops-report, Vela 5.2.0, Ethos-U55 and U65"
_ETHOS = _words(
    "ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP "
    "EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN "
    "MINIMUM MIRROR_PAD MUL NEG PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 "
    "RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT "
    "SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE "
    "TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
)


def _ethos_u(op):
    data = _data(op)
    if op.name not in _ETHOS:
        return _leaves("it is not in the compiler's table", _ETHOS_SOURCE)
    if any(t.dtype in _FLOATS for t in (data, *op.outputs) if t is not None):
        advice = "Convert with scheme='int8', int8 input and output."
        return _leaves("float is not taken", _ETHOS_SOURCE, advice)
    if op.name in ("MAXIMUM", "MINIMUM"):
        ranges = {(t.scales, t.zero_points) for t in (*op.inputs, *op.outputs)}
        if len(ranges) > 1:
            return _leaves("inputs and output must share one scale", _ETHOS_SOURCE)
    if op.name == "AVERAGE_POOL_2D" and op.options.get("padding") == "SAME":
        window = max(op.options["filter_width"], op.options["filter_height"])
        if window > 8:
            return _leaves("a SAME window must be at most 8 wide", _ETHOS_SOURCE)
    if op.name == "MEAN" and op.inputs[0].shape[:1] not in ((), (1,)):
        return _leaves("the batch must be 1", _ETHOS_SOURCE)
    return Verdict("kept", source=_ETHOS_SOURCE)


_TFLM_SOURCE = "python/tflite_micro/python_ops_resolver.cc of tflite-micro, 2026"
_TFLM_TRIED = "tried one by one with tflite-micro 0.dev20261023"
_TFLM_FLOAT_ONLY = _words("CEIL COS EXP FLOOR LOG NEG ROUND SIN SQRT SQUARE")
_TFLM = _TFLM_FLOAT_ONLY | _words(
    "ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_TO_SPACE_ND "
    "BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CONCATENATION CONV_2D CUMSUM DEPTH_TO_SPACE "
    "DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EQUAL EXPAND_DIMS FILL FLOOR_DIV FLOOR_MOD "
    "FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION "
    "L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC "
    "LOG_SOFTMAX MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NOT_EQUAL PACK PAD PADV2 "
    "PRELU QUANTIZE READ_VARIABLE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR RSQRT SELECT_V2 SHAPE SLICE SOFTMAX SPACE_TO_BATCH_ND "
    "SPACE_TO_DEPTH SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH "
    "TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE"
)


def _tflm(op):
    data = _data(op)
    kind = data.dtype if data else "none"
    if op.custom or op.name not in _TFLM:
        return Verdict("refused", "the interpreter has no such operator", _TFLM_SOURCE)
    if "*" in op.dtype:
        advice = "Convert with scheme='int8' or 'float32'."
        return Verdict("refused", "dynamic range is not taken", _TFLM_SOURCE, advice)
    if op.name in _TFLM_FLOAT_ONLY and kind not in _FLOATS:
        return Verdict("refused", f"there is no {kind} kernel, only float32", _TFLM_TRIED)
    if kind == "uint8" and op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return Verdict("refused", "there is no uint8 kernel", _TFLM_TRIED, "Convert with int8.")
    if kind == "uint8" and op.name != "QUANTIZE":
        return Verdict("unknown", "uint8 was not tried", "", "Convert with int8.")
    return Verdict("kept", source=_TFLM_SOURCE)


def _builtin(op):
    if op.custom:
        reason = "a custom operator must be linked into the program"
        return Verdict("refused", reason, "TFLite's operator compatibility guide")
    return Verdict("kept", source="every builtin operator has a kernel in the runtime")


_RUNS_ON = "What leaves runs on one CPU core's plain kernels, with a copy there and back."
ACCELERATORS = {
    accelerator.name: accelerator
    for accelerator in (
        Accelerator("xnnpack", _xnnpack),
        Accelerator(
            "gpu",
            _gpu,
            notes=(
                f"{_RUNS_ON} By default the delegate takes only the largest partition.",
                "8-bit files are computed in float there: float16 files gain as much.",
            ),
        ),
        Accelerator("coreml", _coreml, notes=(_RUNS_ON,)),
        Accelerator("edgetpu", _edgetpu, takes_first_piece=True),
        Accelerator("ethos-u", _ethos_u, notes=("Vela's own report is the last word.",)),
        Accelerator("tflm", _tflm, splits=False),
        Accelerator("builtin", _builtin, splits=False),
    )
}
