"""Keras to .tflite: lowered and quantised on the way, opened once, checked, packed once.

The int8 file comes from the fake-quantised graph alone: the converter calibrates nothing. The
batch is 1, and tensors are named after the layers that made them.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import numpy as np

from keras_se.rebuild import rebuild
from mobile import devices, tflite
from mobile.conversion import int8_storage, tflite_converter
from mobile.conversion.names import name_after_layers
from mobile.conversion.schemes import CALIBRATED, IO_TYPES, SCHEMES
from mobile.lowering import Target, lower
from mobile.quantization import calibration_images, engines, keras_engine
from mobile.quantization.calibration import calibrate
from mobile.tflite import schema
from mobile.tflite.artifact import Artifact, Preprocessing
from mobile.tflite.file import put_metadata, view


def convert(
    model: Any,
    scheme: str = "int8",
    calibration: Any = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    target: str | Target = "xnnpack",
    input_type: str = "int8",
    output_type: str = "int8",
    method: str = "mse",
    float_layers: Collection[str] = (),
    correction: bool | None = None,
) -> Artifact:
    """Convert a Keras model to a .tflite file.

    Args:
        model: Any functional Keras model, lowered, calibrated and quantised on the way; or a
            quantisation-aware model of either engine, as it is.
        scheme: `int8`; `float32`; `float16`, weights stored in half the size; `weight_only`,
            int8 kernels in a quarter of it, float arithmetic; `dynamic`, int8 arithmetic in
            convolutions, float between them; `int16x8`, 16-bit activations.
        calibration: Images to find ranges with, in any form that `mobile.calibrate` takes (`int8`
            of a float model, `int16x8`).
        ranges: Ranges found before, instead of `calibration` (`int8` of a float model).
        target: What `mobile.lower` lowers for; for float files, an
            XNNPACK target means `xnnpack-float`.
        input_type: `int8`, `uint8` or `float32` (scheme `int8`).
        output_type: Likewise.
        method: How ranges are found from `calibration` (`int8` of a float model).
        float_layers: Names of layers of the lowered model, as `mobile.sensitivity` lists them,
            whose output is not rounded (`int8`): they and what reads them compute in float. The
            artifact's `partitions` are then measured; where there are more, a warning says so.
        correction: As in `mobile.quantize_aware` (`int8` of a float model).

    Returns:
        An `Artifact`, its inputs and outputs called and ordered as the model's. Float files take
        pixels; the others take what `Artifact.prepare` makes.

    Raises:
        ValueError: an option is unknown or has no effect, ranges are missing, a weight is no
            finite number, or the file holds an operator that is not integer arithmetic of fixed
            shape.
    """
    _check("scheme", scheme, SCHEMES)
    _check("input_type", input_type, IO_TYPES)
    _check("output_type", output_type, IO_TYPES)
    quantized = _is_quantized(model)
    if quantized and scheme != "int8":
        raise ValueError(
            f"A quantisation-aware model converts to int8. Received: scheme={scheme!r}. "
            "Pass mobile.strip(model)[0] for another scheme."
        )
    _refuse_without_effect(
        "a quantisation-aware model" if quantized else f"scheme {scheme!r}",
        _EFFECTIVE["quantized" if quantized else scheme],
        calibration=calibration is not None,
        ranges=ranges is not None,
        target=target != "xnnpack",
        input_type=input_type not in ("int8", _arithmetic(scheme)),
        output_type=output_type not in ("int8", _arithmetic(scheme)),
        method=method != "mse",
        float_layers=bool(float_layers),
        correction=correction is not None,
    )
    if quantized:
        calibration_images.check_weights(model)
        return _int8(model, input_type, output_type)
    lowered = lower(model, _float_target(target) if _arithmetic(scheme) == "float32" else target)
    calibration_images.check_weights(lowered, "float16" if scheme == "float16" else "float32")
    if scheme == "int16x8":
        return _int16x8(lowered, calibration)
    if scheme != "int8":
        content, graph = tflite_converter.run(lowered, float16=scheme == "float16")
        store = {"dynamic": int8_storage.dynamic, "weight_only": int8_storage.weight_only}
        return _finished(content, lowered, graph, scheme, store=store.get(scheme))
    calibration = calibration_images.reusable(calibration)
    if ranges is None and calibration is not None:
        ranges = calibrate(lowered, calibration, method=method)
        method = "mse"

    def make(floats):
        ready = engines.prepare(lowered, calibration, ranges, method, correction, floats)
        aware = keras_engine.quantize(*ready, float_layers=floats)
        return _int8(aware, input_type, output_type)

    return _mixed(make, float_layers) if float_layers else make(())


# The arguments that change what a conversion makes.
_EFFECTIVE = {
    "quantized": ("input_type", "output_type"),
    "int8": (
        *("calibration", "ranges", "target", "input_type", "output_type", "method"),
        *("float_layers", "correction"),
    ),
    "int16x8": ("calibration", "target"),
    "float32": ("target",),
    "float16": ("target",),
    "weight_only": ("target",),
    "dynamic": ("target",),
}


def _arithmetic(scheme):
    return scheme if scheme in CALIBRATED else "float32"


def _float_target(target):
    # In float, h-swish and the like are delegated as they are.
    is_xnnpack = isinstance(target, str) and target.startswith("xnnpack")
    return "xnnpack-float" if is_xnnpack else target


def _refuse_without_effect(what, effective, **given):
    idle = [name for name, is_given in given.items() if is_given and name not in effective]
    if idle:
        elsewhere = "pass scheme='int8'" if "scheme" in what else "pass it to mobile.quantize_aware"
        raise ValueError(
            f"Every argument must have an effect. Received: {', '.join(idle)} with {what}, which "
            f"takes {', '.join(effective)}. Leave that out, or {elsewhere}."
        )


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
        rescaling, preprocessing = _preprocessing(model)
        core = keras_engine.for_conversion(model, without=rescaling)
    else:
        from mobile.quantization import tfmot_engine

        core, preprocessing = tfmot_engine.cut_preprocessing(model)
    outputs = model.output_names
    types = (input_type, output_type)
    content, graph = tflite_converter.run(core, types=types, quantized=True)

    def check(file):
        float_io = types != ("int8", "int8")
        tflite.check_int8(file, allow_float_io=float_io, float_layers=floats)

    return _finished(content, core, graph, "int8", preprocessing, outputs=outputs, check=check)


def _check_output(model, floats, output_type):
    last = next((name for name in model.output_names if name in floats), None)
    if last and output_type != "float32":
        raise ValueError(
            f"The output of a layer in float is float. Received: {last!r}, which is in float and "
            f"ends the model, with output_type={output_type!r}. Pass output_type='float32'."
        )


def _int16x8(lowered, calibration):
    if calibration is None:
        raise ValueError(
            "Scheme 'int16x8' finds its ranges from images. Received: calibration=None. "
            "Pass 100 or more training images as `calibration`."
        )
    core, preprocessing = cut_preprocessing(lowered)
    calibration = calibration_images.reusable(calibration)
    images = calibration_images.spread(lowered, calibration)
    if preprocessing:
        images = [preprocessing.apply(images[0])]
    content, graph = tflite_converter.run(core, samples=images, types=("int16", "int16"))
    return _finished(content, core, graph, "int16x8", preprocessing)


def _finished(
    content,
    model,
    graph,
    scheme,
    preprocessing=None,
    outputs=None,
    store: Callable | None = None,
    check: Callable = lambda file: None,
):
    """Open what the converter made, name its tensors, store kernels, and pack it."""
    packed = schema.unpack(content)
    name_after_layers(packed, model, graph, outputs or model.output_names)
    if store is not None:
        store(packed)
    said = {"scheme": scheme, "preprocessing": preprocessing and preprocessing.to_dict()}
    put_metadata(packed, "keras_se", said)
    content = schema.pack(packed)
    file = view(packed, len(content))
    check(file)
    return Artifact(
        content=content,
        scheme=scheme,
        operators=file.operator_counts,
        preprocessing=preprocessing,
        inputs=file.inputs,
        outputs=file.outputs,
    )


def cut_preprocessing(model: keras.Model) -> tuple[keras.Model, Preprocessing | None]:
    """The model behind the Rescaling on its input, and that Rescaling as a record."""
    entry, preprocessing = _preprocessing(model)

    def clone(layer):
        return None if layer is entry else type(layer).from_config(layer.get_config())

    return (model if entry is None else rebuild(model, clone)), preprocessing


def _preprocessing(model):
    """The Rescaling on a model's only input, and the same as a record."""
    readers = [layer for layer in model.layers if type(layer).__name__ == "Rescaling"]
    entry = [layer for layer in readers if any(layer.input is t for t in model.inputs)]
    if not entry or len(model.inputs) != 1:
        return None, None
    scale, offset = (np.ravel(getattr(entry[0], key)).tolist() for key in ("scale", "offset"))
    return entry[0], Preprocessing(tuple(map(float, scale)), tuple(map(float, offset)))


def _is_quantized(model) -> bool:
    if isinstance(model, keras.Model):
        return keras_engine.is_quantized(model)
    if type(model).__module__.startswith("tf_keras"):
        return True
    raise TypeError(
        f"`model` must be a functional keras.Model, or the tf_keras model of engine 'tfmot'. "
        f"Received: {type(model).__name__}. Load it with mobile.load first."
    )


def _check(name, value, known):
    if value not in known:
        raise ValueError(
            f"`{name}` must be one of {', '.join(known)}. Received: {name}={value!r}. "
            f"{known[0]!r} is the default."
        )
