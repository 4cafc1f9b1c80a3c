"""JSON files that one process writes while another reads."""

from __future__ import annotations

import json
import os
from typing import Any


def write_json(path: str, value: object) -> None:
    """Write JSON so that a reader never sees half of it."""
    with open(path + ".part", "w") as file:
        json.dump(value, file)
    os.replace(path + ".part", path)


def read_json(path: str) -> Any:
    """Return what a JSON file holds; None if it is not there."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None
