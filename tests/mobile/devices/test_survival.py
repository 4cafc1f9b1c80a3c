"""Models that crash, hang, lie or fill the memory cost their own rows, and nothing else."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from tests.mobile.craft import between_convolutions, endless, enormous

ROOT = pathlib.Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data" / "tflite"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
GOOD, IMAGE = between_convolutions("ADD"), np.zeros((1, 8, 8, 4), np.int8)


def run(named, device="local", **job):
    """Time a few runs of models given as name to (content, inputs); return the agent's result."""
    models, files = [], {}
    for number, (name, (content, inputs)) in enumerate(named.items()):
        entry, packed = devices.pack(name, content, inputs, str(number))
        models.append(entry)
        files |= packed
    job = {"job": "benchmark", "models": models, "runs": 2, "warmups": 0, **job}
    return devices.connect(device).run(job, files).result


def test_endless_model_is_given_up_and_the_next_is_timed():
    named = {"endless": (endless(), [np.ones(1, np.float32)]), "good": (GOOD, [IMAGE])}
    result = run(named, timeout_s=2)
    assert result["failures"] == [
        {"name": "endless", "stage": "run", "message": "took longer than 2 s"}
    ]
    assert len(result["models"]["good"]["times_ms"]) == 2


def test_model_that_wants_too_much_memory_is_named():
    result = run({"huge": (enormous(), [IMAGE]), "good": (GOOD, [IMAGE])}, memory_bytes=300_000_000)
    (failure,) = result["failures"]
    assert failure["name"] == "huge" and "Was the memory enough (300 MB)?" in failure["message"]
    assert len(result["models"]["good"]["times_ms"]) == 2


def test_what_is_known_is_told_after_every_model():
    seen = []
    models, files = [], {}
    for number, name in enumerate("ab"):
        entry, packed = devices.pack(name, GOOD, [IMAGE], str(number))
        models.append(entry)
        files |= packed
    job = {"job": "benchmark", "models": models, "runs": 2, "warmups": 0}
    devices.connect().run(job, files, lambda a: seen.append((list(a.result["models"]), a.files)))
    assert [names for names, _ in seen[:2]] == [["a"], ["a", "b"]]
    assert len(seen[0][1]) == 1  # the output of a


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_host_leaves_no_worker(tmp_path):
    program = tmp_path / "host.py"
    program.write_text(
        "import numpy as np\nfrom mobile import devices\n"
        f"entry, files = devices.pack('a', {GOOD!r}, [np.zeros((1, 8, 8, 4), np.int8)])\n"
        "job = {'job': 'benchmark', 'models': [entry], 'runs': 2, 'warmups': 0, 'least_s': 100}\n"
        "devices.connect().run(job, files, lambda answer: print('up', flush=True))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"up\n"
        time.sleep(1)
        assert workers(tmp_path)
        process.kill()
    end = time.monotonic() + 15
    while workers(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert workers(tmp_path) == []


def workers(folder):
    """Return the command lines of processes that know of a folder, as an agent's worker does."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words and "work.json" in words:
            found.append(words)
    return found


@needs_shared
def test_every_shared_file_is_timed_or_says_why_not():
    paths = sorted(SHARED.glob("*.tflite"))
    timings = benchmark(paths, runs=2, warmups=0, control=False)
    timed = {model.name.removesuffix(" (without delegate)") for model in timings.models}
    assert timed == {path.stem for path in paths}
    assert [failure.name for failure in timings.failures] == [
        path.stem for path in paths if "rejects" in path.stem
    ]


def mutations(count, seed=0):
    """Yield copies of a file with one to three bytes replaced."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        content = np.frombuffer(GOOD, np.uint8).copy()
        places = random.integers(0, content.size, random.integers(1, 4))
        content[places] = random.integers(0, 256, places.size)
        yield content.tobytes()


def test_mutilated_files_never_stop_a_benchmark():
    models = {f"m{number}": content for number, content in enumerate(mutations(8, seed=1))}
    timings = benchmark({**models, "good": GOOD}, runs=2, warmups=0, timeout=10)
    rows = {m.name for m in timings.models if not m.control_of} | {f.name for f in timings.failures}
    assert rows >= {*models, "good"}
    assert len(timings["good"].times_ms) == 2


@pytest.mark.slow
def test_two_hundred_mutilated_files_cost_their_own_rows():
    named = {f"m{number}": (content, [IMAGE]) for number, content in enumerate(mutations(200))}
    halves = [dict(list(named.items())[first::2]) for first in (0, 1)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(lambda half: run({**half, "good": (GOOD, [IMAGE])}, timeout_s=10), halves)
        )
    for half, result in zip(halves, results, strict=True):
        assert len(result["models"]["good"]["times_ms"]) == 2
        failed = [failure["name"] for failure in result["failures"]]
        assert sorted([*failed, *result["models"]]) == sorted([*half, "good"])
        assert all(failure["message"] for failure in result["failures"])
