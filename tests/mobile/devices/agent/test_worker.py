import os
import sys

import numpy as np

MODEL = {"name": "m", "file": "0.tflite", "inputs": ["in.npy"]}
BENCHMARK = {"job": "benchmark", "models": [MODEL], "runs": 3, "warmups": 1, "threads": 1}


def test_probe_tells_partitions_and_runtime(ask):
    status, result = ask({"job": "probe", "models": [MODEL]})
    assert status == 0 and result["error"] is None
    assert result["models"]["m"]["partitions"] == 2  # HARD_SWISH has no int8 kernel in XNNPACK
    assert result["runtime"] == "ai_edge_litert" and result["runtime_version"]


def test_predict_writes_one_file_an_output(folder, ask):
    status, result = ask({"job": "predict", "models": [MODEL]})
    assert status == 0
    (name,) = result["outputs"]["m"].values()
    assert np.load(folder / name).shape == (2, 8, 8, 3)


def test_samples_must_fill_the_batch(folder, ask):
    np.save(folder / "other.npy", np.zeros((3, 8, 8, 4), np.int8))
    model = {**MODEL, "inputs": ["in.npy", "other.npy"]}
    status, result = ask({"job": "predict", "models": [model]})
    assert status == 1 and "same number of samples" in result["error"]


def test_error_is_written_with_what_was_tried(folder, ask):
    np.save(folder / "in.npy", np.zeros((2, 8, 8, 4), np.float32))
    status, result = ask({"job": "predict", "models": [MODEL]})
    assert status == 1
    assert "holds int8. Received: float32" in result["error"]
    assert (result["stage"], result["model"]) == ("run", "m")


def test_benchmark_gives_raw_times_outputs_and_conditions(one, ask):
    status, result = ask(BENCHMARK)
    assert status == 0 and result["failures"] == []
    found = result["models"]["m"]
    assert len(found["times_ms"]) == 3 and min(found["times_ms"]) > 0
    assert found["load_ms"] > 0 and found["first_ms"] > 0 and found["repeats"] is True
    assert np.load(one / found["outputs"]["0"]).shape == (1, 8, 8, 3)
    assert {"cpu", "machine", "governor", "load", "started", "cores"} <= set(result["conditions"])
    if hasattr(os, "sched_setaffinity"):
        assert len(result["conditions"]["pinned_cores"]) == 1
    if sys.platform == "linux":
        assert 0 < found["peak_memory_bytes"] < 100e6
