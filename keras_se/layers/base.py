"""What the layers share: checks, shapes, dtypes, configuration."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_se.checks import check_arguments, check_initializer, check_regularizer
from keras_se.config import SEConfig, from_plain, to_plain

Tensor = Any  # of any backend, or symbolic
Shape = Sequence[int | None]  # a list, where it was read from a file
Initializer = Any  # what keras.initializers.get takes
Regularizer = Any  # what keras.regularizers.get takes

_CONVS = {3: keras.layers.Conv1D, 4: keras.layers.Conv2D, 5: keras.layers.Conv3D}


class ChannelLayer(keras.layers.Layer):
    """A layer on floating-point tensors that keep their channels."""

    example: ClassVar[str] = ""  # of its first argument, if it takes one without a name

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if len(args) > bool(cls.example):
            which = "Every argument but the first" if cls.example else "Every argument"
            raise TypeError(
                f"{which} must be named. Received: {cls.__name__}({', '.join(map(repr, args))}). "
                f"The channels are read from the input: write {cls.__name__}({cls.example})."
            )
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *, data_format: str | None, **kwargs: Any) -> None:
        try:
            super().__init__(**kwargs)
        except ValueError as error:
            if not str(error).startswith("Unrecognized keyword"):
                raise
            kinds = (type(self), keras.Layer)
            known = [k for x in kinds for k in inspect.signature(x.__init__).parameters]
            check_arguments(type(self).__name__, kwargs, known)
            raise
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"`data_format` must be None, 'channels_last' or 'channels_first'. Received: "
                f"data_format={data_format!r} in layer {self.name!r}. Pass None for the setting "
                f"of Keras."
            )
        # Fixed here, as Keras's own layers do: a saved layer must not change with the setting.
        self.data_format = data_format or keras.config.image_data_format()

    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def _along_channels(self, vector: Tensor, rank: int) -> Tensor:
        """A vector of channels as a tensor of `rank` axes, to multiply with."""
        shape = [1] * rank
        shape[self._channel_axis()] = -1
        return ops.reshape(vector, shape)

    def _check_shape(self, input_shape: Shape) -> int:
        """Return the channels of a shape that the layer can work on."""
        rank = len(input_shape)
        channels = input_shape[self._channel_axis()]
        if channels is None:
            raise ValueError(
                f"The number of channels must be known when the layer is built. Received: shape "
                f"{tuple(input_shape)} ({self.data_format}) at layer {self.name!r}. "
                f"Give it to the input, for example keras.Input((None, None, 64))."
            )
        self.input_spec = keras.layers.InputSpec(
            ndim=rank, axes={self._channel_axis() % rank: channels}
        )
        return channels

    def _check_dtype(self, x: Tensor) -> None:
        dtype = keras.backend.standardize_dtype(x.dtype)
        if not keras.backend.is_float_dtype(dtype):
            raise TypeError(
                f"The input must be of a floating-point dtype. Received: dtype {dtype} at layer "
                f"{self.name!r}. Convert it first, for example with "
                f"keras.layers.Rescaling(1 / 255)."
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Tensor) -> keras.KerasTensor:
        self._check_dtype(inputs)
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"data_format": self.data_format}


class Excite(ChannelLayer):
    """The layer of one kind of `SEConfig`, some of whose fields are its arguments."""

    kind: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]  # of SEConfig, that the layer takes
    example = "reduction=16"

    def __init__(
        self, *, kernel_initializer: Initializer, kernel_regularizer: Regularizer, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        where = f" in layer {self.name!r}"
        check_initializer("kernel_initializer", kernel_initializer, where)
        check_regularizer("kernel_regularizer", kernel_regularizer, where)
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer

    def _config(self) -> SEConfig:
        """The record of this layer; making it checks the arguments."""
        return SEConfig(self.kind, **{field: getattr(self, field) for field in self.fields})

    def _check_shape(self, input_shape: Shape) -> int:
        rank = len(input_shape)
        if rank not in _CONVS:
            raise ValueError(
                f"The input must have rank 4 (images), 3 (sequences) or 5 (volumes). Received: "
                f"shape {tuple(input_shape)} of rank {rank} at layer {self.name!r}. Add the "
                f"missing axes, for example with keras.layers.Reshape."
            )
        return super()._check_shape(input_shape)

    def _conv(self, rank: int, filters: int, use_bias: bool, data_format: str, name: str) -> Any:
        """A convolution of one position, in the layer's own dtype."""
        return _CONVS[rank](
            filters,
            kernel_size=1,
            use_bias=use_bias,
            kernel_initializer=self._initializer(name),
            kernel_regularizer=keras.regularizers.get(self.kernel_regularizer),
            data_format=data_format,
            dtype=self.dtype_policy,
            name=name,
        )

    def _initializer(self, name: str) -> Initializer:
        """That of the convolution `name`'s kernel."""
        initializer = keras.initializers.get(self.kernel_initializer)
        if isinstance(initializer, keras.initializers.Initializer):
            return initializer.clone()  # or kernels of equal shapes would start with equal values
        return initializer

    def get_config(self) -> dict[str, Any]:
        own = (*self.fields, "kernel_initializer", "kernel_regularizer")
        return super().get_config() | {name: to_plain(getattr(self, name)) for name in own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        own = (*cls.fields, "kernel_initializer", "kernel_regularizer")
        read = {name: from_plain(_word(config[name])) for name in own if name in config}
        return cls(**config | read)


def _word(value: Any) -> Any:
    """The word that Keras's reader of .h5 files took for a function of keras.layers, as "add"."""
    name = getattr(value, "__name__", "") if callable(value) else ""
    return name if name and getattr(keras.layers, name, None) is value else value


def widen(x: Tensor) -> Tensor:
    """At least float32; a float32 tensor gets no operation."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32") if dtype in ("float16", "bfloat16") else x
