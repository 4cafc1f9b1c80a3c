"""Networks against one another by several copies, on times written by hand."""

import math

import pytest
import scipy.stats

from mobile.benchmarking.timings import Failure, ModelTimings, Timings
from mobile.tuning.copies import copied, milliseconds, ratio_of, reason
from tests.mobile.tuning.profiles import CONDITIONS


def timings(failures=(), **medians):
    """Each network's copies take these milliseconds, in three rounds."""
    models = tuple(
        ModelTimings(f"{name} {i}", (ms, ms, ms), 1, 10)
        for name, each in medians.items()
        for i, ms in enumerate(each)
        if ms is not None
    )
    return Timings(models, CONDITIONS, failures=failures)


def test_copies_are_loaded_in_turn():
    assert copied({"a": ["x", "y"], "b c": ["z"]}) == {"a 0": "x", "b c 0": "z", "a 1": "y"}
    assert list(copied({"a": "12", "b": "34"})) == ["a 0", "b 0", "a 1", "b 1"]


def test_a_ratio_is_the_mean_over_copies_with_students_interval():
    found = ratio_of(timings(a=[2.0, 2.2, 2.1], b=[1.0, 1.0, 1.0]), "a", "b")
    logs = [math.log(each) for each in (2.0, 2.2, 2.1)]
    mean = sum(logs) / 3
    low, high = scipy.stats.t.interval(0.95, 2, loc=mean, scale=scipy.stats.sem(logs))
    assert (found.name, found.reference) == ("a", "b")
    assert found.value == pytest.approx((2.0 * 2.2 * 2.1) ** (1 / 3))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)), rel=1e-3)


def test_a_slow_place_in_memory_widens_the_interval():
    ratio = ratio_of(timings(a=[1.04, 1.12, 1.04], b=[1.0, 1.0, 1.0]), "a", "b")
    assert ratio.low < 1.04 < ratio.value < 1.12 < ratio.high


def test_copies_are_paired_by_number():
    ratio = ratio_of(timings(a=[2.0, 9.0, 4.0], b=[1.0, None, 2.0]), "a", "b")
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_of_one_copy_the_rounds_tell():
    models = (
        ModelTimings("a 0", (2.0, 4.0, 6.0), 1, 10),
        ModelTimings("b 0", (1.0, 2.0, 3.0), 1, 10),
    )
    ratio = ratio_of(Timings(models, CONDITIONS), "a", "b")
    assert (ratio.name, ratio.value, ratio.low, ratio.high) == ("a", 2.0, 2.0, 2.0)


def test_a_time_is_the_mean_over_copies():
    assert milliseconds(timings(a=[1.0, 4.0]), "a") == pytest.approx(2.0)


def test_a_second_copy_of_the_benchmarks_own_is_none_of_ours():
    again = ModelTimings("a 7", (99.0,) * 3, 1, 10, control_of="a 0")
    told = Timings((*timings(a=[1.0, 4.0]).models, again), CONDITIONS)
    assert milliseconds(told, "a") == pytest.approx(2.0)


def test_a_network_that_did_not_run_is_named_with_the_reason():
    refused = timings((Failure("b 0", "load", "no such operator."),), a=[1.0])
    for pair in (("a", "b"), ("b", "a")):
        with pytest.raises(RuntimeError, match=r"Received: no such operator\. Choose another"):
            ratio_of(refused, *pair)
    with pytest.raises(RuntimeError, match="no such operator"):
        milliseconds(refused, "b")


def test_why_a_file_gave_no_times():
    alone = ModelTimings("a (without delegate)", (1.0,), 1, 10, fallback_of="a")
    assert reason(Timings((alone,), CONDITIONS), "a") == "the delegate refused 'a'."
    lost = Timings((), CONDITIONS, failures=(Failure("local", "time", "cable pulled."),))
    assert reason(lost, "a") == "cable pulled."
    assert reason(Timings((), CONDITIONS), "a") == "'a' gave no times."
