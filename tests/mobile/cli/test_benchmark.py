import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mobile.analysis.vela
import mobile.benchmarking.benchmark
from mobile import cli
from mobile.analysis.vela import Estimate
from mobile.benchmarking.settings import SINGLE_STREAM, Runtime, Schedule
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, Timings
from mobile.cli.benchmark import named_files
from mobile.reporting import files as results
from tests.mobile.craft import between_convolutions


def _run(*arguments):
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code
    raise AssertionError("main must exit")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two files and the folder that they are in, which is the present one."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.tflite").write_bytes(between_convolutions("ADD"))
    return tmp_path


class Calls(list):
    lost = False


@pytest.fixture
def device(monkeypatch):
    """A benchmark that gives 1 ms to the first model, 2 to the second; returns the calls."""
    calls = Calls()

    def benchmark(models, device, **options):
        options = {"device": device, **options}
        calls.append((dict(models), options))
        answers = []
        for place in options["device"]:
            for threads in options["runtime"].counts:
                timed = tuple(
                    ModelTimings(name, (float(i + 1),) * 4, 1, 1000)
                    for i, name in enumerate(models)
                    if name != "broken"
                )
                failures = (Failure("broken", "load", "it is"),) * ("broken" in models)
                lost = Failure(place, "hear the end of the job", "the cable was cut")
                failures += (lost,) * calls.lost
                conditions = Conditions(place, "x", "A CPU", "r", "1", threads, 4, 2)
                reference = options.get("reference")
                answers.append(Timings(timed, conditions, (reference,) * bool(reference), failures))
        return tuple(answers)

    monkeypatch.setattr(mobile.benchmarking.benchmark, "benchmark", benchmark)
    return calls


def test_benchmark_prints_a_table_and_writes_every_export(files, device, capsys):
    exports = ("--export-json", "r.json", "--export-markdown", "r.md", "--export-csv", "r.csv")
    assert _run("benchmark", "a.tflite", "b.tflite", *exports, "--html", "r.html") == 0
    out = capsys.readouterr().out
    assert "2.000 [2.000, 2.000]" in out and "ratio: to a" in out
    found = results.read(files / "r.json")
    assert found.measurements[0].timings["b"].median_ms == 2
    assert "| b | 2.00 |" in (files / "r.md").read_text()
    assert "measured,local" in (files / "r.csv").read_text()
    assert "<h2>local, 1 thread</h2>" in (files / "r.html").read_text()


def test_devices_threads_and_the_rest_reach_the_benchmark(files, device):
    options = ("--device", "local", "--device", "ssh:pi", "--threads", "1,2", "--runs", 60)
    options += ("--budget-s", 5, "--runtime", "tensorflow", "--timeout", 9, "--python", "py")
    options += ("--shape", "x=1,8,8,3", "--kernels", "builtin", "--warmups", 30)
    options += ("--benchmark-model", "bm", "--reference", "b.tflite")
    assert _run("benchmark", "a.tflite", "b.tflite", *options) == 0
    ((models, given),) = device
    assert {name: str(path) for name, path in models.items()} == {"a": "a.tflite", "b": "b.tflite"}
    assert given == {
        "device": ["local", "ssh:pi"],
        "schedule": Schedule(runs=60, warmups=30, budget_s=5, timeout=9),
        "runtime": Runtime("tensorflow", "builtin", (1, 2), None, "py", Path("bm")),
        "shape": {"x": (1, 8, 8, 3)},
        "reference": "b",
    }


def test_defaults_are_those_of_python(files, device):
    assert _run("benchmark", "a.tflite") == 0
    ((_, given),) = device
    assert given["schedule"] == Schedule() and given["runtime"] == Runtime(threads=(1,))


def test_a_failed_model_has_its_line_and_the_status_is_1(files, device, capsys):
    (files / "broken.tflite").write_bytes(b"")
    assert _run("benchmark", "a.tflite", "broken.tflite", "--export-json", "r.json") == 1
    assert "! broken failed to load: it is" in capsys.readouterr().out
    assert results.read(files / "r.json").failed


def test_files_are_named_by_as_much_of_their_path_as_tells_them_apart(tmp_path):
    files = [tmp_path / name for name in ("x/int8.tflite", "y/int8.tflite", "y/float32.tflite")]
    named, reference = named_files(files)
    assert list(named) == ["x/int8", "y/int8", "float32"]
    assert reference == "x/int8"
    assert named_files(files, "float32")[1] == "float32"
    (tmp_path / "z.tflite").write_bytes(b"")
    named, reference = named_files(files, tmp_path / "z.tflite")
    assert (reference, next(iter(named))) == ("z", "z")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("a.tflite", "./a.tflite"), "each file must be given once"),
        (("a.tflite", "--reference", "c.tflite"), "known: a"),
        (("a.tflite", "--threads", "1,x"), "pass --threads 1,2,4"),
        (("a.tflite", "--threads", "0"), "pass --threads 1,2,4"),
        (("a.tflite", "--runs", "0"), "`runs` must be a whole number"),
        (("a.tflite", "--kernels", "fast"), "default, builtin, reference"),
        (("a.tflite", "--timeout", "nan"), "`timeout` must be a number of seconds"),
        (("a.tflite", "--shape", "1,-2"), "pass --shape"),
        (("a.tflite", "--shape", "1,2", "--shape", "1,2"), "name=shape"),
        (("a.tflite", "--scenario", "server"), "single-stream"),
        (("a.tflite", "--network", "mobilenet_v2"), "--compare"),
        (("mobile", "server", "--compare"), "--network mobilenet_v3_small"),
        (("a.tflite", "--estimate", "ethos-u99"), "ethos-u55-256"),
        (("a.tflite", "--nothing"), "benchmark --help"),
        (("a.tflite", "--export-json", "."), "must not be a folder"),
        (("a.tflite", "--export-json", "a.tflite"), "--overwrite"),
        (("a.tflite", "--export-json", "/proc/nothing/r.json"), "where you may write"),
        (("a.tflite", "--export-json", "r", "--html", "./r"), "file of its own"),
    ],
)
def test_bad_call_is_one_line_and_times_nothing(files, device, capsys, arguments, advice):
    before = sorted(files.iterdir())
    assert _run("benchmark", *arguments) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert advice in said.err.lower()
    assert not device
    assert sorted(files.iterdir()) == before


def test_table_is_shown_even_where_an_export_fails(files, device, capsys, monkeypatch):
    def full(path, content):
        raise OSError("No space left on device")

    monkeypatch.setattr("mobile.reporting.report.write_file", full)
    assert _run("benchmark", "a.tflite", "--export-json", "r.json") == 1
    said = capsys.readouterr()
    assert "p50 ms" in said.out and "No space left" in said.err


def test_connection_that_was_lost_is_a_failure_without_a_tick(files, device, capsys):
    device.lost = True
    assert _run("benchmark", "a.tflite", "b.tflite", "--export-json", "r.json") == 1
    said = capsys.readouterr()
    assert "! local failed to hear the end of the job: the cable was cut" in said.out
    assert "time 2 models on local" in said.err and "✓" not in said.err
    device.lost = False
    assert _run("benchmark", "a.tflite") == 0
    assert "✓ time 1 model on local" in capsys.readouterr().err


def test_single_stream_asks_for_each_model_alone(files, device, capsys):
    assert _run("benchmark", "a.tflite", "b.tflite", "--scenario", "single-stream") == 0
    assert [list(models) for models, _ in device] == [["a"], ["b"]]
    assert device[0][1]["schedule"] == SINGLE_STREAM
    out = capsys.readouterr().out
    assert "single-stream" in out and "p90 is the figure of merit" in out
    assert "a ran 4 times in 0.0 s" in " ".join(out.split())


def test_estimate_alone_measures_nothing(files, device, capsys, monkeypatch):
    def estimate(model, accelerator, name):
        if name == "b" and accelerator.endswith("512"):
            raise ValueError("Vela must compile the file.")
        return Estimate(name, accelerator, 8.12, 4_060_000, 500.0, 2048, 0, 4096, 8192, 50, 9)

    monkeypatch.setattr(mobile.analysis.vela, "estimate", estimate)
    monkeypatch.setattr(mobile.analysis.vela, "check", lambda accelerator: None)
    arguments = ("a.tflite", "--estimate", "ethos-u55-256", "--estimate", "ethos-u65-512")
    assert _run("benchmark", *arguments, "--export-json", "r.json") == 0
    assert not device
    assert "Estimates, no measurement" in capsys.readouterr().out
    found = results.read(files / "r.json")
    assert [e.accelerator for e in found.estimates] == ["ethos-u55-256", "ethos-u65-512"]
    assert _run("benchmark", *arguments, "--device", "local") == 0
    assert len(device) == 1
    capsys.readouterr()
    assert _run("benchmark", *arguments, "b.tflite") == 1
    assert "! b failed to estimate on ethos-u65-512: Vela must" in capsys.readouterr().out


def test_report_merges_devices_and_keeps_what_is_there(files, device, capsys):
    for place, name in (("local", "r1.json"), ("ssh:pi", "r2.json")):
        arguments = ("a.tflite", "b.tflite", "--device", place)
        assert _run("benchmark", *arguments, "--export-json", name) == 0
    capsys.readouterr()
    assert _run("report", "r1.json", "r2.json") == 0
    out = capsys.readouterr().out
    assert "Times over those of a, each within its own device" in out
    page = (files / "report" / "report.html").read_text()
    assert page.count("<img") == 2
    assert _run("report", "r1.json") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert _run("report", "r1.json", "--overwrite", "--reference", "b") == 0
    assert "0.500 [0.500, 0.500]" in capsys.readouterr().out
    assert _run("report", "r1.json", "--output", "other", "--reference", "c") == 1
    assert "Known: a, b" in capsys.readouterr().err
    (files / "bad.json").write_text(json.dumps({"some": "thing"}))
    assert _run("report", "bad.json", "--output", "other") == 1
    assert "bad.json" in capsys.readouterr().err
    assert not (files / "other").exists()


@pytest.mark.slow
def test_compare_builds_configurations_and_says_they_are_untrained(files, device, capsys):
    random = np.random.default_rng(0)
    (files / "photos").mkdir()
    for i in range(12):
        pixels = np.repeat(np.repeat(random.integers(0, 256, (4, 4, 3), np.uint8), 8, 0), 8, 1)
        Image.fromarray(pixels).save(files / "photos" / f"{i}.png")
    options = ("--network", "mobilenet_v3_small", "--size", 32, "--data", "photos")
    assert _run("benchmark", "--compare", "mobile", "none", *options, "--export-json", "r") == 0
    ((models, given),) = device
    assert given["reference"] == "mobile"
    assert {artifact.scheme for artifact in models.values()} == {"int8"}
    names = [set(artifact.operators) for artifact in models.values()]
    assert any("MEAN" in name for name in names[0])
    out = " ".join(capsys.readouterr().out.split())
    assert "mobilenet_v3_small, 32x32, int8: local, 1 thread" in out
    assert "The weights are random, with the BatchNorm statistics of 12 images of photos" in out
    assert "only the latency means anything" in out
    mobile_one, none = results.read(files / "r").measurements[0].configurations
    assert mobile_one.se.startswith("cse, reduction 32") and none.se == "none"
    assert mobile_one.params > none.params
    assert _run("benchmark", "--compare", "mobile", "huge", *options) == 1
    assert "default, none, paper" in capsys.readouterr().err
