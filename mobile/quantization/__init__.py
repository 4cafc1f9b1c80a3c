"""Quantisation: which tensors carry a range, finding the ranges, and training with them.

lowered model -> plan -> calibration -> an engine -> a model that trains as int8 computes
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mobile.quantization.choices import ENGINES

if TYPE_CHECKING:
    from mobile.quantization.calibration import calibrate as calibrate
    from mobile.quantization.distillation import distil as distil
    from mobile.quantization.sensitivities import sensitivity as sensitivity

__all__ = ["calibrate", "distil", "quantize_aware", "sensitivity", "strip"]

# Not at import: --help reads the choices, and Keras takes seconds.
_HOMES = {"calibrate": "calibration", "distil": "distillation", "sensitivity": "sensitivities"}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def quantize_aware(
    model,
    calibration=None,
    engine="keras",
    ranges=None,
    method="mse",
    target="xnnpack",
    learned=False,
    correction=None,
    float_layers=(),
):
    """Make a model that computes as its int8 .tflite will, and trains.

    Args:
        model: Any functional Keras model; it is lowered for `target` first.
        calibration: Images for the ranges, 100 or more. Not needed where `ranges` are given.
        engine: `keras` for a `keras.Model`; `tfmot` for a `tf_keras.Model` made with
            tensorflow-model-optimization. Both carry out the same plan.
        ranges: Ranges found before with `mobile.calibrate`.
        method: How `calibrate` finds the ranges.
        target: What `mobile.lower` lowers for.
        learned: Whether training moves the ranges too (engine `keras`).
        correction: Whether each convolution's channels get the gain and bias that give them their
            mean and deviation back, seen on up to 128 images of `calibration`. By default they do
            where that is one array, for a model with one input. On other images the logits'
            signal-to-noise rises from 15.3 to 16.5 dB (MobileNetV3-Small), from 13.6 to 15.4
            (EfficientNet-B0).
        float_layers: Names of layers of the lowered model, as `sensitivity` lists them, whose
            output is not rounded: they and what reads them compute in float (engine `keras`).

    Returns:
        A model with compile, fit and save. Its outputs are those of the model, quantised.
    """
    if engine not in ENGINES:
        raise ValueError(
            f"`engine` must be one of {', '.join(ENGINES)}. Received: engine={engine!r}. "
            "'keras' is the default and needs nothing besides Keras."
        )
    if calibration is None and ranges is None:
        raise ValueError(
            "Quantisation needs ranges. Received: neither `calibration` nor `ranges`. Pass 100 "
            "or more training images as `calibration`."
        )
    from mobile.lowering import lower
    from mobile.quantization import keras_engine
    from mobile.quantization.calibration import calibrate
    from mobile.quantization.correction import correct

    lowered = lower(model, target)  # of a lowered model: the same again
    if ranges is None:
        ranges = calibrate(lowered, calibration, method=method)
    possible = hasattr(calibration, "__array__") and len(lowered.inputs) == 1
    if correction and not possible:
        raise ValueError(
            "Correction needs `calibration` as one array, for a model with one input. "
            f"Received: calibration of type {type(calibration).__name__}, "
            f"{len(lowered.inputs)} inputs. Pass an array, or correction=False."
        )
    if correction or (correction is None and possible):
        lowered = correct(lowered, ranges, calibration, float_layers=float_layers)
    if engine == "keras":
        return keras_engine.quantize(lowered, ranges, learned=learned, float_layers=float_layers)
    if learned or float_layers:
        raise ValueError(
            f"Learned ranges and layers in float need engine='keras'. Received: engine='tfmot', "
            f"learned={learned}, float_layers={tuple(float_layers)}. Drop one of the two."
        )
    from mobile.quantization import tfmot_engine

    return tfmot_engine.quantize(lowered, ranges)


def strip(model):
    """Give back the lowered float model inside a quantisation-aware one, and its `Ranges`.

    Both hold what training made of them. Quantised again, the kernels find their grids anew, so
    answers may differ by a step; to convert what was trained, convert the model itself.
    """
    from mobile.quantization import keras_engine

    return keras_engine.strip(model)
