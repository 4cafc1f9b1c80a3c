"""64-bit Arm under emulation: the agent gives the answers that this machine gives. `make arm`."""

import os
import pathlib

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from tests.mobile.craft import between_convolutions

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tflite"
ROOT = pathlib.Path(os.environ.get("KERAS_SE_ARM", pathlib.Path.home() / ".cache/keras-se/arm"))
KINDS = ("ADD", "MUL", "MEAN", "HARD_SWISH", "DEPTHWISE_CONV_2D", "LOGISTIC", "SOFTMAX")

pytestmark = [
    pytest.mark.device,
    pytest.mark.skipif(not ROOT.exists(), reason=f"{ROOT} is not there: make arm"),
]


@pytest.fixture(params=["litert", "tflite-runtime"])
def python(request):
    return ROOT / request.param


def test_reference_kernels_compute_the_same_to_the_bit(python):
    device = devices.connect("local", python=python)
    images = np.random.default_rng(0).integers(-128, 127, (8, 8, 8, 4), np.int8)
    for kind in KINDS:
        content = between_convolutions(kind)
        (there,) = devices.predict(content, images, "reference", device)
        (here,) = devices.predict(content, images, "reference")
        assert np.array_equal(there, here), kind


def test_timed_kernels_differ_by_at_most_one_step_on_a_few_layers(python):
    models = {kind: between_convolutions(kind) for kind in KINDS}
    timings = benchmark(models, python=python, runs=1, warmups=0, timeout=300)
    assert not timings.failures
    assert {m.name: m.output_lsb for m in timings.models if m.output_lsb > 1} == {}
    assert timings.conditions.machine == "aarch64"
    assert timings.conditions.cpu.startswith("Cortex")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
def test_whole_networks_run_and_answer_nearly_the_same(python):
    paths = sorted(SHARED.glob("*.tflite"))
    timings = benchmark(paths, python=python, runs=1, warmups=0, timeout=300, control=False)
    refused = {"mobilenet_v3_small_ptq_xnnpack_rejects"} if python.name == "litert" else set()
    assert {failure.name for failure in timings.failures} == refused
    steps = {model.name: model.output_lsb for model in timings.models}
    print(python.name, steps)
    if python.name == "litert":  # the same version of the same kernels here
        assert all(step in (0, 1, None) for step in steps.values())
