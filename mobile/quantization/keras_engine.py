"""Carry out the plan in Keras 3: fake quantisation that trains, saves and converts natively.

`quantize` makes a quantisation-aware model out of a lowered one, and `strip` undoes it. The
TFLite converter knows `keras.quantizers.fake_quant_with_min_max_vars`, so the ranges in the
model are those of the .tflite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np

import mobile.lowering.layers  # noqa: F401  registers what a saved model is made of
from keras_se.layers.base import Shape, Tensor
from keras_se.rebuild import rebuild
from mobile.quantization import kernel_grids, range_plan, xnnpack_limits
from mobile.quantization.ranges import Ranges

ops: Any = keras.ops  # Keras says of what these return that it may be None
_SUFFIX = "_range"
# A learning rate that suits kernels is a hundred times too small for the ends of ranges.
_MOVE = 100.0
_register = keras.saving.register_keras_serializable("mobile")


@_register
class FakeQuantize(keras.layers.Layer):
    """Round to 256 levels between `low` and `high`, in float32 whatever the policy.

    Args:
        low: Start of the range.
        high: End of the range.
        learned: Whether training moves the range.
        point: The lowered model's layer whose output it rounds; by default its own name says it,
            which is that layer's with `_range` behind.
    """

    def __init__(self, low, high, learned=False, point=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.low = low
        self.high = high
        self.learned = learned
        self.point = point

    def build(self, input_shape: Shape) -> None:
        def weight(name, value, trainable):
            return self.add_weight(
                name=name,
                shape=(),
                dtype="float32",
                initializer=keras.initializers.Constant(value),
                trainable=trainable,
            )

        self.low_weight = weight("low", self.low, False)
        self.high_weight = weight("high", self.high, False)
        if self.learned:
            # How far training moved each end, as a share of it and in units of `_MOVE`.
            self.low_move = weight("low_move", 0.0, True)
            self.high_move = weight("high_move", 0.0, True)

    @property
    def rounded(self) -> str:
        """The lowered model's layer whose output it rounds."""
        return self.name.removesuffix(_SUFFIX) if self.point is None else self.point

    @property
    def range(self) -> tuple[float, float]:
        """The present range."""
        low, high = (ops.convert_to_numpy(end) for end in self._ends())
        return float(low), float(high)

    def _ends(self):
        low = ops.convert_to_tensor(self.low_weight)
        high = ops.convert_to_tensor(self.high_weight)
        if self.learned:
            low = low * (1 + _MOVE * self.low_move)
            high = high * (1 + _MOVE * self.high_move)
        # An end must not cross zero: zero has to stay representable.
        return ops.minimum(low, 0.0), ops.maximum(high, ops.minimum(low, 0.0) + 1e-6)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        low, high = self._ends()
        values = ops.cast(inputs, "float32")
        quantized = keras.quantizers.fake_quant_with_min_max_vars(values, low, high)
        if self.learned and training:
            # The gradient of an end counts rounding as well as clipping (LSQ, arXiv:1902.08153).
            step = (high - low) / 255
            inside = ops.clip(values, low, high)
            levels = (inside - low) / step
            smooth = inside + ops.stop_gradient(ops.round(levels) - levels) * step
            quantized = smooth + ops.stop_gradient(quantized - smooth)
        return ops.cast(quantized, self.compute_dtype)

    def compute_output_spec(self, inputs: Tensor, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"low": self.low, "high": self.high, "learned": self.learned, "point": self.point}
        return {**super().get_config(), **own}


def quantized_kernel(
    kernel: Tensor,
    bias: Tensor,
    input_scale: float,
    axis: int,
    levels: Sequence[int] | None = None,
) -> Tensor:
    """A kernel on its int8 grid: symmetric, one scale per output channel, levels -127 to 127.

        scale = max(max|kernel| / levels, 1e-3 / 127 of the layer's max|kernel|),
                and no less than |bias| / (input_scale * 2**30)

    The floors keep the int32 bias `bias / (input_scale * scale)` from overflowing in channels
    that are nearly zero.

    Args:
        kernel: Any shape.
        bias: One value per channel.
        input_scale: Step of the layer's input.
        axis: Where the output channels are.
        levels: How many steps long the largest value of each channel is; 127 by default.
    """
    others = tuple(i for i in range(len(kernel.shape)) if i != axis)
    largest = ops.max(ops.abs(kernel), axis=others)
    reach = largest if levels is None else largest * (127 / np.asarray(levels, "float32"))
    reach = ops.maximum(reach, 1e-3 * ops.max(largest))
    reach = ops.maximum(reach, ops.abs(bias) * (127 / (input_scale * 2.0**30)))
    reach = ops.stop_gradient(ops.maximum(reach, 1e-9))
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -reach, reach, narrow_range=True, axis=axis
    )


_Layer: Any = object  # each class of Keras's that this is put before


class _QuantizedKernel(_Layer):
    """What the layers share: the input's step, the kernel's levels, and the kernel in float32."""

    def __init__(self, *args, input_scale=1.0, levels=None, **kwargs):
        super().__init__(*args, autocast=False, **kwargs)
        self.input_scale = input_scale
        self.levels = levels

    def call(self, inputs: Tensor) -> Tensor:
        inputs = ops.cast(inputs, self.compute_dtype)
        bias = ops.convert_to_tensor(self.bias)
        kernel = self.on_grid(ops.convert_to_tensor(self.kernel), bias)
        outputs = self._convolve(inputs, ops.cast(kernel, self.compute_dtype))
        return self.activation(outputs + ops.cast(bias, self.compute_dtype))

    def on_grid(self, kernel: Tensor, bias: Tensor) -> Tensor:
        """The kernel that the layer computes with."""
        axis = len(kernel.shape) - 1
        return quantized_kernel(kernel, bias, self.input_scale, axis, self.levels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "input_scale": self.input_scale, "levels": self.levels}


@_register
class QuantizedConv2D(_QuantizedKernel, keras.layers.Conv2D):
    """Conv2D that computes with its kernel rounded to int8."""

    def _convolve(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)


@_register
class QuantizedDepthwiseConv2D(_QuantizedKernel, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D that computes with its kernel rounded to int8, each channel by itself."""

    def on_grid(self, kernel: Tensor, bias: Tensor) -> Tensor:
        height, width, channels, multiplier = kernel.shape
        if multiplier == 1:
            return quantized_kernel(kernel, bias, self.input_scale, 2, self.levels)
        flat = ops.reshape(kernel, (height, width, 1, channels * multiplier))
        flat = quantized_kernel(flat, bias, self.input_scale, 3, self.levels)
        return ops.reshape(flat, kernel.shape)

    def _convolve(self, inputs, kernel):
        return ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )


@_register
class QuantizedConv2DTranspose(_QuantizedKernel, keras.layers.Conv2DTranspose):
    """Conv2DTranspose that computes with its kernel rounded to int8."""

    def on_grid(self, kernel: Tensor, bias: Tensor) -> Tensor:
        return quantized_kernel(kernel, bias, self.input_scale, axis=2)

    def _convolve(self, inputs, kernel):
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )


@_register
class QuantizedDense(_QuantizedKernel, keras.layers.Dense):
    """Dense that computes with its kernel rounded to int8."""

    def _convolve(self, inputs, kernel):
        return ops.matmul(inputs, kernel)


_QUANTIZED = {
    "Conv2D": QuantizedConv2D,
    "DepthwiseConv2D": QuantizedDepthwiseConv2D,
    "Conv2DTranspose": QuantizedConv2DTranspose,
    "Dense": QuantizedDense,
}
_PLAIN = {
    QuantizedConv2D: keras.layers.Conv2D,
    QuantizedDepthwiseConv2D: keras.layers.DepthwiseConv2D,
    QuantizedConv2DTranspose: keras.layers.Conv2DTranspose,
    QuantizedDense: keras.layers.Dense,
}


def quantize(
    model: keras.Model,
    ranges: Mapping[str, tuple[float, float]],
    learned: bool = False,
    float_layers: Collection[str] = (),
) -> keras.Model:
    """A quantisation-aware copy of a lowered model.

    Args:
        model: A lowered model.
        ranges: Point name to (low, high), for every point of its plan.
        learned: Whether training moves the ranges that are neither fixed nor shared.
        float_layers: Layers whose output is not rounded; they and their readers keep their
            kernels.
    """
    plan = range_plan.read_plan(model)
    floats = range_plan.in_float(plan, float_layers)
    ranges = xnnpack_limits.widen(model, plan, range_plan.complete(plan, ranges))
    groups = Counter(point.group for point in plan.points.values())
    names = _Names(model, plan, float_layers)

    def clone(layer):
        config = {**layer.get_config(), "name": names.inner(layer.name)}
        kind = type(layer).__name__
        if kind not in range_plan.WEIGHTED or layer.name in floats:
            return type(layer).from_config(config)
        low, high = ranges[plan.reads[layer.name][0]]
        grid = {"input_scale": (high - low) / 255, "levels": kernel_levels(layer)}
        return _QUANTIZED[kind].from_config({**config, **grid})

    def after(name, tensor):
        if name not in plan.points or name in float_layers:
            return tensor
        point, layer = plan.points[name], model.get_layer(name)
        moves = point.fixed is None and not point.is_input and groups[point.group] == 1
        moves &= layer.trainable
        return FakeQuantize(
            *ranges[name],
            learned=learned and moves,
            point=name,
            name=names.outer(name),
            dtype=layer.dtype_policy,
        )(tensor)

    return rebuild(model, clone, after)


class _Names:
    """Names of layers in a quantisation-aware model, whose outputs are called as before."""

    def __init__(self, model, plan, float_layers):
        self._taken = {layer.name for layer in model.layers}
        outputs = set(model.output_names) - set(plan.inputs)
        self._outputs = outputs & set(plan.points) - set(float_layers)

    def outer(self, name: str) -> str:
        """That of the fake quantisation behind a layer."""
        return name if name in self._outputs else self._free(name + _SUFFIX)

    def inner(self, name: str) -> str:
        """That of the layer itself."""
        return self._free(f"{name}_exact") if name in self._outputs else name

    def _free(self, name):
        while name in self._taken:
            name += "_"
        return name


def kernel_levels(layer: keras.Layer) -> list[int] | None:
    """What `kernel_grids.levels` finds for the kernel of a plain layer.

    None for transposed convolutions: the converter quantises their kernels itself, to 127 levels.
    """
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return None
    kernel = layer.get_weights()[0]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    return kernel_grids.levels(kernel, -1).tolist()


def strip(model: keras.Model) -> tuple[keras.Model, Ranges]:
    """The lowered float model inside a quantisation-aware one, and its ranges as trained."""
    check_quantized(model)
    layers = [layer for layer in model.layers if isinstance(layer, FakeQuantize)]
    ranges = {layer.rounded: layer.range for layer in layers}
    names = range_plan.lowered_names(model)

    def clone(layer):
        config = {**layer.get_config(), "name": names[layer.name]}
        if isinstance(layer, FakeQuantize):
            return None
        if isinstance(layer, _QuantizedKernel):
            del config["input_scale"], config["levels"]
            return _PLAIN[type(layer)].from_config(config)
        return type(layer).from_config(config)

    return rebuild(model, clone), Ranges(ranges, method="trained")


def layers_in_float(model: keras.Model) -> set[str]:
    """The layers of a quantisation-aware model that compute in float: see `range_plan.in_float`."""
    plan = range_plan.read_plan(model)
    rounded = {layer.rounded for layer in model.layers if isinstance(layer, FakeQuantize)}
    return range_plan.in_float(plan, set(plan.points) - rounded)


def last_layer(model: keras.Model) -> keras.Layer:
    """The layer that makes a model's first output, before fake quantisation."""
    made_by = {id(t): x for x in model.layers for t in keras.tree.flatten(x.output)}
    last = made_by[id(model.outputs[0])]
    return made_by[id(last.input)] if isinstance(last, FakeQuantize) else last


def is_quantized(model: Any) -> bool:
    """Whether `model` carries this engine's fake quantisation."""
    return any(isinstance(layer, FakeQuantize) for layer in getattr(model, "layers", []))


def check_quantized(model: Any) -> None:
    """Raise unless `quantize` made the model."""
    if not is_quantized(model):
        raise ValueError(
            f"The model must be quantisation-aware. Received: {getattr(model, 'name', model)!r}, "
            "which has no fake quantisation. Make one with mobile.quantize_aware."
        )


def for_conversion(model: keras.Model, without: keras.Layer | None = None) -> keras.Model:
    """A copy for the converter: all in float32, and plain kernels in transposed convolutions.

    The converter loses the channel axis of their fake quantisation, but quantises a plain kernel
    by each channel's largest value itself. So the kernel is given on its grid, and a channel
    that was floored gets one value at its floor.

    Args:
        model: A quantisation-aware model.
        without: A layer to leave out.
    """

    def clone(layer):
        if layer is without:
            return None
        config = {**layer.get_config(), "dtype": "float32"}
        if not isinstance(layer, QuantizedConv2DTranspose):
            return type(layer).from_config(config)
        del config["input_scale"], config["levels"]
        return keras.layers.Conv2DTranspose.from_config(config)

    baked = rebuild(model, clone)
    for layer in model.layers:
        if isinstance(layer, QuantizedConv2DTranspose):
            bias = ops.convert_to_numpy(layer.bias)
            kernel = np.array(layer.on_grid(layer.kernel, layer.bias))
            least = np.maximum(np.abs(bias) * (127 / (layer.input_scale * 2.0**30)), 1e-9)
            for channel in np.nonzero(np.abs(kernel).max(axis=(0, 1, 3)) < least)[0]:
                kernel[0, 0, channel, 0] = least[channel]
            baked.get_layer(layer.name).set_weights([kernel, bias])
    return baked
