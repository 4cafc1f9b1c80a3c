"""A network's squeeze-and-excitation by row and block as a JSON file, for `build(se=PATH)`.

    {"format": "keras-se configuration", "version": 1, "network": NAME, "se": [[SE, ...], ...]}

An SE is what `SEConfig.to_dict` writes, or null for none.
"""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_se.config import SEConfig

FORMAT, VERSION = "keras-se configuration", 1


def is_path(se: Any) -> bool:
    """Tell whether an `se` is the path of a file: a `pathlib.Path`, or text that ends in .json."""
    return isinstance(se, os.PathLike) or (isinstance(se, str) and se.endswith(".json"))


def to_json(network: str, se: Sequence[Sequence[SEConfig | None]]) -> str:
    """Return the text of the file.

    Args:
        network: The network's name.
        se: One tuple a row of the network, with an `SEConfig` or None for each block.
    """
    rows = [[one and one.to_dict() for one in row] for row in se]
    head = {"format": FORMAT, "version": VERSION, "network": network, "se": rows}
    return json.dumps(head, indent=1) + "\n"


def read(
    path: str | os.PathLike[str], network: str, blocks: Sequence[int]
) -> list[list[SEConfig | None]]:
    """Return what `to_json` wrote: for each row of the network, one entry a block.

    Args:
        path: The file.
        network: Name of the network that it must be of.
        blocks: How many blocks each row of that has.

    Raises:
        ValueError: There is no such file, or it is no configuration of that network.
    """
    try:
        values: Any = json.loads(pathlib.Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise _error(path, getattr(error, "strerror", None) or f"no JSON: {error}") from None
    said = (values.get("format"), values.get("version")) if isinstance(values, dict) else None
    if said != (FORMAT, VERSION):
        what = "no record" if said is None else f"format {said[0]!r}, version {said[1]!r}"
        raise _error(path, f"{what}, not format {FORMAT!r}, version {VERSION}")
    if values.get("network") != network:
        raise _error(path, f"one of network {values.get('network')!r}, not of {network!r}")
    rows: Any = values.get("se")
    whole = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    if not whole or [len(row) for row in rows] != list(blocks):
        found = f"{[len(row) for row in rows]} of them" if whole else "no rows of blocks"
        raise _error(path, f"`se` with {found}, where {network!r} has {list(blocks)} blocks by row")
    return [[_one(path, f"se[{i}][{j}]", se) for j, se in enumerate(r)] for i, r in enumerate(rows)]


def _one(path, where, values) -> SEConfig | None:
    if values is None:
        return None
    try:
        return SEConfig.from_dict(values)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise _error(path, f"{where} is no SE: {error}") from None


def _error(path, reason):
    return ValueError(
        f"A file for `se` must be a configuration of the network that is built. Received: "
        f"{os.fspath(path)}: {reason.rstrip('.')}. Write one with "
        f"keras_se.models.configuration.to_json, or pass the SEConfig of each block."
    )
