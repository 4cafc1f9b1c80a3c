import os

import numpy as np
import pytest

import mobile
from mobile import devices
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.timings import Timings
from mobile.tflite.artifact import Artifact, Preprocessing
from tests.mobile.benchmarking.toy import CONDITIONS, ToyDevice
from tests.mobile.craft import Craft, between_convolutions


def test_medians_and_ratio_come_from_the_devices_clock(toy, models):
    timings = benchmark(models, toy, runs=9, warmups=0)
    assert timings["add"].median_ms == pytest.approx(2.0)
    assert timings["mul"].times_ms == pytest.approx([4.0] * 9)
    assert timings.ratio("mul", "add").value == pytest.approx(2.0)
    assert timings.control.value == pytest.approx(1.0)
    assert timings.references == ("add",)


def test_conditions_say_device_runs_and_runtime(toy, models):
    conditions = benchmark(models, toy, runs=2, warmups=1).conditions
    assert (conditions.device, conditions.runs, conditions.warmups) == ("toy", 2, 1)
    assert (conditions.runtime, conditions.runtime_version) == ("toy_runtime", "1.0")


def test_several_references_each_have_a_column(toy, models):
    timings = benchmark(models, toy, runs=3, reference=("mul", "add"), control=False)
    assert "vs mul" in str(timings) and "vs add" in str(timings)
    assert len(timings.ratios) == 2


def test_unknown_reference_lists_the_models(toy, models):
    with pytest.raises(ValueError, match="Known: add, mul"):
        benchmark(models, toy, reference="sub")


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"threads": 0}, {"warmups": -1}, {"runs": 1.5}])
def test_counts_must_be_whole_and_positive(toy, models, wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be a whole number"):
        benchmark(models, toy, **wrong)


def test_no_models_is_an_error(toy):
    with pytest.raises(ValueError, match="At least one model"):
        benchmark({}, toy)


def test_models_in_a_list_are_named_after_scheme_or_file(toy, models, tmp_path):
    path = tmp_path / "mul.tflite"
    path.write_bytes(models["mul"])
    toy.seconds["int8"] = toy.seconds["add"]
    artifact = Artifact.from_content(models["add"], "int8")
    timings = benchmark([artifact, path], toy, runs=2, control=False)
    assert [model.name for model in timings.models] == ["int8", "mul"]


def test_model_that_kills_the_device_is_dropped_and_named(toy, models):
    toy.killers = ("mul",)
    timings = benchmark(models, toy, runs=2)
    assert [model.name for model in timings.models] == ["add", "add (again)"]
    (failure,) = timings.failures
    assert failure.name == "mul" and "SIGSEGV" in failure.message
    assert "! mul failed to run: the runtime was killed by SIGSEGV" in str(timings)


def test_expected_outputs_may_be_given(toy, models):
    image = np.zeros((1, 8, 8, 4), np.int8)
    right = {
        n: Artifact.from_content(m).restore(devices.predict(m, image)) for n, m in models.items()
    }
    artifacts = {n: Artifact.from_content(m, "int8") for n, m in models.items()}
    timings = benchmark(artifacts, toy, runs=1, images=np.zeros((2, 8, 8, 4)), expected=right)
    assert [model.output_error for model in timings.models] == [0, 0, 0]
    with pytest.raises(ValueError, match="none for 'mul'"):
        benchmark(artifacts, toy, runs=1, expected={"add": right["add"]})


def test_all_failed_is_an_error_that_says_why(toy, models):
    toy.killers = ("mul", "add")
    with pytest.raises(RuntimeError, match=r"add failed to run.*SIGSEGV"):
        benchmark(models, toy)


def test_local_device_times_real_files():
    preprocessing = Preprocessing((1 / 255,), (0.0,))
    models = {
        "float": Artifact.from_content(between_convolutions("ADD", "float32"), "float32"),
        "int8": Artifact.from_content(between_convolutions("ADD"), "int8", preprocessing),
    }
    timings = benchmark(models, runs=4, warmups=1)
    assert len(timings["int8"].times_ms) == 4
    assert timings["int8"].partitions == 1
    assert timings["float"].output_error < 1e-3
    assert Timings.from_json(timings.to_json()) == timings


def test_whatever_is_no_model_costs_its_own_row(tmp_path):
    picture = tmp_path / "picture.tflite"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    good = between_convolutions("ADD")
    models = {
        "empty": b"",
        "picture": picture,
        "folder": tmp_path,
        "absent": tmp_path / "absent",
        "cut": good[: len(good) // 2],
        "good": good,
    }
    timings = benchmark(models, runs=2, warmups=0)
    assert [model.name for model in timings.models] == ["good", "good (again)"]
    assert timings.references == ("good",)
    assert {f.name for f in timings.failures} == set(models) - {"good"}
    assert all(f.message for f in timings.failures)


@pytest.mark.parametrize("wrong", [{"kernels": "fast"}, {"timeout": 0}, {"budget_s": -1.0}])
def test_options_that_no_run_can_have_are_refused(toy, models, wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be .*Leave it out"):
        benchmark(models, toy, **wrong)


def test_several_devices_and_threads_give_a_result_each(toy, models):
    other = ToyDevice(toy.seconds, dict(CONDITIONS), name="other", lost_after=0)
    results = benchmark(models, [toy, other], threads=(1, 2), runs=2, control=False)
    assert [(t.conditions.device, t.conditions.threads) for t in results] == [
        ("toy", 1),
        ("toy", 2),
        ("other", 1),
        ("other", 2),
    ]
    assert len(results[1].models) == 2 and results[2].models == ()
    assert results[2].failures[0].name == "other"
    assert "! other failed to hear the end" in str(results[2])


def test_several_inputs_and_outputs_of_any_dtype():
    c = Craft("float32")
    a, b = c.tensor((2, 3), "a"), c.tensor((3,), "b")
    i = c.tensor((2,), "i", dtype="int32")
    outputs = [c.op("ADD", [a, b], (2, 3), {}), c.op("ABS", [i], (2,), dtype="int32")]
    timings = benchmark({"two": c.build([a, b, i], outputs)}, runs=2, warmups=0, control=False)
    assert timings["two"].output_error == 0 and timings["two"].output_lsb is None


def test_budget_runtime_and_shape_reach_the_device(toy, models):
    benchmark(
        {"add": models["add"]}, toy, runs=2, budget_s=3, least_s=0.001, runtime="r", timeout=7
    )
    asked = {key: toy.job[key] for key in ("budget_s", "least_s", "runtime", "timeout_s")}
    assert asked == {"budget_s": 3, "least_s": 0.001, "runtime": "r", "timeout_s": 7}


def test_records_and_their_fields_say_the_same(toy, models):
    schedule = mobile.Schedule(runs=3, warmups=4, budget_s=5.0, timeout=6, control=False)
    benchmark(models, toy, schedule=schedule, runtime=mobile.Runtime("r", "builtin", 2, (0, 1)))
    first = toy.job
    fields = {"runs": 3, "warmups": 4, "budget_s": 5.0, "timeout": 6, "control": False}
    fields |= {"runtime": "r", "kernels": "builtin", "threads": 2, "cores": (0, 1)}
    benchmark(models, toy, **fields)
    assert first == toy.job
    assert (first["runs"], first["warmups"], first["kernels"]) == (3, 4, "builtin")
    assert (first["threads"], first["cores"], first["control"]) == (2, [0, 1], None)


def test_two_hundred_rounds_after_twenty_are_the_default(toy, models):
    toy.lost_after = 1
    benchmark(models, toy)
    assert (toy.job["runs"], toy.job["warmups"]) == (200, 20)


def test_unknown_setting_names_the_nearest(toy, models):
    with pytest.raises(TypeError, match="Did you mean 'warmups'"):
        benchmark(models, toy, warmup=3)


@pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf")])
def test_tolerance_must_be_a_number(toy, models, tolerance):
    with pytest.raises(ValueError, match="`tolerance` must be a number from 0"):
        benchmark(models, toy, tolerance=tolerance)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_cost_their_rows(toy, models, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    named = {"pipe": tmp_path / "pipe", "zero": "/dev/zero", **models}
    timings = benchmark(named, toy, runs=2, reference="add")
    assert [f.name for f in timings.failures] == ["pipe", "zero"]
    assert all("regular file" in f.message for f in timings.failures)


def test_advice_goes_by_why_nothing_ran(toy, models):
    toy.killers = ("add", "mul")
    with pytest.raises(RuntimeError, match="`keras-se lint` says what a runtime refuses"):
        benchmark(models, toy)
    with pytest.raises(RuntimeError, match=r"Name a \.tflite file in it\.?$"):
        benchmark({"folder": "/"}, toy)
