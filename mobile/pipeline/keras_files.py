"""Models as .keras files, with the names of their classes."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import keras

_CLASSES = "classes.json"  # a member of the archive besides Keras's own, which Keras passes over


def load(path: str | Path) -> keras.Model:
    """Read a model with every layer of this package known, quantisation-aware ones too.

    `keras.models.load_model` does as much once the modules of the layers are imported, which
    `import mobile` alone leaves out, since it would take seconds.

    Args:
        path: A `.keras` file, or a `.h5` of a whole model.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: There is no such file, or this Keras cannot read it.
    """
    import keras

    import keras_se  # noqa: F401  registers its layers, as the next does
    import mobile.quantization.keras_engine  # noqa: F401

    path = Path(path)
    if not path.is_file() or path.suffix not in (".keras", ".h5"):
        raise ValueError(
            f"The model must be a .keras file. Received: {path}, which "
            f"{'is something else' if path.exists() else 'does not exist'}. "
            f"Write one with model.save or keras-se build."
        )
    try:
        return cast("keras.Model", keras.models.load_model(path, compile=False))
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        reason = said[:200].rstrip(".")
        raise ValueError(
            f"The model must be one that this Keras, {keras.__version__}, can read. Received: "
            f"{path}, {_written_by(path)}, refused with: {reason}. Save it again with this "
            f"Keras, or build it in code, load its weights, and pass it from Python."
        ) from error


def _written_by(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return f"written by Keras {json.loads(archive.read('metadata.json'))['keras_version']}"
    except (zipfile.BadZipFile, KeyError, ValueError):
        return "which does not say what wrote it"


def save(model: Any, path: str | Path, classes: Sequence[str] = ()) -> Path:
    """Write a model so that a reader sees the old file or the whole new one.

    Args:
        model: A Keras or tf_keras model.
        path: The file; its suffix, `.keras` or `.h5`, decides the format.
        classes: Names of the model's classes, in the order of its outputs; a `.h5` has no place
            for them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving") as folder:
        written = Path(folder) / path.name
        model.save(written)
        if classes and path.suffix == ".keras":
            with zipfile.ZipFile(written, "a") as archive:
                archive.writestr(_CLASSES, json.dumps(list(classes)))
        os.replace(written, path)
    return path


def class_names(path: str | Path) -> tuple[str, ...]:
    """Return the names that `save` wrote beside a model; none where nobody did."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = json.loads(archive.read(_CLASSES))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def image_size(model: keras.Model) -> int:
    """Return height and width of a model's square images."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(
            f"The model must take square RGB images of a known size. Received: a model of input "
            f"shape {shape}. From Python, pass your own arrays to the function."
        )
    if shape[1] is None:
        raise ValueError(
            f"The model must take images of a known size. Received: a model of input shape "
            f"{shape}, open in height and width. Build it again with a size."
        )
    return shape[1]


def is_quantized(model: keras.Model) -> bool:
    """Tell whether a Keras model is quantisation-aware."""
    from mobile.quantization import keras_engine

    return keras_engine.is_quantized(model)
