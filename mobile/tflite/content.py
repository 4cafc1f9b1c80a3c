"""The bytes of a .tflite, however it is given."""

import os
import pathlib
import stat
from typing import Any


def content_of(model: Any) -> bytes:
    """Return the bytes of a .tflite given as `Artifact`, bytes or path.

    Raises:
        OSError: There is no file of that name, or it may not be read.
        ValueError: The path names no regular file: a pipe waits for ever, a device never ends.
        TypeError: It is nothing of these.
    """
    content = getattr(model, "content", model)
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    if isinstance(model, str | os.PathLike):
        return _read(pathlib.Path(model))
    raise TypeError(
        f"A model must be an Artifact, the bytes of a .tflite, or a path to one. "
        f"Received: {type(model).__name__}. Convert a Keras model with mobile.convert."
    )


def _read(path):
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ValueError(
            f"A model must be a file. Received: {path}, which is a folder. Name a .tflite file "
            f"in it."
        )
    if not stat.S_ISREG(mode):
        raise ValueError(
            f"A model must be a regular file. Received: {path}, which is a pipe, a device or a "
            f"socket. Write the model to a file first."
        )
    return path.read_bytes()
