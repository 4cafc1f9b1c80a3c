"""Squeeze-and-excitation by channel and by position: scSE."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_se.config import layer_of
from keras_se.layers.base import Excite, Initializer, Regularizer, Shape, Tensor
from keras_se.layers.channel import SqueezeExcite
from keras_se.layers.spatial import SpatialSqueezeExcite


@layer_of("scse")
@keras.saving.register_keras_serializable(package="keras_se")
class ConcurrentSqueezeExcite(Excite):
    """Rescale by channel and by position, and join the two (scSE).

        y = cSE(x) + sSE(x)  # aggregate="add"

    Args:
        reduction: Input channels over squeezed width, at least 1.
        aggregate: `"add"`, `"max"`, `"mul"` (all elementwise) or `"concat"` (cSE's channels,
            then sSE's).
        **kwargs: All others are as in `SqueezeExcite`; `gate`, `use_bias`, `kernel_initializer` and
            `kernel_regularizer` hold for both branches.

    Input shape:
        As of `SqueezeExcite`.

    Output shape:
        Same as the input; twice the channels with `aggregate="concat"`.

    Raises:
        As `SqueezeExcite`.

    Example:

    >>> layer = ConcurrentSqueezeExcite(aggregate="concat")
    >>> tuple(layer(keras.ops.ones((1, 7, 7, 64))).shape)
    (1, 7, 7, 128)

    Source:
        Roy et al., 2018: arXiv:1803.02579 adds; the authors' later code takes the maximum;
        arXiv:1808.08127 compares all four.
    """

    fields = (*SqueezeExcite.fields, "aggregate")

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
        aggregate: str = "add",
        round_limit: float = 0.9,
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
        self.reduction = reduction
        self.min_channels = min_channels
        self.divisor = divisor
        self.pool = pool
        self.activation = activation
        self.gate = gate
        self.use_bias = use_bias
        self.aggregate = aggregate
        self.round_limit = round_limit
        self._config()

    def build(self, input_shape: Shape) -> None:
        self._check_shape(input_shape)
        self.channel = self._branch(SqueezeExcite, "channel")
        self.channel.build(tuple(input_shape))
        self.spatial = self._branch(SpatialSqueezeExcite, "spatial")
        self.spatial.build(tuple(input_shape))
        self.built = True

    def _branch(self, cls: type[Excite], name: str) -> Excite:
        shared = (*cls.fields, "kernel_initializer", "kernel_regularizer")
        return cls(
            **{field: getattr(self, field) for field in shared},
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs: Tensor) -> Tensor:
        self._check_dtype(inputs)
        channel, spatial = self.channel(inputs), self.spatial(inputs)
        if self.aggregate == "concat":
            return ops.concatenate([channel, spatial], axis=self._channel_axis())
        join = {"add": ops.add, "max": ops.maximum, "mul": ops.multiply}[self.aggregate]
        return join(channel, spatial)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape, axis = list(input_shape), self._channel_axis()
        channels = shape[axis]
        if self.aggregate == "concat" and channels is not None:
            shape[axis] = 2 * channels
        return tuple(shape)
