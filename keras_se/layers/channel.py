"""Squeeze-and-excitation by channel: cSE, the paper's own."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_se.config import layer_of
from keras_se.layers.base import Excite, Initializer, Regularizer, Shape, Tensor, widen


class ChannelExcite(Excite):
    """What makes a gate by channel: two convolutions of one position, behind a squeeze."""

    def __init__(
        self,
        *,
        reduction: float,
        min_channels: int,
        divisor: int,
        activation: str | Callable,
        gate: str | Callable,
        use_bias: bool,
        round_limit: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction
        self.min_channels = min_channels
        self.divisor = divisor
        self.activation = activation
        self.gate = gate
        self.use_bias = use_bias
        self.round_limit = round_limit

    def _build_convs(self, outer: Shape, channels: int) -> None:
        """Make `reduce` and `expand`; `outer` is the squeezed shape without its channels.

        They work on the last axis in either data format: there Keras 3.15 on TensorFlow never
        takes the bias for that of another axis of the same size.
        """
        rank, width = len(outer) + 1, self._config().squeezed_channels(channels)
        self.reduce = self._conv(rank, width, self.use_bias, "channels_last", "reduce")
        self.reduce.build((*outer, channels))
        self.expand = self._conv(rank, channels, self.use_bias, "channels_last", "expand")
        self.expand.build((*outer, width))

    def _hidden(self, squeezed: Tensor) -> Tensor:
        return keras.activations.get(self.activation)(self.reduce(squeezed))

    def _excite(self, squeezed: Tensor) -> Tensor:
        """The gate, of one position (of every position where nothing was squeezed)."""
        return keras.activations.get(self.gate)(self.expand(self._hidden(squeezed)))


@layer_of("cse")
@keras.saving.register_keras_serializable(package="keras_se")
class SqueezeExcite(ChannelExcite):
    """Rescale each channel by a gate read from the whole input (cSE).

        s = mean(x)                                              # over all positions
        y = x * gate(expand(activation(reduce(s))))              # two 1x1 convolutions

    The mean is taken in float32 (or wider), so it does not overflow under mixed precision.

    Args:
        reduction: Input channels over squeezed width, at least 1.
        min_channels: Least squeezed width.
        divisor: The squeezed width is a multiple of this, see `SEConfig`.
        pool: `"avg"`, `"max"`, `"avg+max"` (their mean), or None, which gates each position by
            its own channels.
        activation: Name or function, between the two convolutions.
        gate: `"sigmoid"`, `"hard_sigmoid"` (relu6(x + 3) / 6), `"tanh"`, `"relu"` or a function.
        use_bias: Whether the two convolutions have biases.
        round_limit: Least fraction that rounding to `divisor` may keep, see `SEConfig`.
        kernel_initializer: Of both convolutions.
        kernel_regularizer: Of both convolutions.
        data_format: `"channels_last"`, `"channels_first"`, or None for what Keras is set to when
            the layer is made.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`; `channels` must be known. Sequences
        `(batch, steps, channels)` and volumes with one more axis work as well.

    Output shape:
        Same as the input.

    Raises:
        ValueError: A bad value, unknown channels, or another rank.
        TypeError: An argument of the wrong kind or without its name, or an integer input.

    Example:

    >>> layer = SqueezeExcite(reduction=4)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 64))).shape)
    (1, 7, 7, 64)
    >>> layer.count_params() == (64 * 16 + 16) + (16 * 64 + 64)
    True

    Source:
        Hu et al., 2018, arXiv:1709.01507, equations 2 to 4. The paper's own has no bias and no
        least width: `keras_se.PAPER.layer()`.
    """

    fields = ("reduction", "min_channels", "divisor", "round_limit")
    fields += ("pool", "activation", "gate", "use_bias")

    def __init__(
        self,
        reduction: float = 16,
        *,
        min_channels: int = 8,
        divisor: int = 1,
        pool: str | None = "avg",
        activation: str | Callable = "relu",
        gate: str | Callable = "sigmoid",
        use_bias: bool = True,
        round_limit: float = 0.9,
        kernel_initializer: Initializer = "glorot_uniform",
        kernel_regularizer: Regularizer = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            reduction=reduction,
            min_channels=min_channels,
            divisor=divisor,
            activation=activation,
            gate=gate,
            use_bias=use_bias,
            round_limit=round_limit,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            data_format=data_format,
            **kwargs,
        )
        self.pool = pool
        self._config()

    def build(self, input_shape: Shape) -> None:
        channels, outer = self._check_shape(input_shape), list(input_shape)
        del outer[self._channel_axis()]
        if self.pool is not None:
            outer[1:] = [1] * (len(outer) - 1)
        self._build_convs(tuple(outer), channels)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        self._check_dtype(inputs)
        if self.data_format == "channels_last":
            return ops.multiply(inputs, self._excite(self._squeeze(inputs)))
        gate = self._excite(ops.moveaxis(self._squeeze(inputs), 1, -1))
        return ops.multiply(inputs, ops.moveaxis(gate, -1, 1))

    def _squeeze(self, x: Tensor) -> Tensor:
        if self.pool is None:
            return x
        axis = _positions(x, self._channel_axis())
        if self.pool == "max":
            return ops.max(x, axis=axis, keepdims=True)
        average = ops.mean(widen(x), axis=axis, keepdims=True)  # (batch, 1, 1, channels)
        if self.pool == "avg":
            return average
        largest = widen(ops.max(x, axis=axis, keepdims=True))
        return ops.multiply(ops.add(average, largest), 0.5)


def _positions(x: Tensor, channel_axis: int) -> tuple[int, ...]:
    """Every axis but the batch and the channels."""
    rank = len(x.shape)
    return tuple(axis for axis in range(1, rank) if axis != channel_axis % rank)
