import dataclasses
import json
import pathlib

import jsonschema
import pytest

import mobile
from mobile.analysis.vela import Estimate
from mobile.benchmarking.measurements import Configuration, Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, OperatorTime, Timings
from mobile.reporting import files, json_schema
from mobile.reporting.results import Results

DATA = pathlib.Path(__file__).parents[2] / "data"
SCHEMA = pathlib.Path(mobile.__file__).parent / "reporting" / "results.schema.json"


def timings(device="local", runtime="2.3.0", **kw):
    models = tuple(
        ModelTimings(name, tuple(ms + 0.01 * i for i in range(5)), 1, 1000, first_ms=9.0)
        for name, ms in (("a", 1.0), ("b", 2.0))
    )
    conditions = Conditions(
        device, "x86_64", "A CPU", "ai_edge_litert", runtime, threads=1, runs=5, warmups=1, **kw
    )
    return Timings(models, conditions, ("a",))


def everything():
    """A record with something in every field that may hold a record."""
    one = timings()
    profiled = dataclasses.replace(one.models[0], profile=(OperatorTime("x", "CONV_2D", 0.5),))
    one = dataclasses.replace(
        one, models=(profiled, *one.models[1:]), failures=(Failure("c", "load", "no"),)
    )
    measured = Measurement(one, "title", {"a": 0.9}, 100, (Configuration("a", "none", 5, 50),))
    estimate = Estimate("a", "ethos-u55-256", 1.5, 750_000, 500.0, 1024, 0, 2048, 4096, 10, 5)
    return Measurements((measured,), (estimate,), "2026-11-22T00:00:00+00:00", {"keras-se": "0"})


def test_measurements_go_to_json_and_back_with_their_version():
    text = everything().to_json()
    assert json.loads(text)["format"] == "keras-se measurements"
    assert json.loads(text)["version"] == 1
    assert Measurements.from_json(text) == everything()


def test_schema_in_the_package_is_that_of_the_records():
    assert json.loads(SCHEMA.read_text()) == json_schema.schema(), (
        "Run `python -m mobile.json_schema > mobile/results.schema.json`, and if a field was "
        "renamed or removed, raise VERSION and read the older one in mobile.reporting.files."
    )


def test_what_is_written_is_valid():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    run = Results.from_json((DATA / "run_v0.json").read_text())  # written as the present version
    for record in (everything(), run):
        validator.validate(json.loads(record.to_json()))
    wrong = everything().to_dict()
    wrong["measurements"][0]["timings"]["models"][0]["times_ms"] = "fast"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


# These files were written when the version in their name was the present one: never write them
# again. If one does not read, mend mobile.reporting.files.
def test_benchmark_of_version_0_still_reads():
    (found,) = files.read(DATA / "benchmark_v0.json").measurements
    assert [m.name for m in found.timings.models] == ["add", "mul", "add (again)"]
    assert found.timings["add"].times_ms[0] == 0.003963999915868044
    assert found.timings["add"].output_error == 0.00010702047498082853
    assert found.timings.conditions.runtime_version == "2.3.0"
    assert found.timings.conditions.scenario == "interleaved"
    assert found.timings.control.value == pytest.approx(0.0039309998 / 0.0039639999)


def test_run_of_version_0_still_reads_with_its_accuracies():
    (found,) = files.read(DATA / "run_v0.json").measurements
    assert found.accuracy["mobile int8"] == 0.975
    assert found.accuracy["no_se float32"] == 0.99
    assert found.test_images == 200
    assert found.timings["server int8"].median_ms == pytest.approx(1.25 * 1.02)
    assert found.title == "trial & error: mobilenet_v3_small"


def test_run_of_version_1_still_reads_as_version_0_does():
    assert files.read(DATA / "run_v1.json") == files.read(DATA / "run_v0.json")


def test_measurements_of_version_1_still_read():
    found = files.read(DATA / "measurements_v1.json")
    assert found == everything()


def test_a_run_may_be_given_as_its_folder(tmp_path):
    (tmp_path / "results.json").write_text((DATA / "run_v0.json").read_text())
    assert files.read(tmp_path) == files.read(DATA / "run_v0.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "does not read: JSONDecodeError"),
        ("[]", "this is a list"),
        ("{}", "no format"),
        ('{"models": [{}]}', "does not read"),
        ('{"format": "keras-se measurements", "version": 2}', "Install a newer keras-se"),
    ],
)
def test_what_is_no_result_is_said_with_the_file(tmp_path, content, words):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=words) as error:
        files.read(tmp_path / "x.json")
    assert "x.json" in str(error.value)
    with pytest.raises(ValueError, match="does not exist"):
        files.read(tmp_path / "y.json")


def test_labels_tell_devices_threads_and_runtimes_apart():
    many = [
        timings(),
        timings("ssh:pi"),
        timings(runtime="2.14.0"),
        timings("ssh:pi"),
        timings(scenario="single-stream"),
        timings(model="Board 5"),
    ]
    merged = files.merge(Measurements((Measurement(t),)) for t in many)
    assert [label for label, _ in merged.labelled] == [
        "local, 1 thread, A CPU, ai_edge_litert 2.3.0",
        "ssh:pi, 1 thread (1)",
        "local, 1 thread, A CPU, ai_edge_litert 2.14.0",
        "ssh:pi, 1 thread (2)",
        "local, 1 thread, single-stream",
        "local, 1 thread, Board 5",
    ]
