"""Devices over ssh: the ways to write one, and a real server on this machine."""

import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from mobile.devices.ssh import arguments
from tests.mobile.craft import between_convolutions, endless

SSHD = "/usr/sbin/sshd"
GOOD = between_convolutions("HARD_SWISH")


@pytest.mark.parametrize(
    ("destination", "last"),
    [
        ("board", ["--", "board"]),
        ("pi@board", ["--", "pi@board"]),
        ("pi@10.0.0.2:2222", ["-p", "2222", "--", "pi@10.0.0.2"]),
        ("[fe80::1]:22", ["-p", "22", "--", "fe80::1"]),
    ],
)
def test_destination_becomes_arguments_of_ssh(destination, last):
    words = arguments(destination)
    assert words[0] == "ssh" and words[-len(last) :] == last
    assert "BatchMode=yes" in words  # it never asks


@pytest.mark.parametrize("destination", ["", "-oProxyCommand=id", "a b", "host:port", "a@b@c"])
def test_what_is_no_destination_is_refused(destination):
    with pytest.raises(ValueError, match="user@"):
        devices.connect(f"ssh:{destination}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with a throw-away key, and on the path an ssh that knows it."""
    if not (os.path.exists(SSHD) and shutil.which("ssh")):
        pytest.skip("sshd is not there: apt install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(make, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    there = folder / "there"
    there.mkdir()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/key.pub\nPidFile none\nPasswordAuthentication no\n"
        f"SetEnv TMPDIR={there} XDG_CACHE_HOME={there}/cache\n"
    )
    (folder / "config").write_text(
        f"Host *\nIdentityFile {folder}/key\nUserKnownHostsFile {folder}/known\n"
        f"StrictHostKeyChecking accept-new\nLogLevel ERROR\n"
    )
    shim = folder / "bin" / "ssh"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    shim.chmod(0o755)
    log = folder / "log"
    command = [SSHD, "-D", "-f", folder / "sshd_config", "-E", log]
    with subprocess.Popen(command) as process, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
        name = f"ssh:{getpass.getuser()}@127.0.0.1:{port}"
        for _ in range(50):
            if "listening" in (log.read_text() if log.exists() else ""):
                break
            time.sleep(0.1)
        yield name, there, process.pid
        process.terminate()


@pytest.fixture
def device(server):
    return devices.connect(server[0], python=sys.executable)


def traces(there):
    """Return what a job left on the device: folders, and processes that know of them."""
    left = [str(path) for path in there.glob("keras-se-*")]
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(there) in words:
            left.append(words)
    return left


def wait_until_gone(there, seconds=15):
    end = time.monotonic() + seconds
    while traces(there) and time.monotonic() < end:
        time.sleep(0.2)
    return traces(there)


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.debian
def test_outputs_are_those_of_this_machine_and_nothing_stays(device, server):
    images = np.random.default_rng(0).integers(-128, 127, (5, 8, 8, 4), np.int8)
    (there,) = devices.predict(GOOD, images, device=device)
    (here,) = devices.predict(GOOD, images)
    assert np.array_equal(there, here)
    assert devices.partitions(GOOD, device) == 2
    assert traces(server[1]) == []


@pytest.mark.debian
def test_python_may_lie_in_the_home_there(server):
    python = "~/" + os.path.relpath(sys.executable, os.path.expanduser("~"))
    assert devices.partitions(GOOD, devices.connect(server[0], python=python)) == 2


@pytest.mark.debian
def test_benchmark_over_ssh_and_here_at_once(device, server):
    models = {'it\'s "a"; $(touch x) model\n': GOOD, "b": between_convolutions("ADD")}
    over, here = benchmark(models, [device, "local"], runs=5, warmups=2)
    assert [m.name for m in over.models] == [m.name for m in here.models]
    assert over.conditions.device == server[0] and here.conditions.device == "local"
    assert [m.output_lsb for m in over.models] == [0, 0, 0]
    assert all(len(m.times_ms) == 5 for m in over.models)
    assert over.conditions.cores == os.cpu_count()
    assert traces(server[1]) == []


@pytest.mark.debian
def test_unchanged_files_are_sent_once(device, server, monkeypatch):
    from mobile.devices import remote

    sent = []
    say = remote._Talk._say
    monkeypatch.setattr(remote._Talk, "_say", lambda self, *p: (sent.extend(p), say(self, *p)))
    content = between_convolutions("SUB")
    for expected in (1, 0):
        sent.clear()
        devices.partitions(content, device)
        assert sent.count(content) == expected
    damaged = next(p for p in server[1].glob("cache/keras-se/files/*") if p.read_bytes() == content)
    damaged.write_bytes(b"x")
    sent.clear()
    assert devices.partitions(content, device) == 1
    assert sent.count(content) == 1


@pytest.mark.debian
def test_endless_model_costs_its_row_there_too(device, server):
    models, files = [], {}
    for name, content, x in (
        ("endless", endless(), np.ones(1, np.float32)),
        ("good", GOOD, np.zeros((1, 8, 8, 4), np.int8)),
    ):
        entry, packed = devices.pack(name, content, [x], name)
        models.append(entry)
        files |= packed
    job = {"job": "benchmark", "models": models, "runs": 2, "warmups": 0, "timeout_s": 2}
    result = device.run(job, files).result
    assert list(result["models"]) == ["good"]
    assert result["failures"][0]["message"] == "took longer than 2 s"
    assert traces(server[1]) == []


@pytest.mark.debian
def test_cut_connection_is_an_error_with_what_came_and_leaves_nothing(device, server):
    entry, files = devices.pack("good", GOOD, [np.zeros((1, 8, 8, 4), np.int8)])
    job = {"job": "benchmark", "models": [entry], "runs": 2, "warmups": 0, "least_s": 100}
    seen = threading.Event()

    def cut():
        seen.wait(30)
        time.sleep(1)
        for pid in children(server[2]):
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=cut).start()
    with pytest.raises(devices.AgentError, match=r"connection to ssh:.* was lost") as caught:
        device.run(job, files, lambda answer: seen.set())
    assert caught.value.partial.result["models"]["good"]["first_ms"] > 0
    assert wait_until_gone(server[1]) == []


@pytest.mark.debian
def test_host_that_is_killed_leaves_nothing_there(server, tmp_path):
    program = tmp_path / "host.py"
    program.write_text(
        "import numpy as np\nfrom mobile import devices\n"
        f"entry, files = devices.pack('a', {GOOD!r}, [np.zeros((1, 8, 8, 4), np.int8)])\n"
        "job = {'job': 'benchmark', 'models': [entry], 'runs': 2, 'warmups': 0, 'least_s': 100}\n"
        f"device = devices.connect({server[0]!r}, {sys.executable!r})\n"
        "device.run(job, files, lambda answer: print('up', flush=True))\n"
    )
    root = str(pathlib.Path(__file__).parents[3])
    command = [sys.executable, program]
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"up\n"
        assert traces(server[1])
        process.kill()
    assert wait_until_gone(server[1]) == []


@pytest.mark.debian
def test_missing_python_refused_key_and_closed_port_say_what_to_do(server):
    with pytest.raises(devices.AgentError, match=r"under the name 'no_python'.*with `python`"):
        devices.partitions(GOOD, devices.connect(server[0], python="no_python"))
    stranger = server[0].replace(f"{getpass.getuser()}@", "nobody-of-this-name@")
    with pytest.raises(devices.AgentError, match=r"Permission denied.*Try `ssh -o BatchMode"):
        devices.partitions(GOOD, devices.connect(stranger))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"ssh:127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(devices.AgentError, match="refused"):
        devices.partitions(GOOD, devices.connect(closed))


def test_without_ssh_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(devices.AgentError, match="`ssh` must be installed"):
        devices.partitions(GOOD, devices.connect("ssh:board"))
