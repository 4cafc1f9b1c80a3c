"""The bytes of a .tflite, however it is given."""

import os
import pathlib


def content_of(model):
    """Return the bytes of a .tflite given as `Artifact`, bytes or path."""
    content = getattr(model, "content", model)
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    if isinstance(model, str | os.PathLike):
        return pathlib.Path(model).read_bytes()
    raise TypeError(
        f"A model must be an Artifact, the bytes of a .tflite, or a path to one. "
        f"Received: {type(model).__name__}. Convert a Keras model with mobile.convert."
    )
