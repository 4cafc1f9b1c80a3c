"""Models as .keras files."""

import json
import os
import tempfile
import zipfile
from pathlib import Path


def load_model(path: str | Path):
    """Read a .keras file, our own layers included."""
    import keras

    import keras_se  # noqa: F401  registers its layers
    import mobile.lowering.layers
    import mobile.quantization.keras_engine  # noqa: F401

    path = Path(path)
    if not path.is_file() or path.suffix not in (".keras", ".h5"):
        raise ValueError(
            f"The model must be a .keras file. Received: {path}, which "
            f"{'is something else' if path.exists() else 'does not exist'}. "
            f"Write one with model.save or keras-se build."
        )
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(
            f"The model must be one that this Keras, {keras.__version__}, can read. Received: "
            f"{path}, {_written_by(path)}, refused with: {reason[:200]} Save it again with this "
            "Keras, or build it in code, load its weights, and pass it from Python."
        ) from error


def _written_by(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return f"written by Keras {json.loads(archive.read('metadata.json'))['keras_version']}"
    except (zipfile.BadZipFile, KeyError, ValueError):
        return "which does not say what wrote it"


def save_model(model, path: str | Path) -> Path:
    """Write a model so that a reader sees the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving") as folder:
        model.save(Path(folder) / path.name)
        os.replace(Path(folder) / path.name, path)
    return path


def image_size(model) -> int:
    """Return height and width of a model's square images."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(
            f"The model must take square RGB images of a known size. Received: a model of input "
            f"shape {shape}. From Python, pass your own arrays to the function."
        )
    return shape[1]


def is_quantized(model) -> bool:
    """Tell whether a Keras model is quantisation-aware."""
    from mobile.quantization import keras_engine

    return keras_engine.is_quantized(model)
