import os
import sys

import pytest

from mobile import devices
from tests.mobile.craft import between_convolutions

JOB = {"job": "probe", "models": [{"name": "bad", "file": "0.tflite"}]}


@pytest.fixture
def fake_python(tmp_path):
    """Return a maker of programs that stand in for Python running a worker of the agent."""

    def make(body):
        path = tmp_path / "python"
        path.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            "sys.path.insert(0, sys.argv[1])\n"
            "os.chdir(os.path.dirname(sys.argv[3]))\n"
            "from agent.beat import Beat\nBeat('beat').tell('load', 1)\n" + body
        )
        path.chmod(0o755)
        return path

    return make


def test_killed_worker_is_reported_with_signal_model_and_last_words(fake_python):
    body = "print('double free or corruption', file=sys.stderr, flush=True)\nos.abort()\n"
    device = devices.connect("local", python=fake_python(body))
    with pytest.raises(devices.AgentError, match=r"SIGABRT: double free") as caught:
        device.run(JOB, {})
    assert (caught.value.stage, caught.value.model) == ("load", "bad")


def test_worker_that_leaves_no_answer_is_reported(fake_python):
    device = devices.connect("local", python=fake_python("sys.exit(3)\n"))
    with pytest.raises(devices.AgentError, match="status 3 and no answer: it said nothing"):
        device.run(JOB, {})


def test_worker_that_hangs_is_stopped(fake_python):
    device = devices.LocalDevice(fake_python("import time; time.sleep(60)\n"))
    with pytest.raises(devices.AgentError, match="longer than 1 s") as caught:
        device.run({**JOB, "timeout_s": 1}, {})
    assert caught.value.model == "bad"
    device.timeout_s = 2
    with pytest.raises(devices.AgentError, match="whole job took longer than 2 s"):
        device.run(JOB, {})


def test_python_that_is_not_there_is_an_error_of_the_device():
    with pytest.raises(devices.AgentError, match=r"'no-python' must be a Python that starts"):
        devices.connect("local", python="no-python").run(JOB, {})


def test_python_may_lie_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    shim = tmp_path / "python"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    device = devices.connect("local", python="~/python")
    assert devices.partitions(between_convolutions("ADD"), device) == 1


def test_nothing_stays(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert devices.partitions(between_convolutions("ADD")) == 1
    assert os.listdir(tmp_path) == []
