import pytest

from mobile.benchmarking import benchmark as room
from mobile.benchmarking.settings import Runtime, Schedule
from mobile.benchmarking.single_stream import single_stream
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, Timings


@pytest.fixture
def device(monkeypatch):
    """A benchmark on scripted times; returns the calls."""
    calls = []

    def benchmark(models, device="local", **options):
        (name,) = models
        calls.append((name, options))
        if name == "broken":
            raise RuntimeError("At least one model must run.")
        times = {"short": (1000.0,) * 3, "long": (10_000.0,) * 6}[name]
        answers = tuple(
            Timings(
                (ModelTimings(name, times, 1, 1),),
                Conditions(place, "x", "A CPU", "r", "1", 1, 6, 20),
                notes=("Hot.",),
            )
            for place in ([device] if isinstance(device, str) else device)
        )
        return answers[0] if isinstance(device, str) else answers

    monkeypatch.setattr(room, "benchmark", benchmark)
    return calls


def test_each_model_runs_alone_for_the_runs_and_seconds_of_mlperf(device):
    found = single_stream({"long": b"", "short": b""}, warmups=3)
    assert [name for name, _ in device] == ["long", "short"]
    assert {name: value for name, value in device[0][1].items() if value is not None} == {
        "schedule": Schedule(runs=1024, warmups=3, least_s=60.0, control=False),
        "runtime": Runtime(),
    }
    assert [m.name for m in found.models] == ["long", "short"]
    assert found.conditions.scenario == "single-stream"
    assert found.notes[0] == "Hot." and found.references == ()
    with pytest.raises(ValueError, match="each model alone"):
        found.ratio("long", "short")


def test_what_a_benchmark_takes_goes_on_to_it(device):
    images = object()
    found = single_stream(
        {"long": b""}, ["local"], images=images, tolerance=0.3, kernels="builtin", threads=2
    )
    assert isinstance(found, tuple)
    assert device[0][1]["images"] is images and device[0][1]["tolerance"] == 0.3
    assert device[0][1]["runtime"] == Runtime(kernels="builtin", threads=2)


def test_too_few_runs_or_seconds_are_told(device):
    # long: 6 runs of 10 s are 60 s; short: 3 runs of 1 s
    found = single_stream({"long": b"", "short": b""}, runs=5, least_s=60)
    assert [note.split()[0] for note in found.notes] == ["Hot.", "short"]
    assert "ran 3 times in 3.0 s" in found.notes[1]


def test_a_model_that_fails_costs_its_row_only(device):
    found = single_stream({"broken": b"", "long": b""}, runs=5)
    assert found.failures == (Failure("broken", "run", "At least one model must run."),)
    assert [m.name for m in found.models] == ["long"]
    with pytest.raises(RuntimeError, match="At least one"):
        single_stream({"broken": b""})


def test_several_devices_give_one_record_each(device):
    found = single_stream({"long": b"", "short": b""}, device=["local", "ssh:pi"])
    assert [t.conditions.device for t in found] == ["local", "ssh:pi"]
    assert all(len(t.models) == 2 for t in found)
