"""What every record shares: plain values and back, a table in plain text, files written whole."""

import json
import os
import pathlib
import tempfile
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np


def table(header, rows):
    """Lay out rows of cells under a header; numbers to the right, words to the left.

    >>> print(table(("name", "ms"), [("a", 1.5), ("long", 12.25)]))
    name      ms
    a      1.500
    long  12.250
    """
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    cells = [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    lines = [[str(c) for c in header], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            c.rjust(w) if right else c.ljust(w)
            for c, w, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def write_file(path, content):
    """Write bytes or text so that a reader sees the old file or the whole new one."""
    path = pathlib.Path(path)
    write_files({path: content})
    return path


def write_files(contents):
    """Write several files, path to bytes or text: each whole, and none if one cannot be written."""
    ready = []
    try:
        for path, content in contents.items():
            path = pathlib.Path(path)
            if path.is_dir():
                raise IsADirectoryError(f"A file cannot replace the folder {path}. Rename one.")
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            ready.append((name, path))
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
        while ready:
            os.replace(*ready[0])
            ready.pop(0)
    except BaseException:
        for name, _ in ready:
            os.unlink(name)
        raise


class Record:
    """What all records share: a dictionary of plain values, JSON, and the way back."""

    def to_dict(self):
        """Return the fields as a dictionary that `json.dumps` takes."""
        return {f.name: encode(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, values):
        """Return the record that `to_dict` described. Keys that are no field are ignored."""
        kinds = typing.get_type_hints(cls)
        names = [f.name for f in fields(cls) if f.name in values]
        return cls(**{name: decode(kinds[name], values[name]) for name in names})

    def to_json(self):
        """Return the record as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text):
        """Return the record that `to_json` wrote."""
        return cls.from_dict(json.loads(text))


def encode(value):
    """Return a value as what `json.dumps` takes: records as dictionaries, tuples as lists."""
    if is_dataclass(value):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def decode(kind, value):
    """Return what `encode` wrote, as the annotated `kind` says."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return None
    if origin is types.UnionType:
        return decode(next(k for k in inner if k is not type(None)), value)
    if is_dataclass(kind):
        return kind.from_dict(value)
    if origin is tuple:
        return tuple(decode(inner[0], v) for v in value)
    if origin is dict:
        return {k: decode(inner[1], v) for k, v in value.items()}
    return float(value) if kind is float else value
