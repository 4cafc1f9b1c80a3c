import ast
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mobile import agent
from tests.mobile.craft import between_convolutions


class Clock:
    """A clock that the functions it times move on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds, log, name):
        def invoke():
            log.append(name)
            self.now += seconds

        return invoke


def test_models_alternate_forwards_and_backwards_each_in_every_place():
    clock, log = Clock(), []
    invokes = {name: clock.takes(1, log, name) for name in "abc"}
    agent.interleave(invokes, runs=6, warmups=0, clock=clock)
    assert "".join(log) == "abccbabcaacbcabbac"


def test_times_are_milliseconds_without_the_warm_ups():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(0.25, log, "a"), "b": clock.takes(0.5, log, "b")}
    times = agent.interleave(invokes, runs=2, warmups=3, clock=clock)
    assert times == {"a": [250.0, 250.0], "b": [500.0, 500.0]}
    assert len(log) == 2 * (2 + 3)


def test_file_needs_standard_library_and_numpy_alone():
    tree = ast.parse(pathlib.Path(agent.__file__).read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names <= {*sys.stdlib_module_names, "numpy"}


def run(folder, job):
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, agent.__file__, str(folder / "job.json")], capture_output=True, check=False
    )
    return done.returncode, json.loads((folder / "result.json").read_text())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0.tflite").write_bytes(between_convolutions("HARD_SWISH"))
    np.save(tmp_path / "in.npy", np.zeros((2, 8, 8, 4), np.int8))
    return tmp_path


MODEL = {"name": "m", "file": "0.tflite", "inputs": ["in.npy"]}


def test_probe_tells_partitions_and_runtime(folder):
    status, result = run(folder, {"job": "probe", "models": [MODEL]})
    assert status == 0 and result["error"] is None
    assert result["models"]["m"]["partitions"] == 2  # HARD_SWISH has no int8 kernel in XNNPACK
    assert result["runtime"] == "ai_edge_litert" and result["runtime_version"]


def test_predict_writes_one_file_an_output(folder):
    status, result = run(folder, {"job": "predict", "models": [MODEL]})
    assert status == 0
    (name,) = result["outputs"]["m"].values()
    assert np.load(folder / name).shape == (2, 8, 8, 3)


def test_time_gives_raw_times_outputs_and_conditions(folder):
    job = {"job": "time", "models": [MODEL], "runs": 3, "warmups": 1, "threads": 1}
    status, result = run(folder, job)
    assert status == 0
    found = result["models"]["m"]
    assert len(found["times_ms"]) == 3 and min(found["times_ms"]) > 0
    assert np.load(folder / found["outputs"]["0"]).shape == (1, 8, 8, 3)
    assert {"cpu", "machine", "governor", "load", "started"} <= set(result["conditions"])
    if hasattr(os, "sched_setaffinity"):
        assert len(result["conditions"]["pinned_cores"]) == 1


def test_error_is_written_with_what_was_tried(folder):
    np.save(folder / "in.npy", np.zeros((2, 8, 8, 4), np.float32))
    status, result = run(folder, {"job": "predict", "models": [MODEL]})
    assert status == 1
    assert "holds int8. Received: float32" in result["error"]
    assert json.loads((folder / "progress.json").read_text()) == {"stage": "run", "model": "m"}


def test_missing_runtime_says_what_to_install(folder):
    status, result = run(folder, {"job": "probe", "models": [MODEL], "runtime": "no_such_runtime"})
    assert status == 1
    assert "pip install ai-edge-litert" in result["error"]


def test_samples_must_fill_the_batch(folder):
    np.save(folder / "other.npy", np.zeros((3, 8, 8, 4), np.int8))
    model = {**MODEL, "inputs": ["in.npy", "other.npy"]}
    status, result = run(folder, {"job": "predict", "models": [model]})
    assert status == 1 and "same number of samples" in result["error"]
