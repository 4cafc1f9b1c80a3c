"""What every record shares: plain values and back, a table in plain text, files written whole."""

import json
import os
import pathlib
import re
import tempfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, ClassVar, Self

import msgspec
import numpy as np

#: What a field may hold, beyond its type: `from_dict` refuses the rest, and the schema tells it.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # every reader of JSON has these whole
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]  # neither infinity nor NaN
Distance = Annotated[float, msgspec.Meta(ge=0)]  # infinity too, of what cannot be compared

# Control characters, the marks that turn text round, and halves of characters.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, lines: bool = False) -> str:
    r"""Write out what would steer a terminal or cannot be encoded; line breaks too, unless `lines`.

    >>> print(printable("\x1b[31mred\nname \udcff"))
    \x1b[31mred\nname \udcff
    """
    if lines:
        return "\n".join(printable(line) for line in text.split("\n"))
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def table(header: Sequence, rows: Sequence[Sequence], right: Container[int] = ()) -> str:
    """Lay out rows of cells under a header; numbers to the right, words to the left.

    >>> print(table(("name", "ms"), [("a", 1.5), ("long", 12.25)]))
    name      ms
    a      1.500
    long  12.250

    Args:
        header: What stands above each column.
        rows: The cells.
        right: Columns of text that go to the right too.
    """
    numeric = [
        i in right or all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(header))
    ]
    cells = [[f"{c:.3f}" if isinstance(c, float) else printable(str(c)) for c in r] for r in rows]
    lines = [[printable(str(c)) for c in header], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            c.rjust(w) if number else c.ljust(w)
            for c, w, number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def write_file(path: str | os.PathLike, content: bytes | str) -> pathlib.Path:
    """Write bytes or text so that a reader sees the old file or the whole new one."""
    path = pathlib.Path(path)
    write_files({path: content})
    return path


def write_files(contents: Mapping[Any, bytes | str]) -> None:
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
    """What all records share: a dictionary of plain values, JSON, and the way back.

    A record is a frozen dataclass. Types and ranges of its fields are checked where it is read.
    """

    #: Properties that `to_dict` writes beside the fields, for readers; `from_dict` skips them.
    SUMMARY: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the summary as a dictionary that `json.dumps` takes."""
        names = (*(f.name for f in fields(self)), *self.SUMMARY)  # pyright: ignore
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the record that `to_dict` described. Keys that are no field are skipped.

        Raises:
            ValueError: A field is missing, of another type, or out of range; it is named.
        """
        return converted(values, cls)

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the record that `to_json` wrote."""
        return cls.from_dict(json.loads(text))


class FileRecord(Record):
    """A record with a file of its own, which says its format and version."""

    FORMAT: ClassVar[str]
    VERSION: ClassVar[int]
    #: The command that makes one, for errors.
    COMMAND: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, after the format's name and version."""
        return {"format": self.FORMAT, "version": self.VERSION, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the record that `to_dict` described; see `Record.from_dict`.

        Raises:
            ValueError: It is of another format, or of a later version; or as `Record.from_dict`.
        """
        said = (values.get("format"), values.get("version")) if isinstance(values, dict) else None
        if said != (cls.FORMAT, cls.VERSION):
            raise ValueError(
                f"A {cls.__name__.lower()} must say format {cls.FORMAT!r}, version {cls.VERSION}. "
                f"Received: "
                f"{'no record' if said is None else f'format {said[0]!r}, version {said[1]!r}'}. "
                f"Make one with `{cls.COMMAND}`."
            )
        return super().from_dict(values)

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Write it as JSON, whole or not at all."""
        return write_file(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Return the record that `save` wrote.

        Raises:
            ValueError: The file holds none.
        """
        try:
            return cls.from_json(pathlib.Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def converted(values: Any, kind: Any, where: str = "") -> Any:
    """Return plain values as a type says, such as a record, or a ValueError that names the field.

    Args:
        values: What `json.loads` gave.
        kind: The type.
        where: What the values are called, if they are part of something.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).rpartition(" - at `$")
        place = (where + place.rstrip("`")).lstrip(".") if said else where
        raise ValueError(
            f"A file's fields must hold what was written. Received{' in ' * bool(place)}{place}: "
            f"{(said or str(error)).rstrip('.')}. Mend that field, or write the file again."
        ) from None


def _plain(value):
    """Return a value as what `json.dumps` takes: records as dictionaries, tuples as lists."""
    if is_dataclass(value):
        return value.to_dict()  # pyright: ignore
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
