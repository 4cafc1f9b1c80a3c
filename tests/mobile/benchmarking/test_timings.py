import dataclasses

import pytest

from mobile.benchmarking.timings import (
    Conditions,
    Failure,
    ModelTimings,
    Timings,
    require_comparable,
)

CONDITIONS = Conditions(
    device="local",
    machine="x86_64",
    cpu="A CPU",
    runtime="ai_edge_litert",
    runtime_version="2.3.0",
    threads=1,
    runs=4,
    warmups=2,
    pinned_cores=(1,),
)


def model(name, times, **kw):
    return ModelTimings(name, tuple(times), partitions=1, size_bytes=1_500_000, **kw)


@pytest.fixture
def timings():
    fast, slow = model("fast", [1.0, 1, 1, 1]), model("slow", [2.0, 2, 2, 2])
    twin = model("fast (again)", [1.0, 1, 1, 1], control_of="fast")
    failure = Failure("bad", "load", "RuntimeError: no")
    return Timings((fast, slow, twin), CONDITIONS, ("fast",), (failure,), ("It was warm.",))


def test_summary_comes_from_the_raw_times():
    m = model("m", range(1, 12))  # 1 to 11: position 10 p
    assert (m.median_ms, m.p90_ms, m.p99_ms) == pytest.approx((6, 10, 10.9))


def test_ratio_is_of_medians(timings):
    ratio = timings.ratio("slow", "fast")
    assert (ratio.value, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_models_that_ran_alone_have_no_ratio(timings):
    alone = dataclasses.replace(CONDITIONS, scenario="single-stream")
    stream = Timings(timings.models, alone)
    with pytest.raises(ValueError, match="each model alone"):
        stream.ratio("slow", "fast")
    assert "4 single-stream runs, at least, after 2 warm-ups" in str(stream)


def test_control_is_the_ratio_of_a_model_to_its_copy(timings):
    assert timings.control.name == "fast (again)"
    assert timings.control.value == 1.0
    assert Timings(timings.models[:2], CONDITIONS).control is None


def test_timings_go_to_json_and_back(timings):
    assert Timings.from_json(timings.to_json()) == timings
    said = timings.to_dict()
    assert said["models"][1]["median_ms"] == 2.0
    assert said["ratios"][0]["value"] == 2.0


def test_table_shows_times_ratio_failure_note_and_conditions(timings):
    lines = str(timings).splitlines()
    assert lines[0].split()[:3] == ["model", "p50", "ms"]
    slow = next(line for line in lines if line.startswith("slow"))
    assert "2.000 [2.000, 2.000]" in slow and "1.500" in slow
    assert "! bad failed to load: RuntimeError: no" in lines
    assert "! It was warm." in lines
    assert "local, A CPU, 1 thread pinned to core 1; ai_edge_litert 2.3.0" in str(timings)


def test_looking_up_a_failed_model_tells_why(timings):
    with pytest.raises(KeyError, match="RuntimeError: no"):
        timings["bad"]
    with pytest.raises(KeyError, match="one of"):
        timings["other"]


@pytest.mark.parametrize(
    "change", [{"runtime_version": "2.14.0"}, {"cpu": "Another"}, {"threads": 2}]
)
def test_results_of_different_runtimes_devices_or_threads_do_not_compare(timings, change):
    other = dataclasses.replace(timings, conditions=dataclasses.replace(CONDITIONS, **change))
    with pytest.raises(ValueError, match=next(iter(change))):
        require_comparable(timings, other)


def test_results_of_one_device_and_runtime_compare(timings):
    later = dataclasses.replace(CONDITIONS, started="later", load=(3.0,))
    require_comparable(timings, dataclasses.replace(timings, conditions=later))


def test_conditions_print_what_is_known():
    assert "runtime_version  2.3.0" in str(CONDITIONS)
    assert "governor" not in str(CONDITIONS)
