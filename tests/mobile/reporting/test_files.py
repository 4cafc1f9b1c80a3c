import copy
import dataclasses
import functools
import json
import pathlib
import re

import pytest

from mobile.analysis.vela import Estimate
from mobile.benchmarking import statistics
from mobile.benchmarking.measurements import Configuration, Measurement, Measurements
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, OperatorTime, Timings
from mobile.reporting import files, formats, report
from tests.mobile.reporting.gates import GATES

DATA = pathlib.Path(__file__).parents[2] / "data"
NAMES = ("measurements_v1", "run_v1", "benchmark_v0", "run_v0")


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
    assert files.load(DATA / "run_v1.json") == files.load(DATA / "run_v0.json")


def test_measurements_of_version_1_still_read():
    found = files.read(DATA / "measurements_v1.json")
    assert found == everything()


def test_a_run_may_be_given_as_its_folder(tmp_path):
    (tmp_path / "results.json").write_text((DATA / "run_v0.json").read_text())
    assert files.read(tmp_path) == files.read(DATA / "run_v0.json")
    assert files.load_results(tmp_path).name == "trial & error"
    (tmp_path / "results.json").write_text((DATA / "benchmark_v0.json").read_text())
    with pytest.raises(ValueError, match=r"must hold the results\.json of a run"):
        files.load_results(tmp_path)


def _text(text):
    return lambda said: text.encode()


def _put(place, value, drop=False):
    """Return what makes a file's bytes of its values with another one at a place; `drop`: none."""

    def change(said):
        *path, last = (int(key) if key.isdigit() else key for key in place.split("."))
        inner = said
        for key in path:
            inner = inner[key]
        if drop:
            del inner[last]
        else:
            inner[last] = value
        return json.dumps(said).encode()

    return change


def _lost(place):
    return _put(place, None, drop=True)


_MODEL = "measurements.0.timings.models.0"
_NAN, _HUGE = float("nan"), 10**400
_DEEP = json.loads("[" * 500 + "]" * 500)

#: File, what is done to it, and what the message must say besides the file's name.
MUTILATIONS = [
    # What is no file of ours at all.
    ("run_v1", _text(""), "does not read"),
    ("run_v1", _text("[]"), "with `format` one of"),
    ("run_v1", _text("null"), "with `format` one of"),
    ("run_v1", _text("3"), "with `format` one of"),
    ("run_v1", _text("{}"), "with `format` one of"),
    ("run_v1", _text('{"format": "something else", "version": 1}'), "'something else'"),
    ("run_v1", _text("name,p50 ms\na,1.0\n"), "does not read"),
    ("run_v1", _text("[" * 200_000), "does not read"),
    ("run_v1", _text("9" * 10_000), "does not read"),
    ("run_v1", lambda said: json.dumps(said).encode()[:2000], "does not read"),
    ("run_v1", lambda said: b"\x89PNG\r\n\x1a\n\xff\xfe", "does not read"),
    ("run_v1", lambda said: '{"name": "Größe"}'.encode("latin-1"), "does not read"),
    # Formats and versions.
    ("run_v1", _put("format", {"name": "keras-se run"}), "with `format` one of"),
    ("run_v1", _put("format", "keras-se measurements"), "must hold something"),
    ("run_v1", _put("format", _DEEP), "50 deep at most. Received: 501"),
    ("run_v1", _put("version", "1"), "`version` from 1 to 1. Received: '1'"),
    ("run_v1", _put("version", 2), "install that"),
    ("run_v1", _put("version", True), "`version` from 1 to 1"),
    ("run_v1", _put("version", 1.5), "`version` from 1 to 1"),
    ("run_v1", _put("version", None), "`version` from 1 to 1"),
    ("run_v1", _lost("version"), "`version` from 1 to 1"),
    # What is missing.
    ("measurements_v1", _lost(f"{_MODEL}.times_ms"), f"{_MODEL}: .* `times_ms`"),
    ("measurements_v1", _lost("measurements.0.timings"), "measurements.0: .* `timings`"),
    ("measurements_v1", _lost("estimates.0.cycles"), "estimates.0: .* `cycles`"),
    ("run_v1", _lost("timings"), "required field `timings`"),
    ("run_v1", _lost("created"), "required field `created`"),
    ("run_v1", _lost("networks.1.complexity"), "networks.1: .* `complexity`"),
    ("run_v1", _lost("networks.1.complexity.se_macs"), "networks.1.complexity: .* `se_macs`"),
    ("run_v1", _lost("networks.0.artifacts.int8.size_bytes"), "artifacts.....: .* `size_bytes`"),
    ("run_v1", _lost("networks.0.complexity.layers.1.is_se"), "layers.1: .* `is_se`"),
    ("run_v1", _put("networks.0.gates", {}), "networks.0.gates: .* `model`"),
    ("run_v1", _lost("data.classes"), "in data: .* `classes`"),
    ("run_v1", _lost("options.network"), "in options: .* `network`"),
    ("benchmark_v0", _lost("conditions"), "required field `conditions`"),
    ("benchmark_v0", _lost("models.2.name"), "models.2: .* `name`"),
    ("run_v0", _lost("timings.conditions.cpu"), "timings.conditions: .* `cpu`"),
    # Of another type.
    ("measurements_v1", _put("measurements", {}), "in measurements: Expected `array`"),
    ("measurements_v1", _put("measurements.0", None), "measurements.0: Expected `object`"),
    ("measurements_v1", _put("measurements.0.timings", []), "timings: Expected `object`"),
    ("measurements_v1", _put(_MODEL, "a"), f"{_MODEL}: Expected `object`"),
    ("measurements_v1", _put(f"{_MODEL}.name", {"a": 1}), f"{_MODEL}.name: Expected `str`"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms", "fast"), "times_ms: Expected `array`"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.3", "1"), "times_ms.3: Expected `float`"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.3", None), "times_ms.3: .* got `null`"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.3", [1.0]), "times_ms.3: .* got `array`"),
    ("measurements_v1", _put(f"{_MODEL}.size_bytes", 1.5), "size_bytes: Expected `int`"),
    ("measurements_v1", _put(f"{_MODEL}.left_out", [1]), "left_out: Expected `object`"),
    ("measurements_v1", _put(f"{_MODEL}.profile.0", 3), "profile.0: Expected `object`"),
    ("measurements_v1", _put("measurements.0.accuracy", [0.9]), "accuracy: Expected `object`"),
    ("measurements_v1", _put("measurements.0.accuracy", {"a": None}), "accuracy.*got `null`"),
    ("measurements_v1", _put("versions", ["1"]), "versions: Expected `object`"),
    ("measurements_v1", _put("created", 20261122), "created: Expected `str`"),
    ("run_v1", _put("networks", {"mobile": {}}), "networks: Expected `array`"),
    ("run_v1", _put("networks.0.se", "cse"), "networks.0.se: Expected `object"),
    ("run_v1", _put("networks.0.se.reduction", None), "se.reduction: Expected `float`"),
    ("run_v1", _put("networks.0.agreement.int8", 0.98), "agreement.....: Expected `object`"),
    ("run_v1", _put("networks.0.epochs.0.loss", "low"), "epochs.0.loss: Expected `float`"),
    ("run_v1", _put("networks.0.complexity.layers", "x"), "layers: Expected `array`"),
    ("run_v1", _put("networks.0.gates", {**GATES, "blocks": "x"}), "gates.blocks: Expected"),
    ("run_v1", _put("options", []), "options: Expected `object`"),
    ("run_v1", _put("data.size", "48"), "data.size: Expected `int`"),
    ("run_v1", _put("data.remarks", "grey"), "data.remarks: Expected `array`"),
    ("benchmark_v0", _put("models", {"add": {}}), "models: Expected `array`"),
    ("benchmark_v0", _put("conditions.threads", "one"), "conditions.threads: Expected `int`"),
    ("benchmark_v0", _put("conditions.pinned_cores", 1), "pinned_cores: Expected `array`"),
    ("run_v0", _put("networks.0.complexity.layers", _DEEP), "50 deep at most"),
    ("run_v0", _put("networks.0.complexity.macs", [1]), "complexity.macs: Expected `int`"),
    ("run_v0", _put("seconds", {"train": float("inf")}), "seconds.*: Expected `float` <="),
    # Out of range.
    ("measurements_v1", _put(f"{_MODEL}.times_ms", []), "times_ms: .* length >= 1"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.0", _NAN), "times_ms.0: Expected `float` > 0"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.0", -1.0), "times_ms.0: Expected `float` > 0"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.0", 0), "times_ms.0: Expected `float` > 0"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.0", 1e400), "times_ms.0: Expected `float` <="),
    ("measurements_v1", _put(f"{_MODEL}.times_ms.0", _HUGE), "times_ms.0: Number out of range"),
    ("measurements_v1", _put(f"{_MODEL}.size_bytes", -5), "size_bytes: Expected `int` >= 0"),
    ("measurements_v1", _put(f"{_MODEL}.size_bytes", _HUGE), "size_bytes: Expected `int` <="),
    ("measurements_v1", _put("measurements.0.accuracy.a", 90), "accuracy.*`float` <= 1"),
    ("measurements_v1", _put("measurements.0.accuracy.a", _NAN), "accuracy.*`float` >= 0"),
    ("measurements_v1", _put("measurements.0.test_images", 0), "test_images: Expected `int` >= 1"),
    ("measurements_v1", _put("estimates.0.sram_bytes", -1), "sram_bytes: Expected `int` >= 0"),
    ("run_v1", _put("networks", []), "networks: .* length >= 1"),
    ("run_v1", _put("networks.0.accuracy.int8", 97.5), "accuracy.*`float` <= 1"),
    ("run_v1", _put("networks.0.artifacts.int8.size_bytes", -1), "size_bytes: Expected `int` >= 0"),
    ("run_v1", _put("data.test_images", 0), "data.test_images: Expected `int` >= 1"),
    ("benchmark_v0", _put("conditions.threads", 0), "conditions.threads: Expected `int` >= 1"),
    # What does not go together.
    ("measurements_v1", _put("measurements.0.timings.references", ["z"]), "timings: .*'z' in `ref"),
    ("measurements_v1", _put(f"{_MODEL}.name", "b"), "timings: .*twice 'b'"),
    ("measurements_v1", _put(f"{_MODEL}.times_ms", [1.0]), "timings: .*from 1 to 5 `times_ms`"),
    ("benchmark_v0", _put("references", ["gone"]), "'gone' in `references`"),
]


@pytest.mark.parametrize(("name", "change", "words"), MUTILATIONS)
def test_a_damaged_file_is_refused_by_name_and_field(tmp_path, name, change, words):
    path = tmp_path / "some results.json"
    path.write_bytes(change(json.loads((DATA / f"{name}.json").read_text())))
    words = re.sub(r"\.(\d+)(?=[.:])", r"\\[\1\\]", words)
    with pytest.raises(ValueError, match=words) as error:
        files.read(path)
    assert "some results.json" in str(error.value)
    assert "\n" not in str(error.value)


#: File and what is done to it that changes nothing.
HARMLESS = [
    ("measurements_v1", lambda said: json.dumps(said).encode("utf-16")),
    ("measurements_v1", lambda said: json.dumps(said).encode("utf-8-sig")),
    ("measurements_v1", lambda said: json.dumps(said).encode("utf-32")),
    ("measurements_v1", _put("comment", {"by": ["hand", [[[None]]]]})),
    ("measurements_v1", _put(f"{_MODEL}.comment", _NAN)),
    ("measurements_v1", _put(f"{_MODEL}.median_ms", "wrong")),
    ("measurements_v1", _put("measurements.0.timings.ratios", None)),
    ("measurements_v1", _lost("measurements.0.timings.ratios")),
    ("measurements_v1", _lost(f"{_MODEL}.p90_ms")),
    ("run_v1", _put("timings.ratios", [{"name": _HUGE}])),
]


@pytest.mark.parametrize(("name", "change"), HARMLESS)
def test_another_encoding_more_keys_and_any_summary_are_read(tmp_path, name, change):
    path = tmp_path / "x.json"
    path.write_bytes(change(json.loads((DATA / f"{name}.json").read_text())))
    assert files.load(path) == files.load(DATA / f"{name}.json")


def _places(value, place=()):
    """Return the path of every value in a file; of a list's, the first one's alone."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for key, each in inner:
        yield (*place, key)
        if isinstance(each, dict | list):
            yield from _places(each, (*place, key))


@pytest.mark.parametrize("name", NAMES)
def test_whatever_stands_in_a_field_it_is_named_or_the_report_is_written(name, monkeypatch):
    quick = functools.partial(statistics.ratio_of_medians, resamples=10)
    monkeypatch.setattr(statistics, "ratio_of_medians", quick)
    said = json.loads((DATA / f"{name}.json").read_text())
    if name == "run_v1":
        said["networks"][0]["gates"] = copy.deepcopy(GATES)
    refused = written = 0
    for *path, last in list(_places(said)):
        inner = functools.reduce(lambda value, key: value[key], path, said)
        before = inner[last]
        for value in (None, {}, [], "x", -1, True, _NAN, float("inf"), _HUGE):
            inner[last] = value
            try:
                record = files.from_values(said)
            except ValueError as error:
                refused += 1
                assert any(key in str(error) for key in (*path, last) if isinstance(key, str))
                continue
            written += 1
            page = report.page_of(record)
            assert formats.to_markdown(page) and formats.to_csv(page) and record.to_json()
        inner[last] = before
    assert refused > 200 and written > 100


def test_what_is_not_there_is_said():
    with pytest.raises(ValueError, match=r"nowhere\.json, which does not exist"):
        files.read("nowhere.json")
    with pytest.raises(ValueError, match=r"data, which holds none"):
        files.read(DATA)


def test_records_are_merged_in_their_order():
    one, two = files.read(DATA / "run_v1.json"), files.read(DATA / "measurements_v1.json")
    both = files.merge([one, two])
    assert both.measurements == one.measurements + two.measurements
    assert both.estimates == two.estimates
    assert (both.created, both.versions) == ("2026-11-22T00:00:00+00:00", {"keras-se": "0"})
    assert files.merge([]) == Measurements()
