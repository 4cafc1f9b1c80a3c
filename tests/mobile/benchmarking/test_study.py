import numpy as np
import pytest

from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.study import wanted_outputs
from tests.mobile.benchmarking.conftest import SHARED
from tests.mobile.benchmarking.toy import forever
from tests.mobile.craft import between_convolutions


def test_lost_device_keeps_what_it_gave_and_counts_as_a_failure(toy, models):
    toy.lost_after = 3
    timings = benchmark(models, toy, runs=9, warmups=0)
    assert timings.conditions.runs == 3 == len(timings["add"].times_ms)
    (failure,) = timings.failures
    assert (failure.name, failure.stage) == ("toy", "hear the end of the job")
    assert failure.message == "the cable was cut"
    assert "Only 3 rounds of 9 were done." in timings.notes


def test_refused_file_is_named_and_timed_without_the_delegate():
    rejected = SHARED / "mobilenet_v3_small_ptq_xnnpack_rejects.tflite"
    if not rejected.exists():
        pytest.skip(f"{rejected} is not there")
    timings = benchmark({"bad": rejected, "good": between_convolutions("ADD")}, runs=2, warmups=0)
    plain = "bad (without delegate)"
    assert [model.name for model in timings.models] == [plain, "good", f"{plain} (again)"]
    assert timings.references == (plain,)
    (failure,) = timings.failures
    assert failure.name == "bad" and "failed to prepare" in failure.message
    assert "see 'bad (without delegate)'" in failure.message
    row = timings[plain]
    assert (row.kernels, row.partitions, row.output_error) == ("builtin", 0, 0)
    assert {m.name: m.fallback_of for m in timings.models if not m.control_of} == {
        plain: "bad",
        "good": None,
    }


def test_what_stands_in_for_a_refused_model_is_told_by_its_row_not_by_its_name(toy, models):
    """The device calls it as it likes; a user may call a model as the device would."""
    models = {"mul (without delegate)": models["mul"], "add": models["add"]}
    toy.renamed = {"add": "slow"}
    toy.rows["add"] = {"of": "add", "fallback_of": "add"}
    toy.seconds |= dict.fromkeys(("slow", "mul (without delegate)"), forever(0.001))
    timings = benchmark(models, toy, runs=2, reference="add", control=False)
    assert {m.name: m.fallback_of for m in timings.models} == {
        "mul (without delegate)": None,
        "slow": "add",
    }
    assert timings.references == ("slow",)


def test_more_threads_than_cores_are_noted(toy, models):
    toy.conditions["cores"] = 2
    notes = benchmark(models, toy, runs=2, threads=4).notes
    assert any("4 threads ran on 2 cores" in note for note in notes)


def test_disturbed_control_unpinned_process_and_governor_are_noted(toy, models):
    toy.seconds["add (again)"] = forever(0.003)
    toy.conditions |= {"pinned_cores": [], "governor": "powersave", "temperature_c": [40.0, 60.0]}
    notes = benchmark(models, toy, runs=9, warmups=0).notes
    assert "against itself gave 1.5" in notes[0] and "raise `runs` (now 9)" in notes[0]
    assert "not pinned" in notes[1] and "'powersave'" in notes[2] and "40 to 60" in notes[3]


def test_answer_that_does_not_repeat_is_noted(toy, models):
    toy.rows["mul"] = {"repeats": False}
    notes = benchmark(models, toy, runs=2).notes
    assert any(note.startswith("mul: the same input gave another output") for note in notes)


def test_device_that_shows_no_answers_is_noted_and_not_judged(toy, models):
    toy.says["mul"] = np.zeros_like
    toy.rows["mul"] = {"unseen": True}
    timings = benchmark(models, toy, runs=2)
    assert timings["mul"].output_error is None and not timings.failures
    assert any("mul: benchmark_model gives no outputs" in note for note in timings.notes)


def test_wanted_outputs_are_a_list_of_arrays():
    (one,) = wanted_outputs({"a": np.ones(2)}, "a")
    assert one.tolist() == [1, 1]
    assert len(wanted_outputs({"a": (np.ones(2), np.zeros(3))}, "a")) == 2
    with pytest.raises(ValueError, match="none for 'b'"):
        wanted_outputs({"a": np.ones(2)}, "b")
