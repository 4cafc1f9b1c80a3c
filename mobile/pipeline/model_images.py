"""Images for a model in a file: of the size that it takes, and of the classes that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mobile import data as data_room
from mobile.pipeline import keras_files

if TYPE_CHECKING:
    import keras


def load(
    model: keras.Model,
    path: Path,
    data: str | None,
    count: int,
    seed: int = 0,
) -> np.ndarray:
    """Read images to calibrate a model on: of the part for training, where there are two.

    Args:
        model: The model.
        path: Its file, which may name its classes.
        data: A folder of images, or the word `digits`.
        count: How many images at most; `seed` draws them.
        seed: Decides which.

    Raises:
        ValueError: No data were named, or their classes are not the model's.
    """
    data = named(data)
    size = keras_files.image_size(model)
    check_classes(model, keras_files.class_names(path), data, path)
    return data_room.load_images(data, size, count, seed)


def load_judging(
    model: keras.Model, path: Path, data: str | None, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images to judge a model with, of the test part where there is one, and their labels.

    Args:
        model: The model. One with several outputs, or with a map of classes, gets no labels.
        path: Its file. Where that names no classes, the model is taken to count them in
            alphabetical order, as `keras.utils.image_dataset_from_directory` does.
        data: A folder of images, or the word `digits`.
        count: How many images at most; `seed` draws them.
        seed: Decides which.

    Returns:
        Pixels as `load` gives them, and class numbers `(count,)`; None where the images lie in no
        folders of classes.

    Raises:
        ValueError: As in `load`.
    """
    data = named(data)
    size, known = keras_files.image_size(model), keras_files.class_names(path)
    check_classes(model, known, data, path)
    pixels, names = data_room.load_named_images(data, size, count, seed, "test")
    found = data_room.class_names(data)
    if not found or (outputs := _outputs(model)) is None:
        return pixels, None
    classes = known if len(known) == outputs else found
    if strange := sorted(set(names) - set(classes)):
        raise ValueError(
            f"Images to judge with must be of the model's classes. Received: {path} of "
            f"{_listed(classes)}, and test images in {data} of {', '.join(strange)}. "
            f"Remove those, or pass another folder."
        )
    return pixels, np.array([classes.index(name) for name in names], np.int64)


def load_labelled(
    model: keras.Model,
    path: Path,
    data: str | None,
    validation_split: float | None = None,
    seed: int = 0,
) -> data_room.DataSet:
    """Read images to train a model on, with labels that count its classes in its own order.

    Args:
        model: The model.
        path: Its file, which may name its classes.
        data: A folder of images, or the word `digits`.
        validation_split: As in `mobile.data.load`.
        seed: Decides the split.

    Raises:
        ValueError: As in `load`, and where a class is missing.
    """
    data = named(data)
    size, known = keras_files.image_size(model), keras_files.class_names(path)
    check_classes(model, known, data, path)
    found = data_room.load(data, size, validation_split, seed)
    if known and found.classes != known:
        raise ValueError(
            f"Images to train on must have the model's classes, each of them, as its labels count "
            f"them. Received: {path} of {_listed(known)}, and {data} with "
            f"{_listed(found.classes)}. Add what is missing, or pass --epochs 0."
        )
    return found


def named(data: str | None) -> str:
    """Return what names the images, or raise: those of another task would only do harm."""
    if data is None:
        raise ValueError(
            "Images must be like those that the model was trained on. Received: none named. "
            "Pass --data FOLDER, or --data digits if those are the embedded handwritten digits."
        )
    return data


def check_classes(model: keras.Model, known: tuple[str, ...], data: str, path: Path) -> None:
    """Raise where images lie in folders of classes that the model was not made for.

    Args:
        model: The model. One with several outputs, or with a map of classes, tells nothing.
        known: The names of its classes; where there are none, their number is compared.
        data: A folder of images, or the word `digits`.
        path: The model's file.
    """
    found, outputs = data_room.class_names(data), _outputs(model)
    if not found or outputs is None:
        return
    known = known if len(known) == outputs else ()  # the model was changed since
    fits = len(found) == outputs or (len(found), outputs) == (2, 1)
    if set(found) <= set(known) or (fits and not known):
        return
    raise ValueError(
        f"Images must be of the model's classes. Received: {path} of "
        f"{_listed(known, outputs)}, and {data} with {_listed(found)}. "
        f"Pass --data with images like those that it was trained on, or with a folder of images "
        f"in no class folders."
    )


def _outputs(model: keras.Model) -> int | None:
    """How many numbers a model answers to an image; None of several answers, or of a map."""
    shapes = [tuple(output.shape) for output in model.outputs]
    return shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 else None


def check_file(model: Path, artifact: Path, classes: tuple[str, ...]) -> None:
    """Raise where a .tflite names other classes than the model that it is to be compared with.

    Args:
        model: The model's file.
        artifact: The .tflite.
        classes: Names of its classes; none say nothing.
    """
    known = keras_files.class_names(model)
    if known and classes and known != classes:
        raise ValueError(
            f"A .tflite is compared with the model that it was made of. Received: {artifact} of "
            f"{_listed(classes)}, and {model} of {_listed(known)}. Pass its own model."
        )


def _listed(names: tuple[str, ...], count: int | None = None) -> str:
    """Say how many classes there are, and the first of their names.

    >>> _listed(("aster", "iris", "lily", "rose", "tulip"))
    '5 classes (aster, iris, lily, ... tulip)'
    """
    count = count or len(names)
    shown = [*names[:3], f"... {names[-1]}"] if len(names) > 4 else names
    words = f"{count} class{'es' if count > 1 else ''}"
    return f"{words} ({', '.join(shown)})" if names else words
