"""Which class an output names, and labels that say which it should be."""

from __future__ import annotations

from typing import Any

import numpy as np


def classes_of(outputs: np.ndarray) -> np.ndarray:
    """The class of each image, or of each pixel: the channel with the largest output.

    One channel alone says yes or no: 1 above 0.5 where all outputs lie from 0 to 1, else above 0.

    Args:
        outputs: `(count, ..., channels)`.

    Returns:
        `(count, ...)`; of 1x1 images `(count,)`.

    >>> classes_of(np.array([[0.2], [0.9]])).tolist()
    [0, 1]
    """
    outputs = outputs.reshape(*_answers(outputs), outputs.shape[-1])
    if outputs.shape[-1] > 1:
        return outputs.argmax(axis=-1)
    is_probability = outputs.min() >= 0 and outputs.max() <= 1
    return (outputs[..., 0] > (0.5 if is_probability else 0)).astype(int)


def checked_labels(labels: Any, outputs: np.ndarray) -> np.ndarray:
    """Labels as class numbers, one for each class that `classes_of` gives.

    Args:
        labels: Whole numbers, `(count,)` or `(count, 1)`; of a segmentation model, masks
            `(count, height, width)`, with a last axis of length 1 or without. In masks, 255 and
            -1 are void and become -1.
        outputs: The model's, `(count, ..., channels)`.

    Raises:
        ValueError: They are strings, one-hot rows, of another shape, or out of range.
    """
    labels = np.asarray(labels)
    wanted, count = _answers(outputs), max(outputs.shape[-1], 2)
    shape = f"({', '.join(map(str, wanted))}{',' if len(wanted) == 1 else ''})"
    said = f"Labels must be class numbers of shape {shape}, from 0 to {count - 1}. Received: "
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{said}{type(labels.reshape(-1)[0]).__name__}, such as {labels.reshape(-1)[0]!r}. "
            "Pass the index of each in your list of class names."
        )
    if labels.shape == outputs.shape and outputs.shape[-1] > 1:
        raise ValueError(f"{said}shape {labels.shape}, one-hot. Pass labels.argmax(axis=-1).")
    if _without_ones(labels.shape) != _without_ones(wanted):
        raise ValueError(f"{said}shape {labels.shape}. Pass one label for each answer.")
    labels = labels.reshape(wanted)
    void = np.isin(labels, (-1, 255)) & (len(wanted) > 1)
    wrong = labels[((labels != np.round(labels)) | (labels < 0) | (labels >= count)) & ~void]
    if wrong.size:
        raise ValueError(
            f"{said}{wrong[0]:g}, and {wrong.size - 1} more that are none. Count classes from 0, "
            "and leave out images without a class."
        )
    return np.where(void, -1, labels).astype(int)


def accuracy(classes: np.ndarray, labels: np.ndarray) -> float:
    """The share of `classes` that are those of `labels`, where these are not void."""
    counted = labels >= 0
    return float((classes == labels)[counted].mean()) if counted.any() else float("nan")


def _answers(outputs):
    """The shape of the answers: one an image, or one a pixel."""
    count, *places = outputs.shape[:-1]
    return (count,) if np.prod(places) == 1 else (count, *places)


def _without_ones(shape):
    return shape[0] if shape else None, [size for size in shape[1:] if size != 1]
