"""Squeeze-and-excitation by channel with a learned constant for the squeezed input: static SE."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_se.config import layer_of
from keras_se.layers.base import Initializer, Regularizer, Shape, Tensor
from keras_se.layers.channel import ChannelExcite, SqueezeExcite

# Lower end, upper end and inverse of the gates.
_GATES: dict[Any, tuple[float, float, Callable]] = {
    "sigmoid": (0, 1, lambda g: np.log(g / (1 - g))),
    "hard_sigmoid": (0, 1, lambda g: 6 * g - 3),  # of relu6(x + 3) / 6
    "tanh": (-1, 1, np.arctanh),
    "relu": (0, np.inf, lambda g: g),
}
_MARGIN = 1e-6  # that a gate which is set keeps from the ends, where it could not be trained


@layer_of("static")
@keras.saving.register_keras_serializable(package="keras_se")
class StaticSqueezeExcite(ChannelExcite):
    """Rescale each channel by a gate that is learned, not read from the input (static SE).

        y = x * gate(expand(activation(reduce(constant))))       # two 1x1 convolutions

    In training the gate is found through the same two layers as in `SqueezeExcite`; afterwards it
    is one number a channel, which can go into the neighbouring convolution.

    Args:
        reduction: Input channels over squeezed width, at least 1.
        min_channels: Least squeezed width.
        divisor: The squeezed width is a multiple of this, see `SEConfig`.
        activation: Name or function, between the two convolutions.
        gate: `"sigmoid"`, `"hard_sigmoid"` (relu6(x + 3) / 6), `"tanh"`, `"relu"` or a function.
        use_bias: Whether the two convolutions have biases.
        round_limit: Least fraction that rounding to `divisor` may keep, see `SEConfig`.
        kernel_initializer: Of both convolutions, but for signs in the first (see Source).
        kernel_regularizer: Of both convolutions.
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

    >>> layer = StaticSqueezeExcite(reduction=4)
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 64))).shape), layer.constant_gate().shape
    ((1, 7, 7, 64), (64,))
    >>> layer.count_params() == (64 * 16 + 16) + (16 * 64 + 64) + 64
    True

    Source:
        Huang et al., 2024, arXiv:2304.06345 (ASR). The constant starts at 0.1, as in the authors'
        code. Where we differ: each unit of `reduce` starts with the sign that makes it positive on
        that constant. A ReLU that starts below zero would stay there, since its input is the same
        for every image; the smallest widths would have no other.
    """

    fields = tuple(field for field in SqueezeExcite.fields if field != "pool")

    def __init__(
        self,
        reduction: float = 16,
        *,
        min_channels: int = 8,
        divisor: int = 1,
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
        self._config()

    def build(self, input_shape: Shape) -> None:
        channels = self._check_shape(input_shape)
        self.constant = self.add_weight(
            name="constant", shape=(channels,), initializer=keras.initializers.Constant(0.1)
        )
        self._build_convs((1,) * (len(input_shape) - 1), channels)
        self.built = True

    def _initializer(self, name: str) -> Initializer:
        draw = super()._initializer(name)
        return _positive_sums(draw) if name == "reduce" and draw is not None else draw

    def call(self, inputs: Tensor) -> Tensor:
        self._check_dtype(inputs)
        gate = ops.reshape(self._excite(self._squeezed()), (-1,))
        return ops.multiply(inputs, self._along_channels(gate, len(inputs.shape)))

    def _squeezed(self) -> Tensor:
        return ops.reshape(self.constant, (*[1] * (self.reduce.rank + 1), -1))

    def constant_gate(self) -> np.ndarray:
        """The gate that the layer multiplies with, `(channels,)` in float32.

        Raises:
            ValueError: The layer is not built.
        """
        self._check_built("constant_gate")
        return _flat(self._excite(self._squeezed()))

    def set_constant_gate(self, gate: Any) -> None:
        """Set the weights so that `constant_gate()` is `gate`.

        Only the bias of `expand` changes, or its kernel (as little as can be) where there is no
        bias. To go on from a dynamic layer, first copy its two convolutions:

            static.reduce.set_weights(dynamic.reduce.get_weights())
            static.expand.set_weights(dynamic.expand.get_weights())
            static.constant.assign(mean_of_the_squeezed_input)
            static.set_constant_gate(mean_gate)

        Args:
            gate: Wished-for gates, `(channels,)`. They are clipped to what the gate function
                gives, 1e-6 away from its ends, so that they can still be trained. In float32 the
                gates that come out are within 1e-5 of that, above 1 relatively.

        Raises:
            ValueError: Other than `channels` finite numbers, a gate function of your own, a layer
                that is not built, or one without bias whose squeezed constant is all zero.
        """
        self._check_built("set_constant_gate")
        wanted = self._before_gate(gate)
        hidden = self._hidden(self._squeezed())
        missing = np.float32(wanted - _flat(self.expand(hidden)))
        if self.use_bias:
            self.expand.bias.assign(ops.add(self.expand.bias, missing))
            return
        hidden = _flat(hidden)
        if not hidden.any():
            raise ValueError(
                f"Without a bias, some unit behind the activation must be other than zero. "
                f"Received: zeros from `reduce` in layer {self.name!r}. Set other weights in "
                f"`reduce` or `constant` first, or make the layer with use_bias=True."
            )
        change = np.outer(hidden, missing) / np.sum(hidden**2)
        shape = self.expand.kernel.shape
        self.expand.kernel.assign(ops.add(self.expand.kernel, change.reshape(shape)))

    def _before_gate(self, gate: Any) -> np.ndarray:
        """What the gate function makes `gate` of, in float64."""
        channels = self.constant.shape[0]
        values: np.ndarray = np.asarray(gate, "float64")
        if values.shape != (channels,) or not np.isfinite(values).all():
            raise ValueError(
                f"`gate` must be one finite number for each of the {channels} channels. Received: "
                f"shape {values.shape}, {np.sum(~np.isfinite(values))} of them not finite, for "
                f"layer {self.name!r}. Pass an array of shape ({channels},)."
            )
        if not isinstance(self.gate, str) or self.gate not in _GATES:
            raise ValueError(
                f"The gate function must be one whose inverse is known. Received: gate="
                f"{self.gate!r} of layer {self.name!r}. Make the layer with one of "
                f"{', '.join(map(repr, _GATES))}."
            )
        low, high, inverse = _GATES[self.gate]
        return inverse(np.clip(values, low + _MARGIN, high - _MARGIN))

    def _check_built(self, method: str) -> None:
        if not self.built:
            raise ValueError(
                f"The layer must be built before its gate is asked for or set. Received: {method} "
                f"of layer {self.name!r}, whose channels are not known. Call it on an input, or "
                f"build it: layer.build((None, None, None, channels))."
            )


def _positive_sums(draw: Initializer) -> Callable:
    """An initializer as `draw`, each unit with the sign that makes its weights' sum positive."""

    def turned(shape: Shape, dtype: Any = None) -> Tensor:
        kernel = draw(shape, dtype=dtype)
        sums: Any = ops.sum(kernel, axis=tuple(range(len(shape) - 1)), keepdims=True)
        return ops.where(sums < 0, -kernel, kernel)

    return turned


def _flat(x: Tensor) -> np.ndarray:
    values: Any = ops.convert_to_numpy(ops.cast(x, "float32"))
    return values.reshape(-1)
