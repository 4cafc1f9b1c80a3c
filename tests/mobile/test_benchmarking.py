import io
import pathlib
from dataclasses import dataclass

import numpy as np
import pytest

from mobile import agent, devices
from mobile.benchmarking import benchmark, output_error
from mobile.records import Artifact, Preprocessing, Timings
from tests.mobile.craft import between_convolutions

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data" / "tflite"
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
    name: str = "toy"

    def run(self, job, files):
        if job["job"] != "time":
            return devices.LocalDevice().run(job, files)
        self.job = job
        names = [model["name"] for model in job["models"]]
        for name in names:
            if name in self.killers:
                raise devices.AgentError("the runtime was killed by SIGSEGV", "run", name)
        clock = Clock()
        invokes = {name: clock.taking(self.seconds[name]) for name in names}
        times = agent.interleave(invokes, job["runs"], job["warmups"], clock)
        found, arrays = {}, {}
        for number, model in enumerate(job["models"]):
            inputs = [np.load(io.BytesIO(files[name])) for name in model["inputs"]]
            (output,) = devices.predict(files[model["file"]], inputs)
            if model["name"] in self.wrong:
                output = output[..., ::-1] * 0
            file = f"{number}.npy"
            buffer = io.BytesIO()
            np.save(buffer, output)
            arrays[file] = buffer.getvalue()
            found[model["name"]] = {
                "partitions": 1,
                "load_ms": 1.0,
                "times_ms": times[model["name"]],
                "outputs": {"0": file},
            }
        return devices.Answer({"models": found, "conditions": self.conditions}, arrays)


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
    assert "against mul" in str(timings) and "against add" in str(timings)
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
    assert "must lie within 5.0%" in timings.failures[0].message


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


def test_refused_file_is_named_and_the_others_are_timed():
    rejected = SHARED / "mobilenet_v3_small_ptq_xnnpack_rejects.tflite"
    if not rejected.exists():
        pytest.skip(f"{rejected} is not there")
    timings = benchmark({"bad": rejected, "good": between_convolutions("ADD")}, runs=2, warmups=0)
    assert [model.name for model in timings.models] == ["good"]
    assert timings.failures[0].name == "bad"
    assert "failed to prepare" in timings.failures[0].message
