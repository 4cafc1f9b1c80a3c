import ast
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mobile.devices import agent, serving
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


BENCHMARK = {"job": "benchmark", "models": [MODEL], "runs": 3, "warmups": 1, "threads": 1}


@pytest.fixture
def one(folder):
    np.save(folder / "in.npy", np.zeros((1, 8, 8, 4), np.int8))
    return folder


def test_benchmark_gives_raw_times_outputs_and_conditions(one):
    status, result = run(one, BENCHMARK)
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


def test_control_is_a_second_copy_of_a_model(one):
    _, result = run(one, {**BENCHMARK, "control": "m"})
    assert list(result["models"]) == ["m", "m (again)"]
    assert result["models"]["m (again)"]["control_of"] == "m"
    assert len(result["models"]["m (again)"]["times_ms"]) == 3


def test_broken_files_cost_their_own_rows(one):
    whole = (one / "0.tflite").read_bytes()
    contents = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "good": whole,
    }
    for name, content in contents.items():
        (one / f"{name}.tflite").write_bytes(content)
    (one / "folder.tflite").mkdir()
    names = [*contents, "folder", "absent"]
    models = [{**MODEL, "name": name, "file": f"{name}.tflite"} for name in names]
    status, result = run(one, {**BENCHMARK, "models": models})
    assert status == 0 and list(result["models"]) == ["good"]
    assert [failure["name"] for failure in result["failures"]] == [n for n in names if n != "good"]
    assert {failure["stage"] for failure in result["failures"]} == {"load"}


def test_rounds_end_with_the_budget_but_never_before_50():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(1, log, "a"), "b": clock.takes(2, log, "b")}
    times = agent.interleave(invokes, 1000, 0, clock, budget_s=10)
    assert len(times["a"]) == len(times["b"]) == 50
    times = agent.interleave(invokes, 1000, 0, clock, budget_s=180)
    assert len(times["a"]) == 61  # 3 s a round: the limit is passed in the 61st
    assert len(agent.interleave(invokes, 7, 0, clock, budget_s=1)["a"]) == 7


def test_rounds_go_on_until_each_model_has_run_long_enough():
    clock, log = Clock(), []
    invokes = {"a": clock.takes(1, log, "a"), "b": clock.takes(2, log, "b")}
    times = agent.interleave(invokes, 5, 0, clock, least_s=20)
    assert len(times["a"]) == 20  # of 1 s each


def test_warm_up_goes_on_while_times_fall():
    clock, calls = Clock(), []

    def cooling():
        calls.append(None)
        clock.now += max(1.0, 3 - 0.05 * len(calls))

    times = agent.interleave({"a": cooling}, 5, 20, clock)
    # The 40th call is the first to take 1 s. Medians of 10 fall by less than 3 % when those of
    # calls n-9..n and n-19..n-10 do: both 1 s from n = 53 or so on.
    assert times["a"] == [1000.0] * 5
    assert 45 < len(calls) - 5 < 60


def test_times_so_far_are_saved_and_the_round_after_is_not_counted():
    clock, log, saved = Clock(), [], []
    agent.interleave(
        {"a": clock.takes(2, log, "a")}, 7, 0, clock, save=lambda t: saved.append(len(t["a"]))
    )
    assert saved == [3, 6]
    assert len(log) == 7 + 2


def test_error_is_written_with_what_was_tried(folder):
    np.save(folder / "in.npy", np.zeros((2, 8, 8, 4), np.float32))
    status, result = run(folder, {"job": "predict", "models": [MODEL]})
    assert status == 1
    assert "holds int8. Received: float32" in result["error"]
    assert (result["stage"], result["model"]) == ("run", "m")


@pytest.mark.parametrize(
    ("job", "complaint"),
    [
        ("", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "probe, predict, check, benchmark"),
        ('{"job": "time"}', "Received: 'time'"),
        ('{"job": "probe"}', '"models" must be'),
        ('{"job": "check", "models": [{"name": "a"}]}', '"models" must be'),
        ('{"job": "benchmark", "models": []}', '"runs" must be a number'),
        ('{"job": "probe", "models": [], "threads": "all"}', '"threads" must be a number'),
    ],
)
def test_bad_job_is_one_line(tmp_path, job, complaint):
    (tmp_path / "job.json").write_text(job)
    command = [sys.executable, agent.__file__, str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [((), 2), (("--help",), 0), (("a.json", "--runtime"), 2), (("a.json", "b.json"), 2)],
)
def test_bad_call_of_the_agent_shows_its_usage(arguments, status):
    command = [sys.executable, agent.__file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status and done.stderr.startswith("usage: ")


def test_syntax_is_that_of_python_3_9():
    for module in (agent, serving):
        ast.parse(pathlib.Path(module.__file__).read_text(), feature_version=(3, 9))


def test_missing_runtime_says_what_to_install(folder):
    status, result = run(folder, {"job": "probe", "models": [MODEL], "runtime": "no_such_runtime"})
    assert status == 1
    assert "pip install ai-edge-litert" in result["error"]


def test_samples_must_fill_the_batch(folder):
    np.save(folder / "other.npy", np.zeros((3, 8, 8, 4), np.int8))
    model = {**MODEL, "inputs": ["in.npy", "other.npy"]}
    status, result = run(folder, {"job": "predict", "models": [model]})
    assert status == 1 and "same number of samples" in result["error"]
