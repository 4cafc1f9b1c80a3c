import pytest

from mobile.benchmarking import measurements
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, Timings


def timings(device="local", runtime="2.3.0", **kw):
    names = (device, "x86_64", "A CPU", "ai_edge_litert", runtime)
    conditions = Conditions(*names, threads=1, runs=2, warmups=1, **kw)
    return Timings((ModelTimings("a", (1.0, 2.0), 1, 1000),), conditions, ("a",))


def test_labels_tell_devices_threads_and_runtimes_apart():
    many = [
        timings(),
        timings("ssh:pi"),
        timings(runtime="2.14.0"),
        timings("ssh:pi"),
        timings(scenario="single-stream"),
        timings(model="Board 5"),
    ]
    merged = Measurements(tuple(Measurement(t) for t in many))
    assert [label for label, _ in merged.labelled] == [
        "local, 1 thread, A CPU, ai_edge_litert 2.3.0",
        "ssh:pi, 1 thread (1)",
        "local, 1 thread, A CPU, ai_edge_litert 2.14.0",
        "ssh:pi, 1 thread (2)",
        "local, 1 thread, single-stream",
        "local, 1 thread, Board 5",
    ]


def test_timings_become_measurements_and_measurements_stay():
    one, two = timings(), timings("ssh:pi")
    both = measurements.of([one, two])
    assert both == Measurements((Measurement(one), Measurement(two)))
    assert measurements.of(one) == Measurements((Measurement(one),))
    assert measurements.of(both) is both
    with pytest.raises(TypeError, match=r"mobile\.benchmark"):
        measurements.of(["text"])


def test_a_failure_anywhere_counts():
    failure = Failure("a", "load", "no")
    assert not measurements.of(timings()).failed
    assert Measurements(failures=(failure,)).failed
    assert measurements.of(Timings((), timings().conditions, failures=(failure,))).failed
