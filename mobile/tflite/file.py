"""Read a .tflite file as it lies on disk: operators, tensors, quantisation, metadata.

No runtime and no TensorFlow is loaded, so any file can be read, also one that no runtime takes.
"""

import collections
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobile.record import table
from mobile.tflite import schema
from mobile.tflite.content import content_of
from mobile.tflite.tensor import TensorSpec

FLOATS = ("float16", "float32", "float64", "bfloat16")
_NAMELESS = ("StatefulPartitionedCall", "PartitionedCall", "tfl.", "arith.", "serving_default")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file. Real value = (stored value - zero point) * scale, along `axis`.

    Args:
        index: Its number in the file.
        name: What the converter called it, usually after the layers it came from.
        shape: Dimensions as stored, where an unknown batch is 1.
        signature: The same with -1 for each unknown dimension.
        dtype: As numpy calls it.
        scales: None, one, or one a channel.
        zero_points: As many as scales.
        axis: The channel axis of several scales.
        values: The content of a constant; None of a tensor that is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    values: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def constant(self) -> bool:
        """Whether the file holds its values."""
        return self.values is not None

    @property
    def spec(self) -> TensorSpec:
        """The same as the record that artifacts carry."""
        single = len(self.scales) == 1
        return TensorSpec(
            self.name,
            self.signature,
            self.dtype,
            self.scales[0] if single else 0.0,
            self.zero_points[0] if single else 0,
        )


@dataclass(frozen=True)
class Operator:
    """An operator of the file. `options` has the builtin options, with `fused_activation_function`.

    `name` is TFLite's (`CONV_2D`), or the custom name (`FlexErf`) where `custom` is true.
    """

    index: int
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: dict = field(default_factory=dict)
    custom: bool = False
    version: int = 1

    @property
    def activation(self) -> str:
        """The fused activation: `NONE`, `RELU`, `RELU6`, ..."""
        return self.options.get("fused_activation_function", "NONE")

    @property
    def dtype(self) -> str:
        """The dtype that it computes in: its output's, or `from>to` where its input has another.

        A kernel of another dtype than the input, as in dynamic range, is said as `float32*int8`.
        """
        data = [t.dtype for t in self.inputs if t is not None and not t.constant]
        kernels = [t.dtype for t in self.inputs[1:2] if t is not None and t.constant]
        made = [t.dtype for t in self.outputs]
        dtype = made[0] if made else "none"
        if data and data[0] != dtype:
            dtype = f"{data[0]}>{dtype}"
        if "CONV" in self.name or self.name == "FULLY_CONNECTED":
            dtype += "".join(f"*{k}" for k in kernels if data and k != data[0])
        return dtype

    @property
    def origin(self) -> str:
        """Where it came from, as far as the file tells: number, name, tensor.

        The converter names tensors after layers, but not the last and the quantised ones: then what
        the operator reads tells more.
        """
        where = f"operator {self.index} {self.name}"
        made = [t.name for t in self.outputs]
        named = [name for name in made if not name.startswith(_NAMELESS)]
        if not named:
            read = [t.name for t in (*self.inputs[1:], *self.inputs[:1]) if t is not None]
            named = [name for name in read if not name.startswith(_NAMELESS)]
            return f"{where}, which reads {_first(named)!r}" if named else where
        return f"{where}, which makes {_first(named)!r}"


def _first(names):
    return names[0].split(";")[0]


@dataclass(frozen=True)
class Subgraph:
    """One graph of the file: all but control flow have just one."""

    name: str
    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    input_indices: tuple[int, ...]
    output_indices: tuple[int, ...]

    @property
    def border(self) -> tuple[int, ...]:
        """Indices of the input and output tensors."""
        return (*self.input_indices, *self.output_indices)


@dataclass(frozen=True)
class Flatbuffer:
    """A .tflite file: its graphs, and its metadata by name (JSON parsed, else bytes)."""

    subgraphs: tuple[Subgraph, ...]
    metadata: dict
    size_bytes: int
    description: str = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The main graph's tensors, by index."""
        return self.subgraphs[0].tensors

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The main graph's operators, in the order they run."""
        return self.subgraphs[0].operators

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The input tensors, as specs."""
        return tuple(self.tensors[i].spec for i in self.subgraphs[0].input_indices)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The output tensors, as specs."""
        return tuple(self.tensors[i].spec for i in self.subgraphs[0].output_indices)

    @property
    def operator_counts(self) -> dict[str, int]:
        """Name and dtype, such as `CONV_2D int8`, to count, the most frequent first."""
        names = (f"{op.name} {op.dtype}" for graph in self.subgraphs for op in graph.operators)
        return dict(collections.Counter(names).most_common())

    def __str__(self):
        rows = [
            (
                op.index,
                op.name,
                op.dtype,
                op.activation if op.activation != "NONE" else "",
                " ".join(str(t.shape) for t in op.outputs),
                op.outputs[0].name if op.outputs else "",
            )
            for op in self.operators
        ]
        return table(("#", "operator", "dtype", "fused", "output", "name"), rows)


def read(model: Any) -> Flatbuffer:
    """Read a .tflite given as bytes, path or `Artifact`, and return a `Flatbuffer`.

    Raises:
        ValueError: It is no .tflite file, or a damaged one.
    """
    content = content_of(model)
    packed = schema.unpack(content)
    with schema.whole(content):
        return view(packed, len(content))


def view(packed: Any, size_bytes: int) -> Flatbuffer:
    """Return the `Flatbuffer` of a file that `schema.unpack` opened."""
    generated = schema.load()
    names = [schema.operator_name(generated, code) for code in packed.operatorCodes or []]
    if not packed.subgraphs:
        raise ValueError("it holds no graph")
    graphs = tuple(_subgraph(generated, packed, graph, names) for graph in packed.subgraphs)
    return Flatbuffer(graphs, _metadata(packed), size_bytes, schema.text(packed.description))


def _metadata(packed):
    parsed = {}  # several names may share a buffer
    metadata = {}
    for entry in packed.metadata or []:
        if entry.buffer not in parsed:
            data = packed.buffers[entry.buffer].data
            parsed[entry.buffer] = _parse(b"" if data is None else bytes(data))
        metadata[schema.text(entry.name)] = parsed[entry.buffer]
    return metadata


def write_metadata(model: Any, name: str, data: Any) -> bytes:
    """Return the .tflite's bytes with a JSON metadata buffer added, or replaced where it has one.

    Args:
        model: Bytes, path or `Artifact`.
        name: Name of the entry, such as `keras_se`.
        data: What `json.dumps` takes.
    """
    content = content_of(model)
    packed = schema.unpack(content)
    put_metadata(packed, name, data)
    return schema.pack(packed) + schema.attached(content)


def put_metadata(packed: Any, name: str, data: Any) -> None:
    """Do in a file that `schema.unpack` opened what `write_metadata` does."""
    written = np.frombuffer(json.dumps(data).encode(), dtype=np.uint8)
    packed.metadata = list(packed.metadata or [])
    entry = next((m for m in packed.metadata if schema.text(m.name) == name), None)
    if entry is None:
        entry = schema.load().MetadataT()
        entry.name, entry.buffer = name, len(packed.buffers)
        packed.metadata.append(entry)
        packed.buffers.append(schema.load().BufferT())
    packed.buffers[entry.buffer].data = written


def _subgraph(generated, packed, graph, names):
    tensors = tuple(_tensor(generated, packed, i, t) for i, t in enumerate(graph.tensors or []))
    operators = []
    for number, op in enumerate(graph.operators or []):
        name, custom, version = names[op.opcodeIndex]
        options = schema.options(generated, op.builtinOptions or op.builtinOptions2)
        inputs = tuple(None if i == -1 else _one(tensors, i) for i in schema.ints(op.inputs))
        outputs = tuple(_one(tensors, i) for i in schema.ints(op.outputs))
        operators.append(Operator(number, name, inputs, outputs, options, custom, version))
    border = schema.ints(graph.inputs), schema.ints(graph.outputs)
    for index in (*border[0], *border[1]):
        _one(tensors, index)
    return Subgraph(schema.text(graph.name), tensors, tuple(operators), *border)


def _one(tensors, index):
    if not 0 <= index < len(tensors):
        raise ValueError(f"tensor {index} is named, of {len(tensors)}")
    return tensors[index]


def _tensor(generated, packed, index, tensor):
    dtype = schema.enum(generated.TensorType)[tensor.type].lower()
    quantization = tensor.quantization
    scales = schema.floats(quantization.scale) if quantization is not None else ()
    zeros = schema.ints(quantization.zeroPoint) if quantization is not None else ()
    shape = schema.ints(tensor.shape)
    data = packed.buffers[tensor.buffer].data if tensor.buffer else None
    return Tensor(
        index=index,
        name=schema.text(tensor.name),
        shape=shape,
        signature=schema.ints(tensor.shapeSignature) or shape,
        dtype=dtype,
        scales=scales,
        zero_points=(zeros or (0,) * len(scales)) if scales else (),
        axis=quantization.quantizedDimension if quantization is not None else 0,
        values=None if data is None or not len(data) else _values(data, dtype, shape),
    )


def _values(data, dtype, shape):
    """Return the content of a buffer, of which any number of tensors may be views."""
    raw = np.asarray(data, np.uint8)
    if dtype in ("bfloat16", "string", "resource", "variant") or dtype not in np.sctypeDict:
        return raw  # int4 and the like are packed: left as bytes
    values = raw.view(dtype)
    fits = min(shape, default=0) >= 0 and values.size == math.prod(shape)
    return values.reshape(shape) if fits else values


def _parse(data):
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # not JSON, or nothing but brackets
        return data
