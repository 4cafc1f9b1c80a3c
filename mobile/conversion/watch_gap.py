"""A training callback that converts after each epoch."""

from __future__ import annotations

import keras

from mobile.conversion.converter import convert
from mobile.conversion.verification import verify


class WatchGap(keras.callbacks.Callback):
    """Convert after each epoch, and log how far the .tflite is from the simulation in training.

    Adds `tflite_agreement` (of the top-1) and `tflite_mean_abs` to the epoch's logs.

    Args:
        images: A few dozen images.
        labels: Class indices; then `tflite_accuracy` is logged too.
    """

    def __init__(self, images, labels=None):
        super().__init__()
        self.images = images
        self.labels = labels

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Convert and compare."""
        agreement = verify(self.model, convert(self.model), self.images, self.labels)
        found = {
            "tflite_agreement": agreement.top1_agreement,
            "tflite_mean_abs": agreement.mean_abs,
        }
        if agreement.accuracy:
            found["tflite_accuracy"] = agreement.accuracy["tflite"]
        if logs is not None:
            logs.update(found)
