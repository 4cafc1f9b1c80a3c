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
    assert "single-stream: each model alone, 4 runs or more, after 2 warm-ups." in str(stream)
    assert stream.ratios == () and stream.control is None


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
    assert timings.where in lines


def test_one_sentence_tells_the_conditions(timings):
    assert timings.where == (
        "local, A CPU, x86_64; 1 thread on core 1; ai_edge_litert 2.3.0; 4 interleaved runs each, "
        "after 2 warm-ups; the same file twice: 1.000 [1.000, 1.000]."
    )
    many = dataclasses.replace(
        CONDITIONS,
        model="Board 5",
        cores=4,
        threads=2,
        pinned_cores=(),
        kernels="builtin",
        scenario="single-stream",
        runs=1024,
        started="2026-01-02T03:04:05",
    )
    assert many.sentence() == (
        "local, Board 5, A CPU, x86_64; 4 cores, 2 threads, not pinned; ai_edge_litert 2.3.0, "
        "builtin kernels; single-stream: each model alone, 1,024 runs or more, after 2 warm-ups; "
        "2026-01-02."
    )
    assert many.label == "local, 2 threads, builtin kernels, single-stream"


def test_what_would_steer_a_terminal_is_written_out():
    evil = model("\x1b[2Jred\nrow", [1.0])
    lines = str(Timings((evil,), CONDITIONS, notes=("\x1b]0;title\a",))).splitlines()
    assert lines[1].startswith(r"\x1b[2Jred\nrow  ")
    assert r"! \x1b]0;title\x07" in lines


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"references": ("gone",)}, "'gone' in `references`"),
        ({"models": (model("a", [1.0, 2.0]), model("b", [1.0]))}, "from 1 to 2 `times_ms`"),
        ({"models": (model("a", [1.0]),) * 2}, "twice 'a'"),
    ],
)
def test_times_that_cannot_be_compared_are_refused(timings, change, advice):
    with pytest.raises(ValueError, match=advice):
        dataclasses.replace(timings, **{"references": (), **change})


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
