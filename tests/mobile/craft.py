"""Build a .tflite operator by operator, without a converter: tiny, and just what is asked for."""

import functools
import struct

import numpy as np

from mobile.tflite import schema

NONE, RELU, RELU6 = 0, 1, 3  # schema.fbs, ActivationFunctionType
_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int8": 9}
_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "REDUCE_MIN": "ReducerOptions",
    "SHAPE": "ShapeOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE": "TransposeOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "WHILE": "WhileOptions",
}


class Craft:
    """A file in the making; tensors are numbers. The quantisation of all is (scale, zero_point)."""

    def __init__(self, dtype="int8", scale=0.05, zero_point=0):
        self.schema = schema.load()
        self.dtype, self.scale, self.zero_point = dtype, scale, zero_point
        self.model = self.schema.ModelT()
        self.model.version, self.model.description = 3, "crafted"
        self.model.buffers = [self.schema.BufferT()]
        self.model.operatorCodes, self.codes = [], {}
        self.graph = self.schema.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = "main", [], []

    def tensor(self, shape, name=None, dtype=None, scale=None, zero_point=None, values=None):
        """Add a tensor; with `values`, a constant."""
        tensor = self.schema.TensorT()
        dtype = dtype or self.dtype
        tensor.shape = np.array(shape, np.int32)
        tensor.name = name or f"tensor_{len(self.graph.tensors)}"
        tensor.type = _TYPES[dtype]
        tensor.buffer = 0
        if values is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values, dtype).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if dtype in ("int8", "uint8") or scale is not None:
            quantization = self.schema.QuantizationParametersT()
            scale = self.scale if scale is None else scale
            zero_point = self.zero_point if zero_point is None else zero_point
            quantization.scale = np.array([scale], np.float32).ravel()
            quantization.zeroPoint = np.array([zero_point] * quantization.scale.size, np.int64)
            tensor.quantization = quantization
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, values, dtype="int32", **kw):
        """Add a constant, by default of integers such as axes."""
        values = np.asarray(values, dtype)
        return self.tensor(values.shape, dtype=dtype, values=values, **kw)

    def op(self, kind, inputs, shape, options=None, outputs=None, **kw):
        """Add an operator with one output of `shape`, or with the given `outputs`."""
        custom = not hasattr(self.schema.BuiltinOperator, kind)
        if kind not in self.codes:
            code = self.schema.OperatorCodeT()
            number = self.schema.BuiltinOperator.CUSTOM
            code.builtinCode = number if custom else getattr(self.schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
            if kind in ("MEAN", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "SUB"):
                code.version = 2
            code.customCode = kind if custom else None
            self.codes[kind] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        op = self.schema.OperatorT()
        op.opcodeIndex = self.codes[kind]
        op.inputs = np.array(inputs, np.int32)
        made = outputs or [self.tensor(shape, **kw)]
        op.outputs = np.array(made, np.int32)
        if kind in _OPTIONS:
            op.builtinOptionsType = getattr(self.schema.BuiltinOptions, _OPTIONS[kind])
            op.builtinOptions = getattr(self.schema, _OPTIONS[kind] + "T")()
            for name, value in (options or {}).items():
                setattr(op.builtinOptions, name, value)
        self.graph.operators.append(op)
        return made[0]

    def conv(self, x, shape, channels, activation=NONE, name=None, size=1, seed=0):
        """Add a convolution that keeps the picture's size; `shape` is its input's."""
        random = np.random.default_rng(seed)
        real = random.normal(0, 0.3, (channels, size, size, shape[-1]))
        if self.dtype == "float32":
            kernel = self.constant(real, "float32")
            bias = self.constant(np.zeros(channels), "float32")
        else:
            zero = 128 if self.dtype == "uint8" else 0
            stored = np.clip(np.round(real / 0.01) + zero, zero - 127, zero + 127)
            kernel = self.constant(stored, self.dtype, scale=0.01, zero_point=zero)
            bias = self.constant(np.zeros(channels), scale=0.01 * self.scale, zero_point=0)
        options = {"strideW": 1, "strideH": 1, "fusedActivationFunction": activation}
        return self.op("CONV_2D", [x, kernel, bias], (*shape[:3], channels), options, name=name)

    def build(self, inputs, outputs):
        """Return the bytes of the file."""
        self.graph.inputs = np.array(inputs, np.int32)
        self.graph.outputs = np.array(outputs, np.int32)
        self.model.subgraphs = [self.graph]
        return schema.pack(self.model)


def packed_once(part):
    """Let a part of a file be packed once, however many offsets lead to it."""
    part.Pack = functools.cache(part.Pack)
    return part


def endless():
    """Return a file that never ends: while x equals x, add x to itself."""
    c = Craft("float32")
    x = c.tensor((1,), "x")
    main, graphs = c.graph, []
    for kind, dtype in (("EQUAL", "bool"), ("ADD", "float32")):
        c.graph = c.schema.SubGraphT()
        c.graph.name, c.graph.tensors, c.graph.operators = kind, [], []
        a = c.tensor((1,), "a")
        made = c.op(kind, [a, a], (1,), {} if kind == "ADD" else None, dtype=dtype)
        c.graph.inputs, c.graph.outputs = np.array([a], np.int32), np.array([made], np.int32)
        graphs.append(c.graph)
    c.graph = main
    y = c.op("WHILE", [x], (1,), {"condSubgraphIndex": 1, "bodySubgraphIndex": 2})
    c.graph.inputs, c.graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    c.model.subgraphs = [main, *graphs]
    return schema.pack(c.model)


def enormous():
    """Return a file whose one output takes 6.4 GB."""
    c = Craft()
    image = c.tensor((1, 8, 8, 4), "image")
    size = c.constant([40000, 40000])
    return c.build([image], [c.op("RESIZE_NEAREST_NEIGHBOR", [image, size], (1, 40000, 40000, 4))])


def quantize_in_the_middle():
    """Return a file with a float island: convolution, DEQUANTIZE, QUANTIZE, convolution."""
    shape = (1, 8, 8, 4)
    c = Craft()
    image = c.tensor(shape, "image")
    x = c.conv(image, shape, 4, name="first")
    x = c.op("DEQUANTIZE", [x], shape, dtype="float32", name="block/swish;block/other")
    x = c.op("QUANTIZE", [x], shape, name="back")
    return c.build([image], [c.conv(x, shape, 3)])


def float_border():
    """Return a file of float input and output around an int8 convolution."""
    shape = (1, 8, 8, 4)
    c = Craft()
    image = c.tensor(shape, "image", dtype="float32")
    x = c.conv(c.op("QUANTIZE", [image], shape), shape, 4)
    return c.build([image], [c.op("DEQUANTIZE", [x], shape, dtype="float32", name="logits")])


def classifier(classes=300, seed=0, zero=False):
    """Return an int8 file that gives most of 300 classes a probability of zero, as trained ones do.

    With `zero`, it gives all the same to any picture.
    """
    c = Craft()
    shape = (1, 16, 16, 3)
    image = c.tensor(shape, "image", scale=1 / 255, zero_point=-128)
    c.scale = 1 / 255
    x = c.conv(image, shape, 8, RELU, size=3, seed=seed)
    c.graph.tensors[x].quantization.scale = np.array([0.05], np.float32)
    c.scale = 0.05
    x = c.conv(x, (1, 16, 16, 8), 32, RELU, seed=seed + 1)
    x = c.op("MEAN", [x, c.constant([1, 2])], (1, 1, 1, 32), {"keepDims": True}, scale=0.01)
    c.scale = 0.01
    kernel = np.random.default_rng(seed).integers(-127, 128, (classes, 1, 1, 32))
    kernel = c.constant(kernel * (not zero), "int8", scale=0.05, zero_point=0)
    bias = c.constant(np.zeros(classes), scale=0.05 * 0.01, zero_point=0)
    options = {"strideW": 1, "strideH": 1}
    out = (1, 1, 1, classes)
    x = c.op("CONV_2D", [x, kernel, bias], out, options, scale=0.3)
    y = c.op("SOFTMAX", [x], out, {"beta": 1.0}, scale=1 / 256, zero_point=-128)
    return c.build([image], [y])


def transposed_with_bias():
    """Return a float file of MediaPipe's operator, which XNNPACK alone has."""
    c = Craft("float32")
    random = np.random.default_rng(0)
    image = c.tensor((1, 4, 4, 3), "image")
    kernel = c.constant(random.normal(size=(2, 2, 2, 3)), "float32")
    bias = c.constant([1.0, 2.0], "float32")
    y = c.op("Convolution2DTransposeBias", [image, kernel, bias], (1, 8, 8, 2))
    options = struct.pack("iii", 1, 2, 2)  # TfLiteTransposeConvParams: SAME, strides
    c.graph.operators[-1].customOptions = np.frombuffer(options, np.uint8)
    return c.build([image], [y])


def pooled_and_unpooled():
    """Return a float file of MediaPipe's pooling, which remembers where the largest were."""
    c = Craft("float32")
    image = c.tensor((1, 4, 4, 3), "image")
    pooled = [c.tensor((1, 2, 2, 3)) for _ in range(2)]
    c.op("MaxPoolingWithArgmax2D", [image], None, outputs=pooled)
    y = c.op("MaxUnpooling2D", pooled, (1, 4, 4, 3))
    options = struct.pack("10i", 2, 2, 2, 2, 2, 0, 0, 0, 0, 0)  # TfLitePoolParams: VALID, 2 by 2
    for op in c.graph.operators:
        op.customOptions = np.frombuffer(options, np.uint8)
    return c.build([image], [y])


def between_convolutions(kind, dtype="int8", activation=None):
    """Return a file: convolution, the operator on 1x8x8x4, convolution."""
    c = Craft(dtype)
    shape = (1, 8, 8, 4)
    image = c.tensor(shape, "image")
    x = c.conv(image, shape, 4, name="before")
    fused = {} if activation is None else {"fusedActivationFunction": activation}
    window = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    out, kw = shape, {}
    if dtype != "float32" and kind in ("LOGISTIC", "SOFTMAX"):
        kw = {"scale": 1 / 256, "zero_point": -128}
    if dtype != "float32" and kind == "TANH":
        kw = {"scale": 1 / 128, "zero_point": 0}
    if kind in ("ADD", "MUL", "SUB", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"):
        other = c.conv(image, shape, 4, seed=1)
        y = c.op(kind, [x, other], out, fused)
    elif kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
        out = (1, 1, 1, 4)
        y = c.op(kind, [x, c.constant([1, 2])], out, {"keepDims": True}, **kw)
    elif kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        out = (1, 4, 4, 4)
        y = c.op(kind, [x], out, window)
    elif kind == "CONCATENATION":
        out = (1, 8, 8, 8)
        y = c.op(kind, [x, x], out, {"axis": 3})
    elif kind == "PAD":
        out = (1, 10, 10, 4)
        y = c.op(kind, [x, c.constant([[0, 0], [1, 1], [1, 1], [0, 0]])], out)
    elif kind == "RESHAPE":
        out = (1, 4, 16, 4)
        y = c.op(kind, [x, c.constant(out)], out, {"newShape": np.array(out, np.int32)})
    elif kind == "TRANSPOSE":
        y = c.op(kind, [x, c.constant([0, 2, 1, 3])], out)
    elif kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        out = (1, 16, 16, 4)
        y = c.op(kind, [x, c.constant([16, 16])], out, {"halfPixelCenters": True})
    elif kind == "DEPTH_TO_SPACE":
        out = (1, 16, 16, 1)
        y = c.op(kind, [x], out, {"blockSize": 2})
    elif kind == "STRIDED_SLICE":
        out = (1, 4, 4, 4)
        ends = [c.constant(v) for v in ([0, 0, 0, 0], [1, 4, 4, 4], [1, 1, 1, 1])]
        y = c.op(kind, [x, *ends], out)
    elif kind == "SPLIT":
        out = (1, 8, 8, 2)
        halves = [c.tensor(out), c.tensor(out)]
        y = c.op(kind, [c.constant(3), x], out, {"numSplits": 2}, outputs=halves)
    elif kind == "SLICE":
        out = (1, 4, 4, 4)
        y = c.op(kind, [x, c.constant([0, 0, 0, 0]), c.constant([1, 4, 4, 4])], out)
    elif kind == "SPACE_TO_DEPTH":
        out = (1, 4, 4, 16)
        y = c.op(kind, [x], out, {"blockSize": 2})
    elif kind == "MIRROR_PAD":
        out = (1, 10, 10, 4)
        y = c.op(kind, [x, c.constant([[0, 0], [1, 1], [1, 1], [0, 0]])], out)
    elif kind == "DEPTHWISE_CONV_2D":
        bias = c.constant(
            np.zeros(4),
            "float32" if dtype == "float32" else "int32",
            **({} if dtype == "float32" else {"scale": 0.01 * c.scale, "zero_point": 0}),
        )
        kernel = c.constant(
            np.ones((1, 3, 3, 4)), dtype, scale=None if dtype == "float32" else 0.01
        )
        y = c.op(kind, [x, kernel, bias], out, {"strideW": 1, "strideH": 1, "depthMultiplier": 1})
    elif kind == "TRANSPOSE_CONV":
        out = (1, 16, 16, 4)
        kernel = c.constant(
            np.ones((4, 2, 2, 4)), dtype, scale=None if dtype == "float32" else 0.01
        )
        y = c.op(kind, [c.constant(out), kernel, x], out, {"strideW": 2, "strideH": 2})
    elif kind == "TILE":
        out = (1, 16, 8, 4)
        y = c.op(kind, [x, c.constant([1, 2, 1, 1])], out)
    elif kind == "PRELU":
        dtype_kw = {} if dtype == "float32" else {"scale": 0.01, "zero_point": 0}
        y = c.op(kind, [x, c.constant(np.ones((1, 1, 4)) * 20, dtype, **dtype_kw)], out)
    elif kind == "LEAKY_RELU":
        y = c.op(kind, [x], out, {"alpha": 0.1})
    elif kind == "SOFTMAX":
        y = c.op(kind, [x], out, {"beta": 1.0}, **kw)
    else:
        y = c.op(kind, [x], out, **kw)
    c.scale = kw.get("scale", c.scale)
    last = c.conv(y, out, 3, name="after")
    return c.build([image], [last])
