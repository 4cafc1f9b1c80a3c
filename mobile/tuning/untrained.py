"""The int8 file of a network with random weights: its times are those of a trained one."""

from __future__ import annotations

from typing import Any

import keras

from mobile.conversion.converter import convert
from mobile.conversion.quiet import quiet
from mobile.pipeline.batch_norms import refresh_batch_norms
from mobile.tflite.artifact import Artifact

#: Which BatchNorm statistics and ranges are from.
IMAGES = 16


def untrained_file(model: keras.Model, images: Any, target: str) -> Artifact:
    """Return the int8 file of a model with random weights, after giving it sane statistics.

    Args:
        model: The model; its BatchNorm statistics become those of the images.
        images: Some images as it takes them.
        target: As in `mobile.lower`.
    """
    with quiet():  # about networks that are none of the user's
        refresh_batch_norms(model, images, batch=IMAGES)
        return convert(model, calibration=images, target=target, method="minmax", correction=False)
