"""Carry out the plan with tensorflow-model-optimization, through tf_keras.

For those whose pipeline is tfmot. Everything that tfmot would choose by itself is ours here: the
ranges (calibrated, not -6 to 6), the kernels (per channel, depthwise too, with floors), where
activations are rounded, and no layout transforms. Import this module only where it is used: it
imports tfmot, which imports tf_keras.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_se.graph import trace
from mobile.quantization import keras_engine, range_plan, xnnpack_limits
from mobile.tflite.artifact import Preprocessing

# Importing tfmot sets TF_USE_LEGACY_KERAS for the whole process; the environment is the user's.
_environment = dict(os.environ)
try:
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras
except ImportError as error:
    raise ImportError(
        "engine='tfmot' needs tensorflow-model-optimization and tf_keras. Received: "
        f"{error}. Run `pip install keras-se[mobile]`, or use engine='keras'."
    ) from error
finally:
    for _name in set(os.environ) - set(_environment):
        del os.environ[_name]
    os.environ.update(_environment)

_tfmot = tfmot.quantization.keras
_L = tf_keras.layers
_KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel"}


class FixedRange(_tfmot.quantizers.Quantizer):
    """Round an activation to 256 levels of a range that training does not move."""

    def __init__(self, low, high):
        self.low = low
        self.high = high

    def build(
        self, tensor_shape: tf.TensorShape, name: str, layer: tf_keras.layers.Layer
    ) -> dict[str, tf.Variable]:
        """The range, as weights that do not train."""

        def weight(end, value):
            return layer.add_weight(
                name=f"{name}_{end}",
                initializer=tf_keras.initializers.Constant(value),
                trainable=False,
            )

        return {"low": weight("low", self.low), "high": weight("high", self.high)}

    def __call__(self, inputs, training, weights, **kwargs):
        return tf.quantization.fake_quant_with_min_max_vars(inputs, weights["low"], weights["high"])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"low": self.low, "high": self.high}


class ChannelKernel(_tfmot.quantizers.Quantizer):
    """Round a kernel as `keras_engine.quantized_kernel` does.

    Args:
        input_scale: Step of the layer's input.
        axis: Where the output channels are: 3, or 2 for depthwise convolutions.
        levels: How many steps long the largest value of each channel is.
    """

    def __init__(self, input_scale, axis, levels):
        self.input_scale = input_scale
        self.axis = axis
        self.levels = levels

    def build(
        self, tensor_shape: tf.TensorShape, name: str, layer: _tfmot.QuantizeWrapper
    ) -> dict[str, tf.Variable]:
        """No weights of its own; the bias is read for the floor."""
        return {"bias": layer.layer.bias}  # `layer` is the wrapper

    def __call__(self, inputs, training, weights, **kwargs):
        kernel = tf.convert_to_tensor(inputs)
        shape: Any = kernel.shape
        flat = self.axis == 2 and shape[3] > 1  # a depthwise multiplier
        if flat:
            kernel = tf.reshape(kernel, (*shape[:2], 1, -1))
        elif self.axis == 2:
            kernel = tf.transpose(kernel, (0, 1, 3, 2))
        largest = tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2))
        reach = largest * (127 / np.asarray(self.levels, "float32"))
        reach = tf.maximum(reach, 1e-3 * tf.reduce_max(largest))
        reach = tf.maximum(reach, tf.abs(weights["bias"]) * (127 / (self.input_scale * 2.0**30)))
        reach = tf.stop_gradient(tf.maximum(reach, 1e-9))
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -reach, reach, narrow_range=True
        )
        if flat:
            return tf.reshape(kernel, shape)
        return tf.transpose(kernel, (0, 1, 3, 2)) if self.axis == 2 else kernel

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"input_scale": self.input_scale, "axis": self.axis, "levels": self.levels}


class LayerConfig(_tfmot.QuantizeConfig):
    """What the plan says of one layer, for tfmot: the range of its output, the step of its input.

    Args:
        kind: The layer's class.
        output: (low, high), or None where the layer keeps its input's range or is fused.
        input_scale: Step of the input of a layer with a kernel.
        levels: Of its kernel.
    """

    def __init__(self, kind, output=None, input_scale=None, levels=None):
        self.kind = kind
        self.output = output
        self.input_scale = input_scale
        self.levels = levels

    def get_weights_and_quantizers(
        self, layer: tf_keras.layers.Layer
    ) -> list[tuple[tf.Variable, ChannelKernel]]:
        """The kernel."""
        if self.kind not in _KERNELS:
            return []
        axis = 3 if self.kind == "Conv2D" else 2
        quantizer = ChannelKernel(self.input_scale, axis, self.levels)
        return [(getattr(layer, _KERNELS[self.kind]), quantizer)]

    def set_quantize_weights(
        self, layer: tf_keras.layers.Layer, quantize_weights: list[tf.Tensor]
    ) -> None:
        """Put the rounded kernel in."""
        if self.kind in _KERNELS:
            setattr(layer, _KERNELS[self.kind], quantize_weights[0])

    def get_activations_and_quantizers(self, layer: tf_keras.layers.Layer) -> list:
        """None: the range is taken after the activation."""
        return []

    @tf.autograph.experimental.do_not_convert  # which fails on an empty function
    def set_quantize_activations(
        self, layer: tf_keras.layers.Layer, quantize_activations: list
    ) -> None:
        """Nothing to put in."""

    def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[FixedRange]:
        """The range of the output."""
        return [FixedRange(*self.output)] if self.output else []

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        names = ("kind", "output", "input_scale", "levels")
        return {name: getattr(self, name) for name in names}


class Plain(_L.Layer):
    """One of the small layers of `mobile.lowering.layers`, in TensorFlow.

    Args:
        kind: The class there.
        settings: Its arguments.
    """

    def __init__(self, kind, settings, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.settings = settings

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """What the layer of that name computes."""
        given = self.settings
        if self.kind == "Shift":
            return inputs + given["value"]
        if self.kind == "ScaleMap":
            return inputs * tf.constant(given["values"], inputs.dtype)[None, :, :, None]
        if self.kind == "Mean":
            return tf.reduce_mean(inputs, given["axis"], keepdims=True)
        if self.kind == "DepthToSpace":
            return tf.nn.depth_to_space(inputs, given["block_size"])
        return inputs[(slice(None), *map(slice, given["begin"], given["end"]))]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "kind": self.kind, "settings": self.settings}


_PLAIN = {"Shift", "ScaleMap", "Mean", "DepthToSpace", "Slice"}
CUSTOM_OBJECTS = {c.__name__: c for c in (FixedRange, ChannelKernel, LayerConfig, Plain)}


class _NoTransforms:
    """A layout transformer that leaves the model as it is."""

    def apply(self, model: tf_keras.Model, layer_quantize_map: dict) -> tuple[tf_keras.Model, dict]:
        return model, layer_quantize_map


class _OurScheme(_tfmot.QuantizeScheme):
    """tfmot's hook for schemes: nothing is transformed, and every layer brings its config."""

    def get_layout_transformer(self) -> _NoTransforms:
        return _NoTransforms()

    def get_quantize_registry(self) -> _tfmot.QuantizeRegistry:
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_registry,
        )

        return default_8bit_quantize_registry.Default8BitQuantizeRegistry()


def quantize(model: keras.Model, ranges: Mapping[str, tuple[float, float]]) -> tf_keras.Model:
    """A quantisation-aware `tf_keras.Model` from a lowered Keras 3 model.

    Frozen layers stay so until it is saved: loaded from a file, tfmot's layers all train.

    Args:
        model: A lowered model.
        ranges: Point name to (low, high), for every point of its plan.
    """
    plan = range_plan.read_plan(model)
    ranges = xnnpack_limits.widen(model, plan, range_plan.complete(plan, ranges))

    def annotate(layer, kind, name):
        reads = plan.reads.get(name)
        low, high = ranges[reads[0]] if reads and kind in _KERNELS else (0.0, 0.0)
        levels = keras_engine.kernel_levels(model.get_layer(name)) if kind in _KERNELS else None
        config = LayerConfig(kind, ranges.get(name), (high - low) / 255, levels)
        return _tfmot.quantize_annotate_layer(layer, config)

    annotated = _translate(model, annotate)
    scheme: Any = _OurScheme()  # where tfmot annotates its own one scheme
    with _tfmot.quantize_scope(CUSTOM_OBJECTS):
        quantized: Any = _tfmot.quantize_apply(annotated, scheme=scheme)
    for layer in quantized.layers:
        source = _source(model, layer)
        if source is not None and source.weights:
            kernel, bias = source.get_weights()
            for weight in layer.trainable_weights:
                weight.assign(bias if "bias" in weight.name else kernel)
            if not source.trainable:  # tfmot's wrappers look at these lists alone
                layer.trainable = False
                layer._non_trainable_weights += layer._trainable_weights
                layer._trainable_weights = []
    outputs = [  # under the model's names, which losses go by
        _L.Activation("linear", name=name)(tensor)
        for name, tensor in zip(model.output_names, quantized.outputs, strict=True)
    ]
    return tf_keras.Model(
        quantized.input, outputs[0] if len(outputs) == 1 else outputs, name=model.name
    )


def cut_preprocessing(model: tf_keras.Model) -> tuple[tf_keras.Model, Preprocessing | None]:
    """The quantised model behind the Rescaling on its input, with batch 1, and the Rescaling."""
    rescaling = next((x for x in model.layers if type(x).__name__ == "Rescaling"), None)
    entrances: Any = model.inputs  # of which tf_keras says that they are None
    start, preprocessing = model.input, None
    if rescaling is not None and len(entrances) == 1:
        # By its reader: tfmot shares layers without a config with the model it was given.
        entry: Any = model.get_layer(f"quant_{rescaling.name}_entry")
        start = entry.input
        scale, offset = (np.ravel(getattr(rescaling, k)).tolist() for k in ("scale", "offset"))
        preprocessing = Preprocessing(tuple(map(float, scale)), tuple(map(float, offset)))
    core: Any = tf_keras.Model(start, model.output, name="core")
    inputs = [
        tf_keras.Input(batch_shape=(1, *old.shape[1:]), name=new.name.split(":")[0])
        for old, new in zip(core.inputs, entrances, strict=True)
    ]
    outputs = core(inputs[0] if len(inputs) == 1 else inputs, training=False)
    return tf_keras.Model(inputs, outputs, name=model.name), preprocessing


def _translate(model, annotate):
    """A lowered Keras 3 graph as a tf_keras one."""
    graph = trace(model)
    inputs, tensors = [], {}
    for ref, old in zip(graph.inputs, model.inputs, strict=True):
        tensor = tf_keras.Input(tuple(old.shape[1:]), name=ref.name)
        inputs.append(tensor)
        preprocessed = any(
            type(node.operation).__name__ == "Rescaling" and ref in node.inputs
            for node in graph.nodes
        )
        tensors[ref] = tensor
        if not preprocessed:
            entry = _L.Activation("linear", name=f"{ref.name}_entry")
            tensors[ref] = annotate(entry, "InputLayer", ref.name)(tensor)
    for node in graph.nodes:
        layer = node.operation
        kind = type(layer).__name__
        reads = [tensors[ref] for ref in node.inputs]
        config = layer.get_config()
        if kind == "Rescaling" and reads[0] in inputs:
            # The scaling itself stays in float; its result is the model's int8 input.
            scaled = _L.Rescaling(config["scale"], config["offset"], name=layer.name)(reads[0])
            entry = _L.Activation("linear", name=f"{layer.name}_entry")
            tensors[node.outputs[0]] = annotate(entry, "InputLayer", layer.name)(scaled)
            continue
        copy = annotate(_tf_keras_layer(kind, layer), kind, layer.name)
        tensors[node.outputs[0]] = copy(reads[0] if len(reads) == 1 else reads)
    outputs = [tensors[ref] for ref in graph.outputs]
    return tf_keras.Model(
        inputs[0] if len(inputs) == 1 else inputs,
        outputs[0] if len(outputs) == 1 else outputs,
        name=model.name,
    )


def _tf_keras_layer(kind, layer):
    activation = range_plan.activation_of(layer)
    if kind == "Conv2DTranspose" or activation in {"hard_silu", "hard_swish"}:
        raise ValueError(
            "engine='tfmot' has no transposed convolution (the converter loses its channels) and "
            f"no hard-swish. Received: layer {layer.name!r} of class {kind}, {activation}. "
            "Use engine='keras'; without hard-swish, lower for target 'xnnpack'."
        )
    config = layer.get_config()
    name = {"name": layer.name}
    if kind in _PLAIN:
        own = {k: v for k, v in config.items() if k not in {"name", "trainable", "dtype"}}
        return Plain(kind, own, **name)
    if kind in _KERNELS:
        keys = ("kernel_size", "strides", "padding", "dilation_rate", "filters", "groups")
        options = {key: config[key] for key in (*keys, "depth_multiplier") if key in config}
        return getattr(_L, kind)(**options, activation=activation, **name)
    if activation == "softmax":
        return _L.Softmax(axis=config.get("axis", -1), **name)
    if kind == "Activation":
        return _L.Activation(activation, **name)
    own = {k: v for k, v in config.items() if k not in {"dtype", "trainable", "data_format"}}
    return getattr(_L, kind)(**own)


def _plain_name(layer):
    return layer.name.removeprefix("quant_").removesuffix("_entry")


def _source(model, layer):
    name = _plain_name(layer)
    names = {known.name for known in model.layers}
    return model.get_layer(name) if name in names else None
