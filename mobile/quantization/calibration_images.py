"""Calibration images on their way to the model, and what can be wrong with either."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_se.graph import input_names
from mobile.quantization.range_plan import WEIGHTED

_FEW = 10
_SCALES = 1 / 32  # a gain below it is meant for pixels


class Inputs:
    """Calibration images as lists of one float array per input, checked as they pass.

    Args:
        model: A lowered model.
        images: What `calibrate` takes.
        batch_size: Images at a time; 16 at 224x224 by default, and as many values otherwise.
    """

    def __init__(self, model: keras.Model, images, batch_size: int | None = None):
        if batch_size is not None and batch_size < 1:
            raise ValueError(
                f"`batch_size` must be at least 1. Received: batch_size={batch_size!r}. Leave it "
                "out for a size that suits the images."
            )
        self.model, self.images, self.batch_size = model, images, batch_size
        self.count = 0
        self._seen = [_Seen(model, name) for name in input_names(model)]

    def __iter__(self):
        import tensorflow as tf

        for batch in batches(self.model, self.images, self.batch_size):
            for array, seen in zip(batch, self._seen, strict=True):
                seen.look(array)
            self.count += len(batch[0])
            yield [tf.constant(array, tf.float32) for array in batch]

    def finish(self) -> None:
        """Judge the images as a whole."""
        if self.count == 0:
            raise ValueError("Calibration needs images. Received: none. Pass 100 to 500 of them.")
        for seen in self._seen:
            if seen.is_image or len(self._seen) == 1:
                seen.judge(self.count)
        if self.count < _FEW:
            warnings.warn(
                f"Ranges from {self.count} images may miss what others hold: pass at least 100 as "
                "`calibration`.",
                stacklevel=4,
            )


class _Seen:
    """What calibration showed to one input."""

    def __init__(self, model, name):
        self.model, self.name = model, name
        self.tensor = model.get_layer(name).output
        self.is_image = len(self.tensor.shape) == 4
        self.low, self.high = np.inf, -np.inf
        self._first, self._differ = None, False
        self._scales = any(_scales_pixels(layer, self.tensor) for layer in model.layers)

    def look(self, array: np.ndarray) -> None:
        """Check a batch, and keep what can be judged only when all were seen."""
        self._check(array)
        if not array.size:
            return
        self.low, self.high = min(self.low, array.min()), max(self.high, array.max())
        if self._first is None:
            self._first = array[0].copy()
        self._differ = self._differ or bool((array != self._first).any())

    def _check(self, array):
        shape = tuple(self.tensor.shape[1:])
        if array.ndim != len(shape) + 1 or any(
            b not in (None, a) for a, b in zip(array.shape[1:], shape, strict=True)
        ):
            single = array.ndim == len(shape) and array.shape[1:] == shape[1:]
            advice = "Give them in batches, such as dataset.batch(16)." if single else ""
            raise ValueError(
                f"Calibration images must have the shape (count, {', '.join(map(str, shape))}). "
                f"Received: {array.shape}, for input {self.name!r} of model {self.model.name!r}. "
                f"{advice or 'Resize them first.'}"
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"Calibration images must be finite. Received: NaN or infinity in an array of "
                f"shape {array.shape}, dtype {array.dtype}, for input {self.name!r}. Look at how "
                "the images were scaled."
            )
        if self._scales and array.size and (array.min() < 0 or array.max() > 255):
            self._refuse_scaled(array.min(), array.max())

    def judge(self, count: int) -> None:
        """Raise or warn of images that can hardly be meant."""
        if self.low == self.high:
            raise ValueError(
                f"Calibration images must show something. Received: {count} images in which "
                f"every value is {self.low:g}. Pass real images."
            )
        if count > 1 and not self._differ:
            raise ValueError(
                f"Calibration images must differ. Received: {count} times the same image. "
                "Pass real images, each once."
            )
        if self._scales and self.high <= 1.001:
            self._refuse_scaled(self.low, self.high)
        if not self._scales and self._looks_like_pixels():
            warnings.warn(
                f"Model {self.model.name!r} has no preprocessing of its own, and the calibration "
                f"images lie from {self.low:g} to {self.high:g}. If it was trained on scaled "
                "images, scale these the same way, or put a Rescaling layer first.",
                stacklevel=5,
            )

    def _looks_like_pixels(self):
        first = self._first
        few = self.is_image and first is not None and first.shape[-1] in (1, 3)
        return few and self.low >= 0 and 128 <= self.high <= 255

    def _refuse_scaled(self, low, high):
        raise ValueError(
            f"Model {self.model.name!r} scales pixels of 0 to 255 itself. Received: calibration "
            f"images from {low:.3g} to {high:.3g}, which look scaled already. Pass raw pixels."
        )


def _scales_pixels(layer, tensor):
    """Whether a layer of a lowered model makes of pixels what the network was trained on."""
    if type(layer).__name__ == "Rescaling":
        return layer.input is tensor
    # Of a model with several inputs it is a convolution.
    alone = type(layer).__name__ == "DepthwiseConv2D" and not layer.trainable
    if not alone or layer.kernel_size != (1, 1) or layer.input is not tensor:
        return False
    return np.abs(layer.get_weights()[0]).max() < _SCALES


def columns(images: Any, names: Sequence[str]) -> list[np.ndarray] | None:
    """Images as one array per input, or None where they come in batches.

    Args:
        images: An array, for one input; a list or tuple of arrays, one an input, for several; a
            dictionary of arrays by the input's name; else an iterable of batches.
        names: Those of the inputs.
    """
    if hasattr(images, "__array__"):
        images = [images]
    elif isinstance(images, list | tuple):
        if len(names) == 1 or any(isinstance(x, list | tuple | Mapping) for x in images[:1]):
            return None
    elif not isinstance(images, Mapping):
        return None
    found = [np.asarray(x) for x in _by_input(images, names)]
    if len({len(x) for x in found}) > 1:
        raise ValueError(
            "Every input needs as many images. Received: "
            f"{', '.join(f'{len(x)} for {name!r}' for x, name in zip(found, names, strict=True))}. "
            "Pass arrays of one length."
        )
    return found


def batches(model: keras.Model, images: Any, size: int | None = None) -> Iterator[list[np.ndarray]]:
    """Images of any form that `calibrate` takes, as lists of one array per input."""
    names = input_names(model)
    whole = columns(images, names)
    if whole is None:
        for batch in images:
            parts = batch if isinstance(batch, list | tuple | Mapping) else [batch]
            yield [np.asarray(x) for x in _by_input(parts, names)]
        return
    usual = 16 * 224 * 224 // max(1, int(np.prod(whole[0].shape[1:3])))
    size = size or max(1, min(16, usual))
    for start in range(0, len(whole[0]), size):
        yield [column[start : start + size] for column in whole]


def reusable(images: Any) -> Any:
    """Images that can be gone through more than once: an iterator's batches are kept in a list."""
    is_iterator = hasattr(images, "__next__")
    return list(images) if is_iterator else images


def spread(model: keras.Model, images: Any, most: int | None = None) -> list[np.ndarray]:
    """All images, or up to `most` spread evenly over them, as one float array per input.

    Batches are gone through twice: to count, and to take.
    """
    whole = columns(images, input_names(model))
    parts = [whole] if whole is not None else batches(model, images)
    total = len(whole[0]) if whole is not None else sum(len(x[0]) for x in batches(model, images))
    chosen = np.unique(np.linspace(0, total - 1, min(most or total, total)).astype(int))
    found, start = [], 0
    for part in parts:
        end = start + len(part[0])
        here = chosen[(chosen >= start) & (chosen < end)] - start
        found.append([np.asarray(column[here], np.float32) for column in part])
        start = end
    return [np.concatenate(columns) for columns in zip(*found, strict=True)]


def _by_input(parts, names):
    """The parts for the inputs, in their order; labels behind them are left out."""
    if isinstance(parts, Mapping):
        if missing := [name for name in names if name not in parts]:
            raise ValueError(
                f"Images by name must name every input. Received: {', '.join(map(repr, parts))}, "
                f"without {', '.join(map(repr, missing))}. Pass {{{names[0]!r}: array, ...}}."
            )
        return [parts[name] for name in names]
    if len(parts) < len(names):
        raise ValueError(
            f"Each of the inputs {', '.join(map(repr, names))} needs images. Received: "
            f"{len(parts)} arrays. Pass a list of one array each, or a dictionary by name."
        )
    return parts[: len(names)]


def warn_of_random_weights(model: keras.Model) -> None:
    """Warn where every bias of a lowered model is constant, as before any training.

    BatchNorm lies in those biases: one that has seen a batch leaves them unequal.
    """
    biases = [x.get_weights()[-1] for x in model.layers if type(x).__name__ in WEIGHTED]
    biases = [bias for bias in biases if bias.size > 1]
    if biases and all(np.ptp(bias) == 0 for bias in biases):
        warnings.warn(
            f"Model {model.name!r} looks untrained: all {len(biases)} bias vectors are as they "
            "were initialised. Ranges of random weights mean nothing, and XNNPACK may refuse the "
            "file. Load trained weights first.",
            stacklevel=4,
        )


def check_weights(model: Any, dtype: str = "float32") -> None:
    """Raise a ValueError where a weight is no number that `dtype` holds; of tf_keras models too."""
    most = float(np.finfo(dtype).max)
    said = "NaN or infinity" if dtype == "float32" else f"NaN or more than {dtype}'s {most:,.0f}"
    for layer in model.layers:
        if not all((np.abs(np.asarray(w, np.float64)) <= most).all() for w in layer.get_weights()):
            raise ValueError(
                f"Weights must be finite. Received: {said} in layer {layer.name!r} of model "
                f"{model.name!r}, or in a BatchNorm that belongs to it. Load the weights again, "
                "or train with a smaller learning rate."
            )
