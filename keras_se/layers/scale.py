"""A learned factor for each channel: what a folded gate becomes in a model."""

from typing import Any

import keras
from keras import ops

from keras_se.layers.base import ChannelLayer, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_se")
class ChannelScale(ChannelLayer):
    """Multiply each channel by a weight of its own.

        y = x * scale

    Squeeze-and-excitation whose gate hardly varies is this, with the gate's constant in `scale`.
    It starts as the identity.

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or None for what Keras is set to when
            the layer is made.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, ..., channels)`, of any rank from 2; `channels` must be known.

    Output shape:
        Same as the input.

    Raises:
        ValueError: A bad value, or unknown channels.
        TypeError: An argument without its name, or an integer input.

    Example:

    >>> layer = ChannelScale()
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 64))).shape), layer.count_params()
    ((1, 7, 7, 64), 64)
    """

    def __init__(self, *, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)

    def build(self, input_shape: Shape) -> None:
        channels = self._check_shape(input_shape)
        self.scale = self.add_weight(name="scale", shape=(channels,), initializer="ones")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        self._check_dtype(inputs)
        return ops.multiply(inputs, self._along_channels(self.scale, len(inputs.shape)))
