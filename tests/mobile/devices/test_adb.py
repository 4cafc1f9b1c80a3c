"""Devices over adb: a real daemon in namespaces of its own, with Python and with a native tool."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from tests.mobile.craft import between_convolutions
from tests.mobile.kept import made_once

GOOD = between_convolutions("HARD_SWISH")
SERIAL = "127.0.0.1:5555"
SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} trixie main"
MIRROR = "http://deb.debian.org/debian"


def unpack_adbd(root):
    """Unpack Debian 13's adbd and all it needs under `root`; nothing is installed."""
    apt = root / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(SOURCE.format(MIRROR) + "\n")
    (apt / "apt.conf").write_text(
        f'Dir::State "{apt}";\nDir::State::status "/dev/null";\nDir::Cache "{apt}";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\nDebug::NoLocking "true";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    for words in (["update"], ["-y", "--download-only", "install", "adbd"]):
        run = ["apt-get", "-qq", "-o", "Acquire::Retries=2", *words]
        subprocess.run(run, check=True, env=environment, capture_output=True, timeout=240)
    for package in (apt / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    shutil.rmtree(apt)


@pytest.fixture(scope="module")
def root():
    """The folder with adbd, kept from run to run."""
    if os.geteuid() != 0:
        pytest.skip("adbd in namespaces of its own needs root")
    for command in ("adb", "unshare", "nsenter", "ip", "apt-get", "dpkg"):
        if not shutil.which(command):
            pytest.skip(f"{command} is not there: apt install adb util-linux iproute2")
    try:
        return made_once("adbd", unpack_adbd)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        pytest.skip(f"Debian 13's adbd cannot be had here: {error} {said[-300:]!r}")


@pytest.fixture(scope="module")
def server(root, tmp_path_factory):
    """A daemon that one client reaches, which is `adb` on the path."""
    folder = tmp_path_factory.mktemp("adb")
    there = folder / "there"
    there.mkdir()
    real = shutil.which("adb")
    libraries = root / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    loader = next(root.glob("usr/lib*/ld-linux-*"), None) or next(libraries.glob("ld-linux-*"))
    start = (
        f"ip link set lo up && TMPDIR={there} XDG_CACHE_HOME={there}/cache exec {loader} "
        f"--library-path {libraries}:{libraries}/android {root}/usr/lib/android-sdk/"
        f"platform-tools/adbd"
    )
    command = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "sh", "-c", start]
    shim = folder / "bin" / "adb"
    shim.parent.mkdir()
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        # 5553: or else the client finds the daemon once more, as an emulator.
        shim.write_text(
            f"#!/bin/sh\nexport HOME={folder} ADB_LOCAL_TRANSPORT_MAX_PORT=5553\n"
            f'exec nsenter -t {process.pid} -n {real} "$@"\n'
        )
        shim.chmod(0o755)
        patch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
        try:
            for _ in range(50):
                done = subprocess.run(
                    ["adb", "connect", SERIAL], capture_output=True, text=True, check=False
                )
                if "connected to" in done.stdout:
                    break
                time.sleep(0.2)
            else:
                pytest.skip(f"adbd does not run here: {(folder / 'log').read_text()[-500:]}")
            yield there
        finally:
            subprocess.run(["adb", "kill-server"], capture_output=True, check=False)
            process.kill()  # unshare ends its child; it takes no gentler signal


@pytest.fixture
def device(server):
    return devices.connect(f"adb:{SERIAL}", python=sys.executable)


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
    assert timings.conditions.device == f"adb:{SERIAL}"
    assert traces(server) == []


@pytest.mark.debian
def test_unplugged_device_is_an_error_and_leaves_nothing(device, server):
    entry, files = devices.pack("good", GOOD, [np.zeros((1, 8, 8, 4), np.int8)])
    job = {"job": "benchmark", "models": [entry], "runs": 2, "warmups": 0, "least_s": 100}
    seen = threading.Event()

    def unplug():
        seen.wait(30)
        time.sleep(1)
        subprocess.run(["adb", "disconnect", SERIAL], capture_output=True, check=False)

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
    subprocess.run(["adb", "connect", SERIAL], capture_output=True, check=True)
    assert devices.partitions(GOOD, device) == 2


TOOL = """#!/bin/sh
for word; do case $word in
    --graph=*) size=$(wc -c < "${{word#--graph=}}");;
    --num_runs=*) runs=${{word#--num_runs=}};;
    --enable_op_profiling=true) profile=yes;;
esac; done
if [ "$size" = {bad} ]; then echo "ERROR: Failed to load model"; exit 1; fi
echo "INFO: count=$runs first=$size curr=$size min=$size max=$size avg=$size std=0"
echo "INFO: Inference timings in us: Init: 1000, First inference: 2000, \
Warmup (avg): 3000, Inference (avg): $size"
if [ "$profile" ]; then
    echo "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:"
    printf '\\t[node type]\\t[first]\\t[avg ms]\\t[%%]\\t[cdf%%]\\t[mem KB]\\t[times]\\t[Name]\\n'
    printf '\\tDELEGATE\\t1.5\\t1.25\\t100%%\\t100%%\\t0\\t1\\t[out]:3\\n\\n'
fi
"""


@pytest.mark.debian
def test_native_tool_is_pushed_run_and_read(server, tmp_path):
    models = {"a": GOOD, "b": between_convolutions("ADD"), "bad": between_convolutions("MEAN")}
    sizes = {name: len(content) for name, content in models.items()}
    tool = tmp_path / "it's a $tool"
    tool.write_text(TOOL.format(bad=sizes["bad"]))
    timings = benchmark(
        models, f"adb:{SERIAL}", runs=50, warmups=2, benchmark_model=tool, reference="a"
    )
    assert [m.name for m in timings.models] == ["a", "b", "a (again)"]
    for name in "ab":  # the tool "takes" a microsecond for each byte of the file
        assert timings[name].times_ms == pytest.approx([sizes[name] / 1e3] * 10)
    assert (timings["a"].load_ms, timings["a"].first_ms, timings["a"].partitions) == (1, 2, 1)
    (row,) = timings["a"].profile
    assert (row.name, row.kind, row.mean_ms) == ("[out]:3", "DELEGATE", 1.25)
    assert timings["a"].output_error is None
    assert "nothing says whether the answers are right" in timings.notes[0]
    (failure,) = timings.failures
    assert failure.name == "bad" and "Failed to load model" in failure.message
    conditions = timings.conditions
    assert conditions.runtime == "benchmark_model" and conditions.cores == os.cpu_count()
    shutil.rmtree("/tmp/keras-se/native", ignore_errors=True)


def test_native_tool_must_be_a_file_and_stands_for_python(tmp_path):
    with pytest.raises(ValueError, match="must be a file on this machine"):
        devices.connect("adb", benchmark_model=tmp_path / "absent")
    with pytest.raises(ValueError, match="Give one of them"):
        devices.connect("adb", python="python3", benchmark_model=tmp_path)
    with pytest.raises(ValueError, match="must go with an adb device"):
        devices.connect("local", benchmark_model=tmp_path)


def test_without_adb_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(devices.AgentError, match="`adb` must be installed"):
        devices.partitions(GOOD, devices.connect("adb"))
    tool = tmp_path / "tool"
    tool.touch()
    native = devices.connect("adb:1", benchmark_model=tool)
    with pytest.raises(devices.AgentError, match="`adb` must be installed"):
        native.run({"job": "benchmark", "models": []}, {})
