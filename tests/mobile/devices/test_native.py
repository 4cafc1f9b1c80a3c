"""A device without Python: a real daemon, and a script in the place of `adb`."""

import hashlib
import os
import pathlib
import shutil
import stat
import time

import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from mobile.devices import native
from tests.mobile.craft import between_convolutions

GOOD = between_convolutions("HARD_SWISH")
# A tool that "takes" a microsecond for each byte of the file.
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


ADB = """#!/bin/sh
# The shell and the disk of this machine.
case $1 in
    shell) shift; shift; exec sh -c "$*";;
    push) echo "$2" >> {log}; {push} "$2" "$3";;
esac
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """Return a maker of devices: `push` copies a file there, `without` names absent commands."""
    place = tmp_path / "data"
    place.mkdir()
    monkeypatch.setattr(native, "_PLACES", (str(tmp_path / "absent"), str(place)))
    tool = tmp_path / "benchmark_model"
    tool.write_text(TOOL.format(bad=-1))

    def make(push="cp", without=()):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "adb").write_text(ADB.format(log=tmp_path / "pushed", push=push))
        for name in without:
            (folder / name).write_text("#!/bin/sh\nexit 127\n")
        for path in folder.iterdir():
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        (tmp_path / "pushed").write_text("")
        make.device = native.NativeDevice(None, tool)
        return make.device

    make.folder = place / f"keras-se-{os.geteuid()}"
    make.pushed = lambda: len((tmp_path / "pushed").read_text().split())
    make.tool = tool
    return make


def job(*names, **more):
    models = [{"name": name, "file": "0.tflite"} for name in names]
    return {"job": "benchmark", "models": models, "runs": 10, "warmups": 0, **more}


FILES = {"0.tflite": GOOD}
NAME = hashlib.sha256(GOOD).hexdigest()


def test_rows_say_what_they_are_and_models_take_turns(phone):
    result = phone().run(job("a", "a (again)", control="a", kernels="builtin"), FILES).result
    rows = result["models"]
    assert {name: row["control_of"] for name, row in rows.items()} == {
        "a": None,
        "a (again)": None,
        "a (again, 2)": "a",
    }
    for row in rows.values():
        assert (row["fallback_of"], row["kernels"], row["unseen"]) == (None, "builtin", True)
        assert row["times_ms"] == pytest.approx([len(GOOD) / 1e3] * 10)


def test_files_are_sent_once_and_verified_before_they_run(phone):
    phone().run(job("a"), FILES)
    assert phone.pushed() == 2
    phone().run(job("a"), FILES)
    assert phone.pushed() == 0
    forged = phone.folder / hashlib.sha256(phone.tool.read_bytes()).hexdigest()
    size = forged.stat().st_size
    forged.write_bytes(b"#!/bin/sh\ntouch /nowhere\n".ljust(size))  # of the same size
    result = phone().run(job("a"), FILES).result
    assert phone.pushed() == 1 and not result["failures"]
    assert forged.read_bytes() == phone.tool.read_bytes()


def test_without_a_digest_tool_files_are_sent_again(phone):
    for _ in range(2):
        assert not phone(without=["sha256sum"]).run(job("a"), FILES).result["failures"]
        assert phone.pushed() == 2


def test_folder_is_the_users_alone(phone, tmp_path):
    phone().run(job("a"), FILES)
    assert stat.S_IMODE(phone.folder.stat().st_mode) == 0o700
    phone.folder.chmod(0o770)
    with pytest.raises(devices.AgentError, match=r"not this user's alone\. Remove"):
        phone().run(job("a"), FILES)
    phone.folder.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    phone.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(devices.AgentError, match=r"not this user's alone\. Remove"):
        phone().run(job("a"), FILES)


def test_full_disk_leaves_no_part_of_a_file(phone):
    half = 'cut() { head -c 100 "$1" > "$2"; echo no space >&2; exit 1; }; cut'
    with pytest.raises(devices.AgentError, match=r"take files.*no space\. Make") as caught:
        phone(push=half).run(job("a"), FILES)
    assert list(phone.folder.iterdir()) == []
    assert "no space" in caught.value.partial.result["error"]


def test_file_that_arrives_as_another_is_refused(phone):
    with pytest.raises(devices.AgentError, match="a file that is not the one sent"):
        phone(push='cut() { head -c 100 "$1" > "$2"; }; cut').run(job("a"), FILES)
    assert list(phone.folder.iterdir()) == []


def test_files_of_last_month_go_and_nothing_that_is_not_ours(phone):
    phone().run(job("a"), FILES)
    past = time.time() - 40 * 86400
    (phone.folder / "below").mkdir()
    others = [phone.folder / name for name in ("letter", f"{NAME}.txt", f"below/{NAME}")]
    halves = [phone.folder / name for name in (f"{NAME}.1a2b.part", f"{NAME}.part")]
    for path in (*others, *halves):
        path.write_text("")
    for path in phone.folder.rglob("*"):
        os.utime(path, (past, past))
    phone().run(job("a"), {"0.tflite": between_convolutions("ADD")})
    assert all(path.exists() for path in others)
    assert not any(path.exists() for path in (phone.folder / NAME, *halves))


def test_two_jobs_that_send_one_file_do_not_write_into_each_others(phone, tmp_path):
    log = tmp_path / "written"
    for _ in range(2):
        phone(push=f'put() {{ echo "$2" >> {log}; cp "$1" "$2"; }}; put', without=["sha256sum"])
        phone.device.run(job("a"), FILES)
    written = log.read_text().split()
    assert len(written) == 4 == len(set(written))


def test_connection_lost_while_a_file_is_sent_leaves_no_part_of_it(phone, monkeypatch):
    device, run = phone(), native.adb.run

    def lost(arguments, limit_s):
        done = run(arguments, limit_s)
        if "push" in arguments:
            raise devices.AgentError("adb took longer than 600 s", "connect")
        return done

    monkeypatch.setattr(native.adb, "run", lost)
    with pytest.raises(devices.AgentError, match="longer than 600 s"):
        device.run(job("a"), FILES)
    assert list(phone.folder.iterdir()) == []


def test_other_jobs_need_outputs_and_are_refused(phone):
    with pytest.raises(devices.AgentError, match="cannot predict: it gives no outputs"):
        phone().run({"job": "predict", "models": []}, {})


def test_without_adb_the_error_says_what_to_install(monkeypatch, tmp_path):
    tool = tmp_path / "tool"
    tool.touch()
    device = native.NativeDevice("1", tool)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(devices.AgentError, match="`adb` must be installed"):
        device.run({"job": "benchmark", "models": []}, {})


@pytest.mark.debian
def test_native_tool_is_pushed_run_and_read(adb_server, tmp_path):
    kept = pathlib.Path(f"/tmp/keras-se-{os.geteuid()}")
    was_there = kept.exists()
    models = {"a": GOOD, "b": between_convolutions("ADD"), "bad": between_convolutions("MEAN")}
    sizes = {name: len(content) for name, content in models.items()}
    tool = tmp_path / "it's a $tool"
    tool.write_text(TOOL.format(bad=sizes["bad"]))
    timings = benchmark(
        models,
        f"adb:{adb_server[0]}",
        runs=50,
        warmups=2,
        benchmark_model=tool,
        reference="a",
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
    if not was_there:
        shutil.rmtree(kept)
