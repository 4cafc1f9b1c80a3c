"""Calibration images on their way to the model, and what can be wrong with either."""

from __future__ import annotations

import warnings

import numpy as np

from mobile.quantization.range_plan import WEIGHTED

_FEW = 10


class Inputs:
    """Calibration images as lists of one float array per input, checked as they pass.

    Args:
        model: A lowered model.
        images: What `calibrate` takes.
        batch_size: Images at a time; 16 at 224x224 by default, and as many values otherwise.
    """

    def __init__(self, model, images, batch_size=None):
        self.model, self.images, self.batch_size = model, images, batch_size
        self.count, self.low, self.high = 0, np.inf, -np.inf
        self._first, self._differ = None, False
        self._scales = any(type(layer).__name__ == "Rescaling" for layer in model.layers[:2])

    def __iter__(self):
        import tensorflow as tf

        for batch in self._batches():
            checked = [np.asarray(b) for b in batch[: len(self.model.inputs)]]
            for array, tensor in zip(checked, self.model.inputs, strict=True):
                self._check(array, tensor)
            self._look(checked[0])
            yield [tf.constant(array, tf.float32) for array in checked]

    def _batches(self):
        images, inputs = self.images, self.model.inputs
        arrays = isinstance(images, np.ndarray) or hasattr(images, "__array__")
        several = isinstance(images, list | tuple) and len(inputs) > 1
        if not arrays and not several:
            yield from (b if isinstance(b, list | tuple) else [b] for b in images)
            return
        columns = list(images) if several else [np.asarray(images)]
        usual = 16 * 224 * 224 // max(1, int(np.prod(columns[0].shape[1:3])))
        size = self.batch_size or max(1, min(16, usual))
        for start in range(0, len(columns[0]), size):
            yield [column[start : start + size] for column in columns]

    def _look(self, array):
        """Keep what can be judged only when all images were seen."""
        self.count += len(array)
        if not array.size:
            return
        self.low, self.high = min(self.low, array.min()), max(self.high, array.max())
        if self._first is None:
            self._first = array[0].copy()
        self._differ = self._differ or bool((array != self._first).any())

    def _check(self, array, tensor):
        shape, name = tuple(tensor.shape[1:]), self.model.name
        if array.ndim != len(shape) + 1 or any(
            b not in (None, a) for a, b in zip(array.shape[1:], shape, strict=True)
        ):
            raise ValueError(
                f"Calibration images must have the shape (count, {', '.join(map(str, shape))}). "
                f"Received: {array.shape}, for model {name!r}. Resize them first."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"Calibration images must be finite. Received: NaN or infinity in an array of "
                f"shape {array.shape}, dtype {array.dtype}. Look at how the images were scaled."
            )
        if self._scales and array.size and (array.min() < 0 or array.max() > 255):
            self._refuse_scaled(array.min(), array.max())

    def finish(self):
        """Judge the images as a whole."""
        if self.count == 0:
            raise ValueError("Calibration needs images. Received: none. Pass 100 to 500 of them.")
        if self.low == self.high:
            raise ValueError(
                f"Calibration images must show something. Received: {self.count} images in which "
                f"every value is {self.low:g}. Pass real images."
            )
        if self.count > 1 and not self._differ:
            raise ValueError(
                f"Calibration images must differ. Received: {self.count} times the same image. "
                "Pass real images, each once."
            )
        if self._scales and self.high <= 1.001:
            self._refuse_scaled(self.low, self.high)
        if not self._scales and self._look_like_pixels():
            warnings.warn(
                f"Model {self.model.name!r} has no preprocessing of its own, and the calibration "
                f"images lie from {self.low:g} to {self.high:g}. If it was trained on scaled "
                "images, scale these the same way, or put a Rescaling layer first.",
                stacklevel=4,
            )
        if self.count < _FEW:
            warnings.warn(
                f"Ranges from {self.count} images may miss what others hold: pass at least 100 as "
                "`calibration`.",
                stacklevel=4,
            )

    def _look_like_pixels(self):
        images = self._first.ndim == 3 and self._first.shape[-1] in (1, 3)
        return images and self.low >= 0 and 128 <= self.high <= 255

    def _refuse_scaled(self, low, high):
        raise ValueError(
            f"Model {self.model.name!r} scales pixels of 0 to 255 itself. Received: calibration "
            f"images from {low:.3g} to {high:.3g}, which look scaled already. Pass raw pixels."
        )


def warn_of_random_weights(model):
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
