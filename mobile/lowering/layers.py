"""The few layers a lowered model needs that Keras lacks; each is one operator of the runtime."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_se.layers.base import Shape, Tensor

_serializable = keras.saving.register_keras_serializable(package="mobile")


@_serializable
class Shift(keras.layers.Layer):
    """Add a constant to every element: `x + value` (ADD with a constant operand)."""

    def __init__(self, value, **kwargs):
        super().__init__(**kwargs)
        self.value = value

    def call(self, x: Tensor) -> Tensor:
        return x + keras.ops.cast(self.value, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}


@_serializable
class ScaleMap(keras.layers.Layer):
    """Multiply by a constant map that broadcasts over batch and channels (MUL).

    Args:
        values: Nested lists of floats, of shape (height, width).
    """

    def __init__(self, values, **kwargs):
        super().__init__(**kwargs)
        self.values = values

    def call(self, x: Tensor) -> Tensor:
        values = np.asarray(self.values, "float32")[None, :, :, None]
        return x * keras.ops.cast(values, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "values": self.values}


@_serializable
class Mean(keras.layers.Layer):
    """Mean over the given axes, which stay with length 1 (MEAN)."""

    def __init__(self, axis, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, x: Tensor) -> Tensor:
        return keras.ops.mean(x, axis=self.axis, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


@_serializable
class Slice(keras.layers.Layer):
    """Cut `begin[i]:end[i]` out of each axis behind the batch (STRIDED_SLICE); None is the end."""

    def __init__(self, begin, end, **kwargs):
        super().__init__(**kwargs)
        self.begin = begin
        self.end = end

    def call(self, x: Tensor) -> Tensor:
        return x[(slice(None), *map(slice, self.begin, self.end))]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "begin": self.begin, "end": self.end}


@_serializable
class DepthToSpace(keras.layers.Layer):
    """Rearrange blocks of channels into space (DEPTH_TO_SPACE)."""

    def __init__(self, block_size, **kwargs):
        super().__init__(**kwargs)
        self.block_size = block_size

    def call(self, x: Tensor) -> Tensor:
        return keras.ops.depth_to_space(x, self.block_size, data_format="channels_last")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "block_size": self.block_size}


@_serializable
class ApproximateGelu(keras.layers.Layer):
    """GELU by its hyperbolic tangent: `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`.

    Source:
        Hendrycks and Gimpel, 2016, arXiv:1606.08415, section 2.
    """

    def call(self, x: Tensor) -> Tensor:
        return keras.ops.gelu(x, approximate=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
