"""A quantisation-aware model of any Keras model, by one of two engines that share one plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras

from mobile.lowering import Target, lower
from mobile.quantization import ENGINES, calibration_images, keras_engine
from mobile.quantization.calibration import calibrate
from mobile.quantization.correction import correct
from mobile.quantization.ranges import Ranges


def quantize_aware(
    model: keras.Model,
    calibration: Any = None,
    engine: str = "keras",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    method: str = "mse",
    target: str | Target = "xnnpack",
    learned: bool = False,
    correction: bool | None = None,
    float_layers: Collection[str] = (),
) -> Any:
    """Make a model that computes as its int8 .tflite will, and trains.

    Args:
        model: Any functional Keras model; it is lowered for `target` first. Layers with
            `trainable=False` stay so.
        calibration: Images for the ranges, 100 or more, in any form that `mobile.calibrate` takes.
            Not needed where `ranges` are given.
        engine: `keras` for a `keras.Model`; `tfmot` for a `tf_keras.Model` made with
            tensorflow-model-optimization. Both carry out the same plan.
        ranges: Ranges found before with `mobile.calibrate`; those that a function fixes, as a
            sigmoid's, stay fixed.
        method: How `calibrate` finds the ranges.
        target: What `mobile.lower` lowers for.
        learned: Whether training moves the ranges too (engine `keras`).
        correction: Whether each convolution's channels get the gain and bias that give them their
            mean and deviation back, seen on up to 128 images of `calibration`. By default they do
            where that is given. On other images the logits' signal-to-noise rises from 15.3 to
            16.5 dB (MobileNetV3-Small), from 13.6 to 15.4 (EfficientNet-B0).
        float_layers: Names of layers of the lowered model, as `sensitivity` lists them, whose
            output is not rounded: they and what reads them compute in float (engine `keras`).

    Returns:
        A model with compile, fit and save. Its outputs are those of the model, quantised, under
        the same names.
    """
    if keras_engine.is_quantized(model):
        raise ValueError(
            f"A model is made quantisation-aware once. Received: {model.name!r}, which is. Train "
            "or convert it as it is, or pass mobile.strip(model)[0] to begin anew."
        )
    if engine not in ENGINES:
        raise ValueError(
            f"`engine` must be one of {', '.join(ENGINES)}. Received: engine={engine!r}. "
            "'keras' is the default and needs nothing besides Keras."
        )
    if engine != "keras" and (learned or float_layers):
        raise ValueError(
            f"Learned ranges and layers in float need engine='keras'. Received: engine={engine!r}, "
            f"learned={learned}, float_layers={tuple(float_layers)}. Drop one of the two."
        )
    lowered = lower(model, target)  # of a lowered model: the same again
    lowered, ranges = prepare(lowered, calibration, ranges, method, correction, float_layers)
    if engine == "keras":
        return keras_engine.quantize(lowered, ranges, learned=learned, float_layers=float_layers)
    from mobile.quantization import tfmot_engine

    return tfmot_engine.quantize(lowered, ranges)


def prepare(
    lowered: keras.Model,
    calibration: Any = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    method: str = "mse",
    correction: bool | None = None,
    float_layers: Collection[str] = (),
) -> tuple[keras.Model, Ranges]:
    """What an engine carries out: a lowered model, corrected if it may be, and its ranges.

    The arguments are those of `quantize_aware`.
    """
    if calibration is None and ranges is None:
        raise ValueError(
            "Quantisation needs ranges. Received: neither `calibration` nor `ranges`. Pass 100 "
            "or more training images as `calibration`."
        )
    if calibration is None and correction:
        raise ValueError(
            "Correction looks at images. Received: correction=True without `calibration`. Pass "
            "training images as `calibration`."
        )
    calibration_images.check_weights(lowered)
    calibration = calibration_images.reusable(calibration)
    if ranges is None:
        ranges = calibrate(lowered, calibration, method=method)
    else:
        ranges = Ranges.of(ranges)
        if method not in ("mse", ranges.method):
            raise ValueError(
                f"`method` says how ranges are found from images. Received: method={method!r} "
                "and `ranges`, which are found already. Leave out one of the two."
            )
    if correction or (correction is None and calibration is not None):
        lowered = correct(lowered, ranges, calibration, float_layers=float_layers)
    return lowered, ranges


def strip(model: keras.Model) -> tuple[keras.Model, Ranges]:
    """Give back the lowered float model inside a quantisation-aware one, and its `Ranges`.

    Both hold what training made of them. Quantised again, the kernels find their grids anew, so
    answers may differ by a step; to convert what was trained, convert the model itself.
    """
    return keras_engine.strip(model)
