"""Squeeze-and-excitation by position: sSE."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_se.config import layer_of
from keras_se.layers.base import Excite, Initializer, Regularizer, Shape, Tensor


@layer_of("sse")
@keras.saving.register_keras_serializable(package="keras_se")
class SpatialSqueezeExcite(Excite):
    """Rescale each position by a gate read from its own channels (sSE).

        y = x * gate(conv(x))  # one 1x1 convolution to one map

    Args:
        gate: `"sigmoid"`, `"hard_sigmoid"` (relu6(x + 3) / 6), `"tanh"`, `"relu"` or a function.
        use_bias: Whether the convolution has a bias.
        kernel_initializer: Of the convolution.
        kernel_regularizer: Of the convolution.
        data_format: `"channels_last"`, `"channels_first"`, or None for what Keras is set to when
            the layer is made.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape:
        As of `SqueezeExcite`.

    Output shape:
        Same as the input.

    Raises:
        As `SqueezeExcite`.

    Example:

    >>> layer = SpatialSqueezeExcite()
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 64))).shape), layer.count_params()
    ((1, 7, 7, 64), 65)

    Source:
        Roy et al., 2018, arXiv:1803.02579, section 2.2.
    """

    fields = ("gate", "use_bias")
    example = "gate='tanh'"

    def __init__(
        self,
        gate: str | Callable = "sigmoid",
        *,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        kernel_regularizer: Regularizer = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            data_format=data_format,
            **kwargs,
        )
        self.gate = gate
        self.use_bias = use_bias
        self._config()

    def build(self, input_shape: Shape) -> None:
        self._check_shape(input_shape)
        self.reduce = self._conv(len(input_shape), 1, self.use_bias, self.data_format, "reduce")
        self.reduce.build(tuple(input_shape))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        self._check_dtype(inputs)
        return ops.multiply(inputs, keras.activations.get(self.gate)(self.reduce(inputs)))
