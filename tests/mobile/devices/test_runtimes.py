"""The agent under every runtime that this machine can have."""

import subprocess
import sys

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from tests.mobile.craft import between_convolutions
from tests.mobile.kept import made_once

GOOD, IMAGE = between_convolutions("HARD_SWISH"), np.zeros((1, 8, 8, 4), np.int8)


@pytest.fixture(scope="module")
def old_runtime():
    """Python with tflite-runtime 2.14 and numpy 1, kept from run to run."""
    if sys.version_info[:2] > (3, 11):
        pytest.skip("tflite-runtime has wheels up to Python 3.11")

    def make(folder):
        install = ["-m", "pip", "install", "-q", "tflite-runtime==2.14.0", "numpy<2"]
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([python, *install], check=True, capture_output=True, timeout=300)

    try:
        return made_once(f"tflite-runtime-{sys.version_info[1]}", make) / "bin" / "python"
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        pytest.skip(f"tflite-runtime cannot be installed here: {error} {said[-300:]!r}")


@pytest.mark.slow
def test_tflite_runtime_times_and_computes_as_litert_does(old_runtime):
    models = {"hard swish": GOOD, "float": between_convolutions("ADD", "float32")}
    timings = benchmark(models, python=old_runtime, runs=3, warmups=1)
    assert timings.conditions.runtime == "tflite_runtime"
    assert timings.conditions.runtime_version == "2.14.0"
    assert timings.conditions.numpy.startswith("1.")
    assert timings["hard swish"].partitions == 0  # it does not delegate int8
    assert timings["float"].partitions == 1
    assert timings["hard swish"].output_lsb <= 1
    device = devices.connect("local", python=old_runtime)
    images = np.random.default_rng(0).integers(-128, 127, (8, 8, 8, 4), np.int8)
    (old,) = devices.predict(GOOD, images, "reference", device)
    (new,) = devices.predict(GOOD, images, "reference")
    assert np.array_equal(old, new)


@pytest.mark.slow
def test_tflite_runtime_with_numpy_2_says_what_to_install(old_runtime, tmp_path, monkeypatch):
    (package,) = old_runtime.parents[1].glob("lib/python3.*/site-packages/tflite_runtime")
    (tmp_path / "tflite_runtime").symlink_to(package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(devices.AgentError, match=r"pip install 'numpy<2'") as caught:
        run("tflite_runtime")
    assert caught.value.stage == "import a runtime"


def run(runtime):
    entry, files = devices.pack("m", GOOD, [IMAGE])
    return devices.connect().run({"job": "probe", "models": [entry], "runtime": runtime}, files)


@pytest.mark.slow
def test_tensorflows_own_interpreter_is_a_runtime_too():
    found = run("tensorflow").result
    assert found["runtime"] == "tensorflow" and found["models"]["m"]["partitions"] == 2


def test_named_runtime_that_is_not_there_is_an_error():
    with pytest.raises(devices.AgentError, match="no_such_runtime: No module named"):
        run("no_such_runtime")
    with pytest.raises(devices.AgentError, match="must work on the device"):
        benchmark({"m": GOOD}, runs=1, runtime="no_such_runtime")
