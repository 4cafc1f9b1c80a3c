import io
import pathlib
import tempfile
from dataclasses import dataclass

import numpy as np
import pytest

from mobile import devices
from mobile.benchmarking.answers import output_error
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.timings import Timings
from mobile.devices import agent
from mobile.reporting import files
from mobile.tflite.artifact import Artifact, Preprocessing
from tests.mobile.craft import Craft, between_convolutions

SHARED = pathlib.Path(__file__).parents[4] / "shared" / "data" / "tflite"
CONDITIONS = {
    "machine": "toy",
    "cpu": "Toy 1",
    "runtime": "toy_runtime",
    "runtime_version": "1.0",
    "pinned_cores": [0],
    "system": "toy",
    "python": "3",
    "numpy": "2",
    "governor": None,
    "started": "now",
    "load": [],
    "frequency_mhz": [],
    "temperature_c": [],
}


class Clock:
    """A clock that what it times moves on."""

    now = 0.0

    def __call__(self):
        return self.now

    def taking(self, seconds):
        def invoke():
            self.now += next(seconds)

        return invoke


@dataclass
class ToyDevice:
    """Runs predictions truly, but makes up the times: `seconds` of each model's turns in order."""

    seconds: dict
    conditions: dict
    killers: tuple = ()
    wrong: tuple = ()
    off_by: int = 0
    lost_after: int | None = None
    name: str = "toy"
    end: type | None = None

    def run(self, job, files, update=None):
        self.job = job
        conditions = {"models": {}, "failures": [], "conditions": self.conditions, "error": None}
        found, arrays = conditions["models"], {}
        for number, model in enumerate(job["models"]):
            name = model["name"]
            if name in self.killers:
                reason = "the runtime was killed by SIGSEGV"
                conditions["failures"].append({"name": name, "stage": "run", "message": reason})
                continue
            inputs = [np.load(io.BytesIO(files[name])) for name in model["inputs"]]
            (output,) = devices.predict(files[model["file"]], inputs)
            if name in self.wrong:
                output = output[..., ::-1] * 0
            output = output + np.int8(self.off_by)
            buffer = io.BytesIO()
            np.save(buffer, output)
            arrays[f"{number}.npy"] = buffer.getvalue()
            found[name] = {
                "of": name,
                "kernels": "default",
                "partitions": 1,
                "delegates": None,
                "load_ms": 1.0,
                "first_ms": 2.0,
                "outputs": {"0": f"{number}.npy"},
            }
        if job["control"] in found:
            twin = f"{job['control']} (again)"
            found[twin] = {**found[job["control"]], "control_of": job["control"]}
        clock = Clock()
        invokes = {name: clock.taking(self.seconds[name]) for name in found}
        times = agent.interleave(invokes, job["runs"], job["warmups"], clock) if found else {}
        for name, times_ms in times.items():
            found[name]["times_ms"] = times_ms
        answer = devices.Answer(conditions, arrays)
        if update:
            update(answer)
        if self.end:
            raise self.end
        if self.lost_after is not None:
            for row in found.values():
                del row["times_ms"][self.lost_after :]
            raise devices.AgentError("the cable was cut", "hear the end of the job", None, answer)
        return answer


def forever(*seconds):
    while True:
        yield from seconds


@pytest.fixture
def toy():
    seconds = {
        "add": forever(0.001, 0.003, 0.002),
        "mul": forever(0.004),
        "add (again)": forever(0.001, 0.003, 0.002),
    }
    return ToyDevice(seconds, dict(CONDITIONS))


@pytest.fixture(scope="module")
def models():
    return {"add": between_convolutions("ADD"), "mul": between_convolutions("MUL")}


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


def test_wrong_answer_is_never_timed(toy, models):
    toy.wrong = ("mul",)
    timings = benchmark(models, toy, runs=2)
    assert [failure.name for failure in timings.failures] == ["mul"]
    assert "must lie within 5.00%" in timings.failures[0].message


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


def test_disturbed_control_unpinned_process_and_governor_are_noted(toy, models):
    toy.seconds["add (again)"] = forever(0.003)
    toy.conditions |= {"pinned_cores": [], "governor": "powersave", "temperature_c": [40.0, 60.0]}
    notes = benchmark(models, toy, runs=9, warmups=0).notes
    assert "against itself gave 1.5" in notes[0] and "raise `runs` (now 9)" in notes[0]
    assert "not pinned" in notes[1] and "'powersave'" in notes[2] and "40 to 60" in notes[3]


def test_output_error_is_the_mean_difference_over_the_span():
    want = [np.array([0.0, 10.0]), np.array([0.0, 1.0])]
    got = [np.array([0.0, 9.0]), np.array([0.5, 1.0])]
    # (0 + 1) / 2 / 10 = 0.05 and (0.5 + 0) / 2 / 1 = 0.25
    assert output_error(got, want) == 0.25
    assert output_error([np.zeros((2, 1))], [np.zeros(2)]) == float("inf")


@pytest.mark.parametrize(
    ("got", "want", "error"),
    [
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [1.0, np.nan], np.inf),
        ([1.0, np.inf], [1.0, -np.inf], np.inf),
        ([np.nan, np.inf], [np.nan, np.inf], 0),
        ([np.nan, 1.0, 2.0, 4.0], [np.nan, 1.0, 3.0, 5.0], 2 / 4 / 4),
        (np.array([0, 5], np.uint8), np.array([1, 5], np.uint8), 1 / 2 / 4),
        ([True, False], [True, True], 1 / 2 / 1),
        ([1j, 0], [2j, 0], 1 / 2 / 2),
        ([b"a", b"b"], [b"a", b"c"], 1 / 2),
        ([], [], 0),
    ],
)
def test_output_error_of_any_numbers(got, want, error):
    assert output_error([np.asarray(got)], [np.asarray(want)]) == error


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


def test_steps_from_this_machines_kernels_are_stated_and_more_than_one_is_noted(toy, models):
    assert benchmark(models, toy, runs=2)["mul"].output_lsb == 0
    toy.off_by = 2
    timings = benchmark(models, toy, runs=2)
    assert timings["mul"].output_lsb in (2, 253, 254)  # where it wraps, 2 - 256
    assert any("mul: an output differs by" in note for note in timings.notes)


def test_lost_device_keeps_what_it_gave(toy, models):
    toy.lost_after = 3
    timings = benchmark(models, toy, runs=9, warmups=0)
    assert timings.conditions.runs == 3 == len(timings["add"].times_ms)
    assert "Only 3 rounds of 9 were done: the cable was cut" in timings.notes


def test_lost_device_that_gave_nothing_is_an_error_which_names_the_file(toy, models):
    toy.lost_after = 0
    with pytest.raises(devices.AgentError, match="the cable was cut") as caught:
        benchmark(models, toy, runs=9, warmups=0)
    (note,) = caught.value.__notes__
    path = pathlib.Path(note.removeprefix("What was measured before is in ").rstrip("."))
    assert "times_ms" in path.read_text()
    path.unlink()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("several", [False, True])
def test_interrupt_keeps_what_was_timed_for_a_report(toy, models, temporary, several):
    toy.end = KeyboardInterrupt
    other = ToyDevice(toy.seconds, dict(CONDITIONS), name="other")
    with pytest.raises(KeyboardInterrupt, match=r"interrupted\. .*`keras-se report` reads") as said:
        benchmark(models, [other, toy] if several else toy, runs=9, warmups=0)
    (path,) = temporary.iterdir()
    assert str(path) in str(said.value)
    found = files.read(path).measurements
    assert {one.timings.conditions.device for one in found} >= {"toy"}
    (timings,) = (one.timings for one in found if one.timings.conditions.device == "toy")
    assert len(timings["add"].times_ms) == 9
    assert any("interrupted" in note for note in timings.notes)


def test_interrupt_before_any_time_leaves_nothing(toy, models, temporary):
    toy.end, toy.seconds, toy.killers = KeyboardInterrupt, {}, tuple(models)
    with pytest.raises(KeyboardInterrupt, match="before any model was timed"):
        benchmark(models, toy, runs=9, warmups=0)
    assert not list(temporary.iterdir())


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


def dynamic(shape=(1, 4, 4, 3), name="image"):
    """A file whose height and width are open."""
    c = Craft("float32")
    image = c.tensor(shape, name)
    c.graph.tensors[image].shapeSignature = np.array([1, -1, -1, 3], np.int32)
    return c.build([image], [c.op("RELU", [image], shape, name="out")])


def test_shape_is_given_to_what_the_file_leaves_open():
    timings = benchmark({"open": dynamic()}, runs=2, warmups=0, shape=(1, 8, 6, 3), control=False)
    assert timings["open"].output_error == 0
    first, second = benchmark(
        {"open": dynamic()}, runs=2, warmups=0, threads=(1, 2), shape={"image": (1, 64, 64, 3)}
    )
    assert (first.conditions.threads, second.conditions.threads) == (1, 2)
    with pytest.raises(RuntimeError, match=r"must fit \(1, -1, -1, 3\).*Received: \(2, 8, 6, 3\)"):
        benchmark({"open": dynamic()}, shape=(2, 8, 6, 3))
    with pytest.raises(ValueError, match=r"must name inputs.*Known: 'image'"):
        benchmark({"open": dynamic()}, shape={"picture": (1, 8, 6, 3)})


def test_shape_of_one_models_input_leaves_the_others_alone_and_may_be_its_short_name():
    models = {"open": dynamic(name="serving_default_image:0"), "other": dynamic(name="other")}
    timings = benchmark(models, runs=2, warmups=0, shape={"image": (1, 8, 6, 3)}, control=False)
    assert [model.name for model in timings.models] == ["open", "other"]
    assert not timings.failures


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


def test_more_threads_than_cores_are_noted(toy, models):
    toy.conditions["cores"] = 2
    notes = benchmark(models, toy, runs=2, threads=4).notes
    assert any("4 threads ran on 2 cores" in note for note in notes)
