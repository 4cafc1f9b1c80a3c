"""Keras to .tflite, read back and checked.

The int8 file comes from the fake-quantised graph alone: the converter calibrates nothing. The
batch is 1, and tensors are named after the layers that made them.
"""

from __future__ import annotations

import dataclasses
import warnings

import keras
import numpy as np

from keras_se.graph import Ref, trace
from keras_se.rebuild import rebuild
from mobile import devices, lowering, quantization, tflite
from mobile.conversion import int8_storage
from mobile.conversion.names import ends, name_after_layers
from mobile.conversion.quiet import quiet
from mobile.conversion.schemes import IO_TYPES, SCHEMES
from mobile.quantization import keras_engine
from mobile.tflite.artifact import Artifact, Preprocessing


def convert(
    model,
    scheme="int8",
    calibration=None,
    ranges=None,
    target="xnnpack",
    input_type="int8",
    output_type="int8",
    method="mse",
    float_layers=(),
    correction=None,
) -> Artifact:
    """Convert a Keras model to a .tflite file.

    Args:
        model: Any functional Keras model, lowered, calibrated and quantised on the way; or a
            quantisation-aware model of either engine, as it is.
        scheme: `int8`; `float32`; `float16`, weights stored in half the size; `weight_only`,
            int8 kernels in a quarter of it, float arithmetic; `dynamic`, int8 arithmetic in
            convolutions, float between them; `int16x8`, 16-bit activations.
        calibration: Images to find ranges with (`int8` of a float model, `int16x8`).
        ranges: Ranges found before, instead of `calibration` (`int8`).
        target: What `mobile.lower` lowers for; for float files, an
            XNNPACK target means `xnnpack-float`.
        input_type: `int8`, `uint8` or `float32` (scheme `int8`).
        output_type: Likewise.
        method: How ranges are found from `calibration`.
        float_layers: Names of layers of the lowered model, as `mobile.sensitivity` lists them,
            whose output is not rounded (`int8`): they and what reads them compute in float. The
            artifact's `partitions` are then measured; where there are more, a warning says so.
        correction: As in `mobile.quantize_aware` (`int8` of a float model).

    Returns:
        An `Artifact`. Float files take pixels; the others take what `Artifact.prepare` makes.

    Raises:
        ValueError: an option is unknown, ranges are missing, or the file holds an operator that
            is not integer arithmetic of fixed shape.
    """
    _check("scheme", scheme, SCHEMES)
    _check("input_type", input_type, IO_TYPES)
    _check("output_type", output_type, IO_TYPES)
    quantized = _is_quantized(model)
    if float_layers and (quantized or scheme != "int8"):
        raise ValueError(
            "`float_layers` go with scheme 'int8' and a float model. Received: "
            f"scheme={scheme!r}, a {'quantisation-aware' if quantized else 'float'} model. Leave "
            "them out; for a quantisation-aware model pass them to mobile.quantize_aware."
        )
    if scheme == "int8" and not quantized:
        lowered = lowering.lower(model, target)
        if ranges is None and calibration is not None:
            ranges = quantization.calibrate(lowered, calibration, method=method)

        def make(floats):
            aware = quantization.quantize_aware(
                lowered, calibration, ranges=ranges, target=target, correction=correction,
                float_layers=floats,
            )  # fmt: skip
            return _int8(aware, input_type, output_type)

        return _mixed(make, float_layers) if float_layers else make(())
    if scheme == "int8":
        return _int8(model, input_type, output_type)
    if quantized:
        raise ValueError(
            f"A quantisation-aware model converts to int8. Received: scheme={scheme!r}. "
            "Pass mobile.quantization.strip(model)[0] for another scheme."
        )
    if scheme == "int16x8":
        return _int16x8(model, calibration, target)
    # In float, h-swish and the like are delegated as they are.
    if isinstance(target, str) and target.startswith("xnnpack"):
        target = "xnnpack-float"
    model = lowering.lower(model, target)
    content = name_after_layers(_tflite(model, float16=scheme == "float16"), model)
    if scheme == "dynamic":
        content = int8_storage.dynamic(content)
    elif scheme == "weight_only":
        content = int8_storage.weight_only(content)
    return Artifact.from_content(content, scheme)


def _mixed(make, float_layers):
    """The file with layers in float, which says what they cost in partitions."""
    artifact = make(float_layers)
    artifact = dataclasses.replace(artifact, partitions=devices.partitions(artifact))
    if artifact.partitions not in (None, 1):
        without = devices.partitions(make(()))
        if without < artifact.partitions:
            warnings.warn(
                f"Layers in float cost time where XNNPACK does not take them: "
                f"{artifact.partitions} partitions, where all in int8 has {without}. Time both "
                "with mobile.benchmark, or take others for `float_layers`.",
                stacklevel=3,
            )
    return artifact


def _int8(model, input_type, output_type):
    floats = set()
    if isinstance(model, keras.Model):
        floats = keras_engine.layers_in_float(model)
        _check_output(model, floats, output_type)
        core, preprocessing = cut_preprocessing(model)
        core = keras_engine.for_conversion(core)
    else:
        from mobile.quantization import tfmot_engine

        core, preprocessing = tfmot_engine.cut_preprocessing(model)
    content = _tflite(core, types=(input_type, output_type), quantized=True)
    content = name_after_layers(content, core)
    float_io = (input_type, output_type) != ("int8", "int8")
    tflite.check_int8(content, allow_float_io=float_io, float_layers=floats)
    return Artifact.from_content(content, "int8", preprocessing)


def _check_output(model, floats, output_type):
    last = next((layer.name for layer in ends(model) if layer.name in floats), None)
    if last and output_type != "float32":
        raise ValueError(
            f"The output of a layer in float is float. Received: {last!r}, which is in float and "
            f"ends the model, with output_type={output_type!r}. Pass output_type='float32'."
        )


def _int16x8(model, calibration, target):
    if calibration is None:
        raise ValueError(
            "Scheme 'int16x8' finds its ranges from images. Received: calibration=None. "
            "Pass 100 or more training images as `calibration`."
        )
    core, preprocessing = cut_preprocessing(lowering.lower(model, target))
    images = np.asarray(calibration, np.float32)
    images = preprocessing.apply(images) if preprocessing else images
    content = _tflite(core, samples=images, types=("int16", "int16"))
    content = name_after_layers(content, core)
    return Artifact.from_content(content, "int16x8", preprocessing)


def cut_preprocessing(model) -> tuple[keras.Model, Preprocessing | None]:
    """The model behind the Rescaling on its input, and that Rescaling as a record."""
    readers = [layer for layer in model.layers if type(layer).__name__ == "Rescaling"]
    entry = [layer for layer in readers if any(layer.input is t for t in model.inputs)]
    if not entry or len(model.inputs) != 1:
        return model, None
    scale, offset = (np.ravel(getattr(entry[0], key)).tolist() for key in ("scale", "offset"))

    def clone(layer):
        return None if layer is entry[0] else type(layer).from_config(layer.get_config())

    core = rebuild(model, clone)
    return core, Preprocessing(tuple(map(float, scale)), tuple(map(float, offset)))


def _tflite(model, float16=False, types=("float32", "float32"), quantized=False, samples=None):
    """Trace a model with batch 1 and constant weights, and run the TFLite converter on it."""
    import tensorflow as tf

    with quiet():
        if isinstance(model, keras.Model):
            traced = _trace(model)
            converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], model)
        else:
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if float16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        if quantized or samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = tf.as_dtype(types[0])
            converter.inference_output_type = tf.as_dtype(types[1])
        if samples is not None:
            converter.representative_dataset = lambda: ([image[None]] for image in samples)
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        try:
            return converter.convert()
        except Exception as error:
            said = [line for line in str(error).splitlines() if "error:" in line]
            reason = said[0].rpartition("error:")[2].strip() if said else str(error)[-400:]
            raise RuntimeError(
                f"The TFLite converter must know every operator. Received: model {model.name!r}, "
                f"refused with: {reason}. Lower the model first, or leave that layer out."
            ) from error


def _trace(model):
    """The model as a concrete function of batch 1, whose weights are constants of the graph.

    Operations are named `layer.N/...` after the N-th node: the converter's own names for a layer
    `conv` called twice and for a layer `conv_1` are the same.
    """
    import tensorflow as tf

    weights = [(variable, variable.numpy()) for variable in model.variables]
    graph = trace(model)

    def forward(*inputs):
        values = dict(zip(graph.inputs, inputs, strict=True))
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=constants):
            for number, node in enumerate(graph.nodes):
                args, kwargs = keras.tree.map_structure(
                    lambda x: values[x] if isinstance(x, Ref) else x, (node.args, node.kwargs)
                )
                with tf.name_scope(f"layer.{number}/"):
                    outputs = keras.tree.flatten(node.operation(*args, **kwargs))
                values.update(zip(node.outputs, outputs, strict=True))
        outputs = [values[ref] for ref in graph.outputs]
        return keras.tree.pack_sequence_as(model.output, outputs)

    specs = [
        tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype, name=tensor.name.split(":")[0])
        for tensor in model.inputs
    ]
    return tf.function(forward, autograph=False).get_concrete_function(*specs)


def _is_quantized(model) -> bool:
    if isinstance(model, keras.Model):
        return keras_engine.is_quantized(model)
    if type(model).__module__.startswith("tf_keras"):
        return True
    raise TypeError(
        f"`model` must be a functional keras.Model, or the tf_keras model of engine 'tfmot'. "
        f"Received: {type(model).__name__}. Load it with keras.models.load_model first."
    )


def _check(name, value, known):
    if value not in known:
        raise ValueError(
            f"`{name}` must be one of {', '.join(known)}. Received: {name}={value!r}. "
            f"{known[0]!r} is the default."
        )
