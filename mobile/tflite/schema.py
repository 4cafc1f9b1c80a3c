"""The .tflite schema in its generated Python form: unpack a file into objects, pack them again.

Source:
    tflite/converter/schema/schema.fbs of LiteRT.
"""

import contextlib
import functools
import importlib.machinery
import importlib.util
import io
import math
import pathlib
import re
import struct
import threading
import types
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

_PLACES = {
    "ai_edge_litert": "schema_py_generated.py",
    "tensorflow": "lite/python/schema_py_generated.py",
}
_MOST_SHARED = 2  # a file unpacks to its own length at the most where nothing in it is shared
_TABLE_BYTES = 4  # each is opened twice, and has 8 bytes of its own: where it is, and its kind


class _Left(threading.local):
    bytes = math.inf  # that the file which a thread unpacks may still come to


_left = _Left()


def unpack(content: bytes) -> Any:
    """Return the objects of a .tflite file's bytes.

    The work is bounded by the file's length. Offsets may lead to one part of a file many times, and
    each time makes new objects: a file of 250 kB can ask for terabytes. Such sharing is legal, but
    no converter is known to do it; a file that comes to more than twice its length is refused.

    Raises:
        ValueError: It is no .tflite file, or not a whole one.
    """
    if content[4:8] != b"TFL3":
        raise ValueError(
            f"A .tflite file must have TFL3 at byte 4. Received: {len(content)} bytes with "
            f"{content[4:8]!r} there. Check that the path names a .tflite file, fully copied."
        )
    model = load().ModelT
    _left.bytes = _MOST_SHARED * len(content)
    try:
        with whole(content):
            packed = model.InitFromPackedBuf(content, 0)
            _take_in(packed, content)
            return packed
    finally:
        _left.bytes = math.inf


@contextlib.contextmanager
def whole(content: bytes) -> Iterator[None]:
    """Say that a file is damaged where what is in it does not fit together."""
    try:
        yield
    except (struct.error, LookupError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"A .tflite file must be whole. Received: {len(content):,} bytes that do not read "
            f"({error}). Copy or convert it again."
        ) from None


def _pay(count):
    _left.bytes -= count
    if _left.bytes < 0:
        raise ValueError(f"its parts, shared by many, come to more than {_MOST_SHARED} times that")


def _take_in(packed, content):
    """Move buffers that lie behind the model, as those of large files do, into the model."""
    for buffer in packed.buffers or ():
        if buffer.offset > 1:  # 0 and 1 mean that there is none
            if buffer.offset + buffer.size > len(content):
                raise ValueError(f"a buffer ends at {buffer.offset + buffer.size:,}")
            _pay(buffer.size)
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for graph in packed.subgraphs or ():
        for operator in graph.operators or ():
            if operator.largeCustomOptionsOffset > 1:
                begin, size = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
                _pay(size)
                operator.customOptions = np.frombuffer(content, np.uint8, size, begin)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0


def _pack_aligned(schema, buffer, builder):
    """Pack a buffer as `BufferT.Pack`, but on a multiple of 16 bytes, as schema.fbs demands."""
    data = None
    if buffer.data is not None:
        content = bytes(bytearray(buffer.data))
        builder.StartVector(1, len(content), 16)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
    schema.BufferStart(builder)
    if data is not None:
        schema.BufferAddData(builder, data)
    return schema.BufferEnd(builder)


def attached(content: bytes) -> bytes:
    """Return the zip of label files and the like that may follow the model in a file."""
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return b""
    with zipfile.ZipFile(file) as archive:
        begins = [entry.header_offset for entry in archive.infolist()]
        return content[min(begins, default=len(content)) :]


def pack(packed: Any) -> bytes:
    """Return the bytes of a file from its objects, each buffer on a multiple of 16 bytes."""
    import flatbuffers

    schema = load()
    for buffer in packed.buffers:
        buffer.Pack = functools.partial(_pack_aligned, schema, buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(packed.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@functools.cache
def load() -> Any:
    """Return the generated schema of ai-edge-litert, or of TensorFlow; neither is imported.

    It is a copy of our own, in which tables count what is unpacked from them.
    """
    found = next(filter(None, map(importlib.util.find_spec, _PLACES)), None)
    if found is None or found.origin is None:
        raise ImportError(
            "Reading a .tflite needs its schema, which ai-edge-litert has. Received: it is not "
            "installed. Run `pip install keras-se[mobile]`."
        )
    path = pathlib.Path(found.origin).parent / _PLACES[found.name]
    loader = importlib.machinery.SourceFileLoader("mobile_tflite_schema", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module: Any = importlib.util.module_from_spec(spec)  # pyright: ignore[reportArgumentType]
    loader.exec_module(module)
    module.flatbuffers = _counting(module.flatbuffers)
    return module


def _counting(flatbuffers):
    """Return the package with another `table.Table`, which pays for all that is read of it."""

    class Table(flatbuffers.table.Table):
        __slots__ = ()

        def __init__(self, content, place):
            _pay(_TABLE_BYTES)
            super().__init__(content, place)

        def String(self, place):  # noqa: N802
            text = super().String(place)
            _pay(len(text))
            return text

        def VectorLen(self, place):  # noqa: N802
            length = super().VectorLen(place)
            _pay(length)
            return length

    counting = {**vars(flatbuffers), "table": types.SimpleNamespace(Table=Table)}
    return types.SimpleNamespace(**counting)


def operator_name(schema: Any, code: Any) -> tuple[str, bool, int]:
    """Return an operator code's name, whether it is a custom one, and its version."""
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # files before 2020 use the latter
    name = enum(schema.BuiltinOperator)[builtin]
    custom = name == "CUSTOM"
    return text(code.customCode) if custom else name, custom, code.version


def options(schema: Any, options: Any) -> dict[str, Any]:
    """Return builtin options by name, enumerations spelt out."""
    if options is None:
        return {}
    said: dict[str, Any] = {}
    for name, value in vars(options).items():
        said[re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()] = _plain(value)
    if "fused_activation_function" in said:
        names = enum(schema.ActivationFunctionType)
        said["fused_activation_function"] = names[said["fused_activation_function"]]
    if "padding" in said:
        said["padding"] = enum(schema.Padding)[said["padding"]]
    return said


def _plain(value):
    return tuple(value.tolist()) if hasattr(value, "tolist") else value


@functools.cache
def enum(kind: type) -> dict[int, str]:
    """Return a generated enumeration as value to name."""
    return {value: name for name, value in vars(kind).items() if not name.startswith("_")}


def ints(values: Any) -> tuple[int, ...]:
    """Return a vector as a tuple of int; empty where the file has none."""
    return () if values is None else tuple(int(v) for v in values)


def floats(values: Any) -> tuple[float, ...]:
    """Return a vector as a tuple of float; empty where the file has none."""
    return () if values is None else tuple(float(v) for v in values)


def text(value: bytes | str | None) -> str:
    """Return a string of the file; empty where it has none."""
    return (value.decode() if isinstance(value, bytes) else value) or ""
