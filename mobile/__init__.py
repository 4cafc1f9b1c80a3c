"""From a Keras model to a measured int8 file on a device.

Every function is imported when it is first used, so `import mobile` costs nothing:

>>> import mobile
>>> mobile.benchmark.__module__
'mobile.benchmarking.benchmark'

A model with layers of this package, such as a quantisation-aware one, comes back with
`mobile.load("qat.keras")`. `keras.models.load_model` knows them too if Keras was imported before
`mobile`, or once a function of `mobile` was named.
"""

import difflib
import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers, what __getattr__ imports
    from mobile import analysis as analysis
    from mobile import benchmarking as benchmarking
    from mobile import conversion as conversion
    from mobile import data as data
    from mobile import devices as devices
    from mobile import lowering as lowering
    from mobile import pipeline as pipeline
    from mobile import quantization as quantization
    from mobile import reporting as reporting
    from mobile import tflite as tflite
    from mobile import tuning as tuning
    from mobile.analysis.linting import lint as lint
    from mobile.analysis.vela import Estimate as Estimate
    from mobile.analysis.vela import estimate as estimate
    from mobile.benchmarking.benchmark import benchmark as benchmark
    from mobile.benchmarking.settings import Runtime as Runtime
    from mobile.benchmarking.settings import Schedule as Schedule
    from mobile.benchmarking.timings import Conditions as Conditions
    from mobile.benchmarking.timings import Timings as Timings
    from mobile.conversion.agreement import Agreement as Agreement
    from mobile.conversion.converter import convert as convert
    from mobile.conversion.verification import verify as verify
    from mobile.lowering import lower as lower
    from mobile.lowering.registry import lowering_rule as lowering_rule
    from mobile.pipeline.keras_files import load as load
    from mobile.pipeline.run import run as run
    from mobile.pipeline.training import train as train
    from mobile.quantization import calibrate as calibrate
    from mobile.quantization import distil as distil
    from mobile.quantization import quantize_aware as quantize_aware
    from mobile.quantization import sensitivity as sensitivity
    from mobile.quantization import strip as strip
    from mobile.quantization.ranges import Ranges as Ranges
    from mobile.reporting.report import report as report
    from mobile.tflite import Artifact as Artifact
    from mobile.tflite import Preprocessing as Preprocessing
    from mobile.tuning.ablation import ablate as ablate
    from mobile.tuning.ablation_record import Ablation as Ablation
    from mobile.tuning.gate_folding import fold_gates as fold_gates
    from mobile.tuning.profiling import profile as profile
    from mobile.tuning.se_profile import Profile as Profile
    from mobile.tuning.tune import tune as tune
    from mobile.tuning.tuning_record import Tuning as Tuning

_HOMES = {
    "load": "pipeline.keras_files",
    "lower": "lowering",
    "lowering_rule": "lowering.registry",
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
    "fold_gates": "tuning.gate_folding",
    "profile": "tuning.profiling",
    "tune": "tuning.tune",
    "ablate": "tuning.ablation",
    "Ablation": "tuning.ablation_record",
    "Agreement": "conversion.agreement",
    "Artifact": "tflite",
    "Conditions": "benchmarking.timings",
    "Estimate": "analysis.vela",
    "Preprocessing": "tflite",
    "Profile": "tuning.se_profile",
    "Ranges": "quantization.ranges",
    "Runtime": "benchmarking.settings",
    "Schedule": "benchmarking.settings",
    "Timings": "benchmarking.timings",
    "Tuning": "tuning.tuning_record",
}
_FOLDERS = ("analysis", "benchmarking", "conversion", "data", "devices", "lowering", "pipeline")
_FOLDERS += ("quantization", "reporting", "tflite", "tuning")
_ON_KERAS = ("conversion", "data", "lowering", "pipeline", "quantization", "tuning")


def __getattr__(name: str):
    if name in _HOMES:
        found = getattr(_imported(_HOMES[name], name), name)
        _tell_keras()
        return found
    if name in _FOLDERS:
        return _imported(name, name)
    near = difflib.get_close_matches(name, (*_HOMES, *_FOLDERS))
    meant = f"Did you mean {' or '.join(near)}? It has" if near else "It has"
    raise AttributeError(
        f"module 'mobile' has no attribute {name!r}. {meant} {', '.join(sorted(_HOMES))}."
    )


def _imported(home, name):
    """Import a module of ours, or say in one sentence what it needs that is not installed."""
    on_keras = home.partition(".")[0] in _ON_KERAS
    try:
        if on_keras and name in _HOMES and name.islower():
            import keras_se  # noqa: F401  tells of a Keras without a backend
        return importlib.import_module(f"mobile.{home}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "mobile", "keras_se"):
            raise
        raise ImportError(
            f"mobile.{name} needs {missing!r}. Received: no module of that name. Run "
            f"`pip install 'keras-se[{'mobile' if on_keras else 'device'}]'`.",
            name=missing,
        ) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_FOLDERS})


def _tell_keras():
    """Let Keras know our layers, so that a saved model loads, whichever part came first."""
    if "keras" in sys.modules:
        importlib.import_module("mobile.quantization.keras_engine")


_tell_keras()
