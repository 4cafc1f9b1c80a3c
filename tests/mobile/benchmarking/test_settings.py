import math

import pytest

import mobile
from mobile.benchmarking.settings import SINGLE_STREAM, Runtime, Schedule, combined


def test_defaults_are_the_same_in_python_and_on_the_command_line():
    assert (Schedule().runs, Schedule().warmups) == (200, 20)
    assert (SINGLE_STREAM.runs, SINGLE_STREAM.least_s, SINGLE_STREAM.control) == (1024, 60, False)
    assert mobile.Schedule is Schedule and mobile.Runtime is Runtime


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": 0},
        {"runs": 1.5},
        {"runs": True},
        {"warmups": -1},
        {"timeout": 0},
        {"timeout": math.nan},
        {"budget_s": -1.0},
        {"budget_s": math.inf},
        {"least_s": -1},
        {"least_s": "3"},
    ],
)
def test_a_number_that_no_run_can_have_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}=.*Leave it out"):
        Schedule(**wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kernels": "fast"}, "default, builtin, reference.*Leave it out"),
        ({"threads": 0}, "`threads` must be a whole number, at least 1"),
        ({"threads": ()}, "one number, or several that differ"),
        ({"threads": (1, 1)}, "one number, or several that differ"),
        ({"threads": "2"}, "`threads` must be a whole number"),
        ({"cores": ()}, "at least one core"),
        ({"cores": (-1,)}, "`cores` must be a whole number, at least 0"),
    ],
)
def test_a_runtime_that_cannot_be_is_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        Runtime(**wrong)


def test_kinds_are_checked():
    with pytest.raises(TypeError, match="Known: ai_edge_litert, tflite_runtime, tensorflow"):
        Runtime(name=3)
    with pytest.raises(TypeError, match="`control` must be True or False"):
        Schedule(control="add")
    with pytest.raises(TypeError, match=r"must be a mobile\.Schedule"):
        combined(9, None, {})


def test_threads_are_one_number_or_several():
    assert Runtime(threads=2).counts == (2,)
    assert Runtime(threads=[1, 4]).counts == (1, 4)


def test_fields_go_to_the_record_that_has_them():
    schedule, runtime = combined(
        Schedule(runs=7, warmups=3), Runtime("tensorflow"), {"runs": 9, "threads": 2}
    )
    assert schedule == Schedule(runs=9, warmups=3)
    assert runtime == Runtime("tensorflow", threads=2)
    assert combined(Schedule(), "tflite_runtime", {})[1] == Runtime("tflite_runtime")
    assert combined(Schedule(), None, {})[1] == Runtime()


def test_unknown_field_names_the_nearest():
    with pytest.raises(TypeError, match=r"Did you mean 'warmups'.*budget_s"):
        combined(Schedule(), None, {"warmup": 3})
    with pytest.raises(TypeError, match=r"Received: 'name'\."):
        combined(Schedule(), None, {"name": "x"})
