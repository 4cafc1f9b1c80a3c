"""From a Keras model to a measured int8 file on a device.

Every function is imported when it is first used, so `import mobile` costs nothing:

>>> import mobile
>>> mobile.benchmark.__module__
'mobile.benchmarking'
"""

import importlib

_HOMES = {
    "lower": "lowering",
    "lowering_rule": "rules",
    "quantize_aware": "quantization",
    "calibrate": "quantization",
    "strip": "quantization",
    "distil": "quantization",
    "sensitivity": "quantization",
    "convert": "conversion",
    "verify": "verification",
    "benchmark": "benchmarking",
    "estimate": "estimates",
    "lint": "linting",
    "report": "reporting",
    "run": "running",
    "Agreement": "records",
    "Artifact": "records",
    "Conditions": "records",
    "Estimate": "estimates",
    "Preprocessing": "records",
    "Ranges": "records",
    "Timings": "records",
}
_ROOMS = {*_HOMES.values(), "agent", "data", "devices", "exports", "flatbuffer", "layers"}
_ROOMS |= {"measurements", "scenarios", "stats", "training"}


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
