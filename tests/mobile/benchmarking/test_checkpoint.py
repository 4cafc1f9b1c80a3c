import tempfile

import pytest

from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.checkpoint import Keeping
from mobile.reporting import files
from tests.mobile.benchmarking.toy import CONDITIONS, ToyDevice


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def answer(*times_ms):
    rows = {name: {"times_ms": list(times)} for name, times in zip("abc", times_ms, strict=False)}
    return devices.Answer({"models": rows}, {})


def test_device_lost_before_any_round_leaves_no_file(toy, models, temporary):
    toy.lost_after = 0
    with pytest.raises(devices.AgentError, match="the cable was cut") as caught:
        benchmark(models, toy, runs=9, warmups=0)
    assert not getattr(caught.value, "__notes__", [])
    assert not list(temporary.glob("*.json"))


def test_all_devices_lost_before_any_round_leave_no_file(toy, models, temporary):
    toy.lost_after = 0
    other = ToyDevice(toy.seconds, dict(CONDITIONS), name="other", lost_after=0)
    with pytest.raises(RuntimeError, match="toy failed to hear the end of the job: the cable"):
        benchmark(models, [toy, other], runs=9, warmups=0)
    assert not list(temporary.glob("*.json"))


def test_error_after_some_rounds_names_a_file_that_report_reads(toy, models, temporary):
    toy.end = OSError("no space left")
    with pytest.raises(OSError, match="no space left") as caught:
        benchmark(models, toy, runs=9, warmups=0)
    (note,) = caught.value.__notes__
    (path,) = temporary.glob("*.json")
    assert note == f"What was measured before is in {path}, which `keras-se report` reads."
    (found,) = files.read(path).measurements
    assert len(found.timings["add"].times_ms) == 9


@pytest.mark.parametrize("several", [False, True])
def test_interrupt_keeps_what_was_timed_for_a_report(toy, models, temporary, several):
    toy.end = KeyboardInterrupt
    other = ToyDevice(toy.seconds, dict(CONDITIONS), name="other")
    with pytest.raises(KeyboardInterrupt, match=r"interrupted\. .*`keras-se report` reads") as said:
        benchmark(models, [other, toy] if several else toy, runs=9, warmups=0)
    (path,) = temporary.glob("*.json")
    assert str(path) in str(said.value)
    found = files.read(path).measurements
    assert {one.timings.conditions.device for one in found} >= {"toy"}
    (timings,) = (one.timings for one in found if one.timings.conditions.device == "toy")
    assert len(timings["add"].times_ms) == 9
    assert any("interrupted" in failure.message for failure in timings.failures)


def test_interrupt_before_any_time_leaves_nothing(toy, models, temporary):
    toy.end, toy.seconds, toy.killers = KeyboardInterrupt, {}, tuple(models)
    with pytest.raises(KeyboardInterrupt, match="before any model was timed"):
        benchmark(models, toy, runs=9, warmups=0)
    assert not list(temporary.glob("*.json"))


def test_what_is_known_lies_on_disk_until_all_is_done(toy, temporary):
    with Keeping(read=None) as keep:
        part = keep.part(toy, {})
        part(devices.Answer({}, {}))
        assert not list(temporary.glob("*.json"))  # nothing is known yet
        part(answer([1.0]))
        part(answer([1.0, 2.0]))
        (path,) = temporary.glob("*.json")
        assert "[1.0, 2.0]" in path.read_text()
        assert path.name.startswith("keras-se-toy-")
    assert not list(temporary.glob("*.json"))


def test_a_thread_that_goes_on_after_an_interrupt_writes_no_more(toy, temporary):
    with pytest.raises(KeyboardInterrupt), Keeping(read=None) as keep:
        part = keep.part(toy, {})
        raise KeyboardInterrupt
    part(answer([1.0]))
    assert not list(temporary.glob("*.json"))
