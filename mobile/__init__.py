"""From a Keras model to a measured int8 file on a device.

Every function is imported when it is first used, so `import mobile` costs nothing:

>>> import mobile
>>> mobile.benchmark.__module__
'mobile.benchmarking.benchmark'
"""

import importlib

_HOMES = {
    "lower": "lowering",
    "lowering_rule": "lowering",
    "quantize_aware": "quantization",
    "calibrate": "quantization",
    "strip": "quantization",
    "distil": "quantization",
    "sensitivity": "quantization",
    "convert": "conversion.converter",
    "verify": "conversion.verification",
    "benchmark": "benchmarking.benchmark",
    "estimate": "analysis.vela",
    "lint": "analysis.linting",
    "report": "reporting.report",
    "run": "pipeline.run",
    "train": "pipeline.training",
    "Agreement": "conversion.agreement",
    "Artifact": "tflite",
    "Conditions": "benchmarking.timings",
    "Estimate": "analysis.vela",
    "Preprocessing": "tflite",
    "Ranges": "quantization.ranges",
    "Timings": "benchmarking.timings",
}
_ROOMS = ("analysis", "benchmarking", "conversion", "data", "devices", "lowering", "pipeline")
_ROOMS += ("quantization", "reporting", "tflite")


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"mobile.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"mobile.{name}")
    raise AttributeError(
        f"module 'mobile' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}"
    )


def __dir__():
    return sorted({*globals(), *_HOMES, *_ROOMS})
