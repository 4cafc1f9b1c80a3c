import subprocess
import sys
import tempfile
import threading

import pytest

from mobile.benchmarking import device_lock as module
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.device_lock import device_lock

HOLD = """
import sys
from mobile.benchmarking.device_lock import device_lock
with device_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
    print("let go", flush=True)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(module, "_NOTE_S", 0.1)


@pytest.fixture
def other():
    """Another process that holds the device `local` until it gets a line."""
    command = [sys.executable, "-c", HOLD, "local"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def in_a_thread(device, limit_s):
    """Whether another thread of this process gets the device within a time."""
    got = threading.Event()

    def take():
        with device_lock(device):
            got.set()

    threading.Thread(target=take, daemon=True).start()
    return got.wait(limit_s)


def test_second_process_waits_until_the_first_lets_go_and_says_so(other, capfd):
    events = []

    def let_go():
        events.append("told")
        other.stdin.write("\n")
        other.stdin.flush()

    threading.Timer(0.5, let_go).start()
    with device_lock("local"):
        events.append("mine")
    assert events == ["told", "mine"]
    assert other.stdout.read() == "let go\n"
    assert capfd.readouterr().err == "Waiting: another timing runs on local.\n"


def test_process_that_is_killed_lets_go(other):
    other.kill()
    other.wait()
    assert in_a_thread("local", 10)


def test_other_device_is_free(other, capfd):
    with device_lock("ssh:pi@board"):
        pass
    assert capfd.readouterr().err == ""


def test_names_that_differ_in_a_sign_are_two_devices():
    with device_lock("ssh:a:1"):
        assert in_a_thread("ssh:a-1", 10)


def test_thread_may_take_what_it_holds_and_another_may_not():
    with device_lock("local"):
        with device_lock("local"):
            pass
        assert not in_a_thread("local", 0.5)
    assert in_a_thread("local", 10)


def test_error_lets_go():
    with pytest.raises(ZeroDivisionError), device_lock("local"):
        raise ZeroDivisionError
    assert in_a_thread("local", 10)


def test_note_cannot_steer_the_terminal(capfd):
    name, held, release = "a\x1b[31mb", threading.Event(), threading.Event()

    def hold():
        with device_lock(name):
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    threading.Timer(0.4, release.set).start()
    with device_lock(name):
        holder.join()
    assert "a\\x1b[31mb" in capfd.readouterr().err


def test_benchmark_holds_the_device_while_it_is_timed_and_no_longer(toy, models):
    free = []

    class Watched(type(toy)):
        def run(self, job, files, update=None):
            free.append(in_a_thread(self.name, 0.3))
            return super().run(job, files, update)

    watched = Watched(toy.seconds, toy.conditions)
    benchmark(models, watched, runs=2, threads=(1, 2))
    assert free == [False, False]
    assert in_a_thread("toy", 10)


def test_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"), device_lock("local"):
        pass
