"""The agent as a command."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = str(pathlib.Path(__file__).parents[4])
JOB = {"job": "probe", "models": [{"name": "m", "file": "0.tflite"}]}


def call(folder, *arguments):
    command = [sys.executable, folder / "agent.pyz", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("job", ["", '{"job": "time"}'])
def test_bad_job_is_one_line(folder, job):
    (folder / "job.json").write_text(job)
    done = call(folder, folder / "job.json")
    assert done.returncode == 2
    assert done.stderr.startswith("agent: ") and done.stderr.count("\n") == 1
    assert "job.json" in done.stderr
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [((), 2), (("--help",), 0), (("a.json", "--runtime"), 2), (("a.json", "b.json"), 2)],
)
def test_bad_call_shows_its_usage(folder, arguments, status):
    done = call(folder, *arguments)
    assert done.returncode == status and done.stderr.startswith("usage: ")
    assert "benchmark  the same" in done.stderr


def test_runtime_of_the_command_line_wins(folder):
    (folder / "job.json").write_text(json.dumps({**JOB, "runtime": "ai_edge_litert"}))
    done = call(folder, folder / "job.json", "--runtime", "no_such_runtime")
    assert done.returncode == 1
    assert "no_such_runtime" in json.loads((folder / "result.json").read_text())["error"]


def test_where_the_package_is_installed_it_runs_as_a_module_too(folder):
    (folder / "job.json").write_text(json.dumps(JOB))
    command = [sys.executable, "-m", "mobile.devices.agent", folder / "job.json"]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    result = json.loads((folder / "result.json").read_text())
    assert result["error"] is None and result["models"]["m"]["partitions"] == 2
