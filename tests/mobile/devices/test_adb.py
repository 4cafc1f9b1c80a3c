"""Devices over adb with a Python: a real daemon in namespaces of its own."""

import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from tests.mobile.craft import between_convolutions

GOOD = between_convolutions("HARD_SWISH")


@pytest.fixture
def server(adb_server):
    return adb_server[1]


@pytest.fixture
def device(adb_server):
    return devices.connect(f"adb:{adb_server[0]}", python=sys.executable)


def traces(there):
    """Return the folders that a job left on the device, and the processes that know of them."""
    left = [str(path) for path in there.glob("keras-se-*")]
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(there / "keras-se-") in words:
            left.append(words)
    return left


@pytest.mark.debian
def test_outputs_over_adb_are_those_of_this_machine(device, server):
    images = np.random.default_rng(0).integers(-128, 127, (5, 8, 8, 4), np.int8)
    (there,) = devices.predict(GOOD, images, device=device)
    (here,) = devices.predict(GOOD, images)
    assert np.array_equal(there, here)
    assert traces(server) == []


@pytest.mark.debian
def test_benchmark_over_adb(device, server):
    timings = benchmark({"a": GOOD, "b": between_convolutions("ADD")}, device, runs=5, warmups=2)
    assert [m.name for m in timings.models] == ["a", "b", "a (again)"]
    assert [m.output_lsb for m in timings.models] == [0, 0, 0]
    assert timings.conditions.device == device.name
    assert traces(server) == []


@pytest.mark.debian
def test_unplugged_device_is_an_error_and_leaves_nothing(device, server):
    serial = device.name.removeprefix("adb:")
    entry, files = devices.pack("good", GOOD, [np.zeros((1, 8, 8, 4), np.int8)])
    job = {"job": "benchmark", "models": [entry], "runs": 2, "warmups": 0, "least_s": 100}
    seen = threading.Event()

    def unplug():
        seen.wait(30)
        time.sleep(1)
        subprocess.run(["adb", "disconnect", serial], capture_output=True, check=False)

    threading.Thread(target=unplug).start()
    with pytest.raises(devices.AgentError, match=r"connection to adb:.* was lost") as caught:
        device.run(job, files, lambda answer: seen.set())
    assert caught.value.partial.result["models"]["good"]["first_ms"] > 0
    end = time.monotonic() + 15
    while traces(server) and time.monotonic() < end:
        time.sleep(0.2)
    assert traces(server) == []
    with pytest.raises(devices.AgentError, match=r"not found.*`adb devices` must list"):
        devices.partitions(GOOD, device)
    subprocess.run(["adb", "connect", serial], capture_output=True, check=True)
    assert devices.partitions(GOOD, device) == 2


def test_without_adb_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(devices.AgentError, match="`adb` must be installed"):
        devices.partitions(GOOD, devices.connect("adb"))
