"""Squeeze-and-excitation as Keras layers: per channel (cSE), per position (sSE), and both (scSE).

They compute with Keras convolutions and `keras.ops` only, so that whatever rewrites a model can
trace `layer.call` and meets nothing that it does not know.
"""

import keras
from keras import ops

from keras_se.config import SEConfig, from_plain, layer_of, to_plain

_CONVS = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}


class _Excite(keras.layers.Layer):
    """What the three layers share: checks, shapes, dtypes, configuration."""

    fields = ()  # of SEConfig, that the layer takes

    def __init__(self, *, kernel_initializer, kernel_regularizer, data_format, **kwargs):
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"`data_format` must be None, 'channels_last' or 'channels_first'. Received: "
                f"data_format={data_format!r} in layer {self.name!r}. Pass None for the setting "
                f"of Keras."
            )
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer
        self.data_format = data_format

    def _config(self, **more):
        """The record of this layer; making it checks the arguments."""
        return SEConfig(**{field: getattr(self, field) for field in self.fields}, **more)

    def _resolve_data_format(self):
        return self.data_format or keras.config.image_data_format()

    def _channel_axis(self):
        return -1 if self._resolve_data_format() == "channels_last" else 1

    def _check_shape(self, input_shape):
        """Return the channels of a shape that the layer can work on."""
        rank = len(input_shape)
        if rank not in _CONVS:
            raise ValueError(
                f"The input must have rank 4 (images), 3 (sequences) or 5 (volumes). Received: "
                f"shape {tuple(input_shape)} of rank {rank} at layer {self.name!r}. Add the "
                f"missing axes, for example with keras.layers.Reshape."
            )
        channels = input_shape[self._channel_axis()]
        if channels is None:
            raise ValueError(
                f"The number of channels must be known when the layer is built. Received: shape "
                f"{tuple(input_shape)} ({self._resolve_data_format()}) at layer {self.name!r}. "
                f"Give it to the input, for example keras.Input((None, None, 64))."
            )
        self.input_spec = keras.layers.InputSpec(
            ndim=rank, axes={self._channel_axis() % rank: channels}
        )
        return channels

    def _check_dtype(self, x):
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise TypeError(
                f"The input must be of a floating-point dtype. Received: dtype {dtype} at layer "
                f"{self.name!r}. Convert it first, for example with "
                f"keras.layers.Rescaling(1 / 255)."
            )

    def _conv(self, rank, filters, name):
        """A convolution of one position, in the layer's own dtype and format."""
        initializer = keras.initializers.get(self.kernel_initializer)
        if isinstance(initializer, keras.initializers.Initializer):
            initializer = initializer.clone()  # or equal shapes would start with equal values
        return _CONVS[rank](
            filters,
            kernel_size=1,
            use_bias=self.use_bias,
            kernel_initializer=initializer,
            kernel_regularizer=keras.regularizers.get(self.kernel_regularizer),
            data_format=self._resolve_data_format(),
            dtype=self.dtype_policy,
            name=name,
        )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        self._check_dtype(inputs)
        return super().compute_output_spec(inputs)

    def get_config(self):
        own = (*self.fields, "kernel_initializer", "kernel_regularizer", "data_format")
        return super().get_config() | {name: to_plain(getattr(self, name)) for name in own}

    @classmethod
    def from_config(cls, config):
        own = (*cls.fields, "kernel_initializer", "kernel_regularizer")
        return cls(**config | {name: from_plain(config[name]) for name in own if name in config})


@layer_of("cse")
@keras.saving.register_keras_serializable(package="keras_se")
class SqueezeExcite(_Excite):
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
        data_format: `"channels_last"`, `"channels_first"`, or None for the setting of Keras.
        **kwargs: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`; `channels` must be known. Sequences
        `(batch, steps, channels)` and volumes with one more axis work as well.

    Output shape:
        Same as the input.

    Raises:
        ValueError: A bad argument, unknown channels, or another rank.
        TypeError: The input is of an integer dtype.

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
        reduction=16,
        min_channels=8,
        divisor=1,
        pool="avg",
        activation="relu",
        gate="sigmoid",
        use_bias=True,
        round_limit=0.9,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        data_format=None,
        **kwargs,
    ):
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
        self.round_limit = round_limit
        self._config()

    def build(self, input_shape):
        channels = self._check_shape(input_shape)
        rank = len(input_shape)
        width = self._config().squeezed_channels(channels)
        axis = self._channel_axis() % rank
        squeezed = [size if self.pool is None else 1 for size in input_shape]
        squeezed[0], squeezed[axis] = input_shape[0], channels
        self.reduce = self._conv(rank, width, "reduce")
        self.reduce.build(tuple(squeezed))
        squeezed[axis] = width
        self.expand = self._conv(rank, channels, "expand")
        self.expand.build(tuple(squeezed))
        self.built = True

    def call(self, inputs):
        self._check_dtype(inputs)
        return ops.multiply(inputs, self._excite(inputs))

    def _excite(self, x):
        """The gate, of one position (of every position where `pool` is None)."""
        x = self.reduce(self._squeeze(x))
        x = self.expand(keras.activations.get(self.activation)(x))
        return keras.activations.get(self.gate)(x)

    def _squeeze(self, x):
        if self.pool is None:
            return x
        axis = _positions(x, self._channel_axis())
        if self.pool == "max":
            return ops.max(x, axis=axis, keepdims=True)
        average = ops.mean(_widen(x), axis=axis, keepdims=True)  # (batch, 1, 1, channels)
        if self.pool == "avg":
            return average
        largest = _widen(ops.max(x, axis=axis, keepdims=True))
        return ops.multiply(ops.add(average, largest), 0.5)


@layer_of("sse")
@keras.saving.register_keras_serializable(package="keras_se")
class SpatialSqueezeExcite(_Excite):
    """Rescale each position by a gate read from its own channels (sSE).

        y = x * gate(conv(x))  # one 1x1 convolution to one map

    Args:
        gate: `"sigmoid"`, `"hard_sigmoid"` (relu6(x + 3) / 6), `"tanh"`, `"relu"` or a function.
        use_bias: Whether the convolution has a bias.
        kernel_initializer: Of the convolution.
        kernel_regularizer: Of the convolution.
        data_format: `"channels_last"`, `"channels_first"`, or None for the setting of Keras.
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

    def __init__(
        self,
        gate="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            data_format=data_format,
            **kwargs,
        )
        self.gate = gate
        self.use_bias = use_bias
        self._config(kind="sse")

    def build(self, input_shape):
        self._check_shape(input_shape)
        self.reduce = self._conv(len(input_shape), 1, "reduce")
        self.reduce.build(tuple(input_shape))
        self.built = True

    def call(self, inputs):
        self._check_dtype(inputs)
        return ops.multiply(inputs, keras.activations.get(self.gate)(self.reduce(inputs)))


@layer_of("scse")
@keras.saving.register_keras_serializable(package="keras_se")
class ConcurrentSqueezeExcite(_Excite):
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
        reduction=16,
        min_channels=8,
        divisor=1,
        pool="avg",
        activation="relu",
        gate="sigmoid",
        use_bias=True,
        aggregate="add",
        round_limit=0.9,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        data_format=None,
        **kwargs,
    ):
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
        self._config(kind="scse")

    def build(self, input_shape):
        self._check_shape(input_shape)
        self.channel = self._branch(SqueezeExcite, "channel")
        self.channel.build(tuple(input_shape))
        self.spatial = self._branch(SpatialSqueezeExcite, "spatial")
        self.spatial.build(tuple(input_shape))
        self.built = True

    def _branch(self, cls, name):
        shared = (*cls.fields, "kernel_initializer", "kernel_regularizer")
        return cls(
            **{field: getattr(self, field) for field in shared},
            data_format=self._resolve_data_format(),
            dtype=self.dtype_policy,
            name=name,
        )

    def call(self, inputs):
        self._check_dtype(inputs)
        channel, spatial = self.channel(inputs), self.spatial(inputs)
        if self.aggregate == "concat":
            return ops.concatenate([channel, spatial], axis=self._channel_axis())
        join = {"add": ops.add, "max": ops.maximum, "mul": ops.multiply}[self.aggregate]
        return join(channel, spatial)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        if self.aggregate == "concat":
            shape[self._channel_axis()] *= 2
        return tuple(shape)


def _positions(x, channel_axis):
    """Every axis but the batch and the channels."""
    rank = len(x.shape)
    return tuple(axis for axis in range(1, rank) if axis != channel_axis % rank)


def _widen(x):
    """At least float32; a float32 tensor gets no operation."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
