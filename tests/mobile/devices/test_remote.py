"""Both ends of a connection, on this machine: a shell takes the place of ssh and adb."""

import os
import pathlib
import shutil
import signal
import sys

import numpy as np
import pytest

from mobile import devices
from mobile.devices.remote import RemoteDevice, _shell_word
from tests.mobile.craft import between_convolutions

GOOD = between_convolutions("HARD_SWISH")
IMAGE = np.zeros((1, 8, 8, 4), np.int8)


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The folder of temporary files at the far end, whose cache is in "cache" beside it."""
    folder = tmp_path / "there"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def connect(shell="sh", prefix="", python=sys.executable):
    """Return a device whose shell runs `prefix` before each line."""
    words = [shell, "-c", f'{prefix}eval "$0"'] if prefix else [shell, "-c"]
    return RemoteDevice("here", words, python, "Try again.")


def test_outputs_are_the_same_and_nothing_stays(there):
    images = np.random.default_rng(0).integers(-128, 127, (5, 8, 8, 4), np.int8)
    (far,) = devices.predict(GOOD, images, device=connect())
    (near,) = devices.predict(GOOD, images)
    assert np.array_equal(far, near)
    assert os.listdir(there) == []


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "mksh", "zsh"])
def test_python_may_lie_in_the_home_there(there, tmp_path, monkeypatch, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not there")
    monkeypatch.setenv("HOME", str(tmp_path))
    shim = tmp_path / "my venv" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    device = connect(shell, python="~/my venv/python")
    assert devices.partitions(GOOD, device) == 2


def test_nothing_of_a_path_but_the_home_means_anything_to_the_shell():
    assert _shell_word("python3") == "python3"
    assert _shell_word("~/venv/bin/python") == "~/venv/bin/python"
    assert _shell_word("~pi/a b/python") == "~pi/'a b/python'"
    assert _shell_word("~$(id)/python") == "'~$(id)/python'"
    assert _shell_word("a;b") == "'a;b'"


@pytest.mark.parametrize("python", ["no_python", ""])
def test_python_that_is_not_there_says_what_to_do(there, python):
    said = f"under the name '{python}'.*with `python`"
    with pytest.raises(devices.AgentError, match=said) as caught:
        devices.partitions(GOOD, connect(python=python))
    assert ".." not in str(caught.value)


def test_worker_that_cannot_start_is_told_and_the_far_end_ends_well(there, tmp_path):
    # The interpreter takes itself away once it runs: the far end is there, its workers are not.
    shim = tmp_path / "python"
    shim.write_text(f'#!/bin/sh\nrm "$0"\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    with pytest.raises(devices.AgentError, match="must be a Python that starts") as caught:
        devices.partitions(GOOD, connect(python=shim))
    assert caught.value.stage == "start" and "finalizing" not in str(caught.value)
    assert os.listdir(there) == []


def test_connection_lost_in_the_middle_is_known_to_the_part_that_came(there, tmp_path):
    entry, files = devices.pack("good", GOOD, [IMAGE])
    job = {"job": "benchmark", "models": [entry], "runs": 2, "warmups": 0, "least_s": 100}
    place = tmp_path / "pid"
    device = connect(prefix=f"echo $$ > {place}; ")

    def cut(answer):
        if answer.result["models"]:
            os.kill(int(place.read_text()), signal.SIGKILL)

    with pytest.raises(devices.AgentError, match="connection to here was lost") as caught:
        device.run(job, files, cut)
    result = caught.value.partial.result
    assert result["models"]["good"]["first_ms"] > 0
    assert "connection to here was lost" in result["error"]
    assert (result["stage"], result["model"]) == ("hear the end of the job", None)


def test_full_disk_there_is_told_and_leaves_nothing(there):
    device = connect(prefix="ulimit -f 200; ")  # blocks of 512 bytes, or 1024
    with pytest.raises(devices.AgentError, match=r"here must be able to.*File too large"):
        devices.partitions(GOOD + bytes(1_000_000), device)
    assert os.listdir(there) == []
    cached = pathlib.Path(os.environ["XDG_CACHE_HOME"], "keras-se", "files")
    assert list(cached.iterdir()) == []


def test_cache_that_cannot_be_had_costs_no_job(there, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    (tmp_path / "a file").touch()
    (there / f"keras-se-{os.getuid()}").touch()
    assert devices.partitions(GOOD, connect()) == 2


def test_unchanged_files_are_sent_once(there, monkeypatch):
    from mobile.devices import remote

    sent = []
    say = remote._Talk._say
    monkeypatch.setattr(remote._Talk, "_say", lambda self, *p: (sent.extend(p), say(self, *p)))
    for expected in (1, 0):
        sent.clear()
        devices.partitions(GOOD, connect())
        assert sent.count(GOOD) == expected


@pytest.mark.parametrize("name", ["../out.tflite", "/tmp/x", ".", "a/b", "", "a\nb"])
def test_file_without_a_plain_name_is_refused_there(there, name):
    job = {"job": "probe", "models": [{"name": "m", "file": "0.tflite"}]}
    with pytest.raises(devices.AgentError, match=r"must have a plain name.*Received"):
        connect().run(job, {name: GOOD})
