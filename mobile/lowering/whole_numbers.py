"""Whole numbers, such as pixels of a uint8 input: the new model computes in float32 alone.

Keras moves whole numbers as they are, but rounds or wraps around where it computes with them.
"""

from __future__ import annotations

import keras

from keras_se.graph import Node, Ref
from mobile.lowering.registry import unsupported

_L = keras.layers
# What makes float32 of whole numbers before it computes.
_CONVERTS = (
    _L.Rescaling, _L.Normalization, _L.BatchNormalization, _L.GlobalAveragePooling2D, _L.Dense,
)  # fmt: skip
# What moves or picks them.
_MOVES = (
    _L.Identity, _L.Dropout, _L.SpatialDropout2D, _L.ActivityRegularization, _L.RandomFlip,
    _L.RandomRotation, _L.RandomZoom, _L.RandomTranslation, _L.RandomContrast,
    _L.RandomBrightness, _L.MaxPooling2D, _L.GlobalMaxPooling2D, _L.ReLU, _L.ZeroPadding2D,
    _L.Cropping2D, _L.Flatten, _L.Reshape, _L.Permute, _L.Concatenate,
)  # fmt: skip
_MOVING_OPERATIONS = {
    "Identity", "StopGradient", "Copy", "Array", "ConvertToTensor", "Max", "Relu", "Pad",
    "GetItem", "Split", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Concatenate",
}  # fmt: skip


def is_whole(ref: Ref) -> bool:
    """Whether an input takes whole numbers."""
    return not keras.backend.is_float_dtype(keras.backend.standardize_dtype(ref.spec.dtype))


def stays_whole(node: Node) -> bool:
    """Whether whole numbers come out of a node that reads some.

    Raises:
        ValueError: It computes with them as whole numbers.
    """
    operation = node.operation
    if not isinstance(operation, keras.layers.Layer):
        if not is_whole(node.outputs[0]):
            return False
        moves = type(operation).__name__ in _MOVING_OPERATIONS
    else:
        if isinstance(operation, _CONVERTS):
            return False
        nearest = getattr(operation, "interpolation", None) == "nearest"
        moves = isinstance(operation, _MOVES) or nearest
    if not moves:
        raise unsupported(
            node,
            "whole numbers to compute with",
            "Begin the model with keras.ops.cast(x, 'float32') or a Rescaling.",
        )
    return True
