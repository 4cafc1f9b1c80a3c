"""Quantisation: which tensors carry a range, finding the ranges, and training with them.

lowered model -> plan -> calibration -> an engine -> a model that trains as int8 computes

Keras is imported when the first function is used; the lists of choices cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobile.quantization.calibration import calibrate
    from mobile.quantization.distillation import distil
    from mobile.quantization.engines import quantize_aware, strip
    from mobile.quantization.sensitivities import sensitivity

__all__ = ["calibrate", "distil", "quantize_aware", "sensitivity", "strip"]

METHODS = ("mse", "minmax", "percentile", "entropy")  # how ranges are found
ENGINES = ("keras", "tfmot")  # what carries out the plan

_HOMES = {
    "calibrate": "calibration",
    "distil": "distillation",
    "quantize_aware": "engines",
    "sensitivity": "sensitivities",
    "strip": "engines",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
