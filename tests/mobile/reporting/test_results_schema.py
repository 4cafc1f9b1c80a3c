"""Run as a program, this prints the schema: `python -m tests.mobile.reporting.test_results_schema`.

Its answer stands in mobile/reporting/results.schema.json, for programs in other languages.
"""

import dataclasses
import functools
import json
import pathlib
import re
import typing

import jsonschema
import msgspec
import pytest

import mobile
from mobile.benchmarking import measurements
from mobile.benchmarking.timings import Ratio
from mobile.record import Record
from mobile.reporting import files, results

DATA = pathlib.Path(__file__).parents[2] / "data"
SCHEMA = pathlib.Path(mobile.__file__).parent / "reporting" / "results.schema.json"


def schema():
    """Return the schema of a benchmark's file and of a run's: msgspec's, and the docstrings."""
    kinds = (
        (measurements.Measurements, measurements.FORMAT, measurements.VERSION),
        (results.Results, results.FORMAT, results.VERSION),
    )
    written = [*(kind for kind, _, _ in kinds), Ratio]  # no field holds one: a summary does
    references, definitions = msgspec.json.schema_components(written, ref_template="#/$defs/{name}")
    for record in records(Record):
        if record.__name__ in definitions:
            describe(record, definitions[record.__name__])
    formats = [
        {
            "allOf": [reference],
            "properties": {"format": {"const": name}, "version": {"const": version}},
            "required": ["format", "version"],
        }
        for reference, (_, name, version) in zip(references, kinds, strict=False)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result files of keras-se",
        "description": "What `keras-se benchmark --export-json` and `keras-se run` write. "
        "Times end in _ms, sizes in _bytes. Fields may be added within a version.",
        "oneOf": formats,
        "$defs": dict(sorted(definitions.items())),
    }


def records(kind):
    """Return all kinds of record that are loaded."""
    return [each for below in kind.__subclasses__() for each in (below, *records(below))]


def describe(record, definition):
    """Add what the docstring says, and what `to_dict` writes beside the fields."""
    definition.pop("title")
    definition["description"] = record.__doc__.split("\n\n")[0].replace("\n    ", " ")
    args = record.__doc__.partition("Args:\n")[2]
    said = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", args, re.MULTILINE)
    for name, words in said:
        field = definition["properties"][name]
        definition["properties"][name] = {"description": re.sub(r"\s+", " ", words), **field}
    for name in record.SUMMARY:
        found = vars(record)[name]
        getter = found.func if isinstance(found, functools.cached_property) else found.fget
        kind = typing.get_type_hints(getter)["return"]
        (told,), _ = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
        definition["properties"][name] = {"description": getter.__doc__, **told}


def test_schema_in_the_package_is_that_of_the_records():
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(schema())), (
        "Write it anew with python -m tests.mobile.reporting.test_results_schema. If a field was "
        "renamed or removed, raise VERSION and read the older one in mobile.reporting.files."
    )


def test_every_field_of_a_model_is_described():
    properties = json.loads(SCHEMA.read_text())["$defs"]["ModelTimings"]["properties"]
    fields = {field.name for field in dataclasses.fields(measurements.Timings)}
    assert set(json.loads(SCHEMA.read_text())["$defs"]["Timings"]["properties"]) > fields
    assert all("description" in each for each in properties.values())
    assert properties["times_ms"]["items"]["exclusiveMinimum"] == 0
    assert properties["size_bytes"]["minimum"] == 0


@pytest.mark.parametrize("name", ["measurements_v1.json", "run_v1.json"])
def test_what_is_written_is_valid_and_what_is_not_is_not(name):
    described = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(described)
    validator = jsonschema.Draft202012Validator(described)
    validator.validate(json.loads(files.load(DATA / name).to_json()))
    wrong = json.loads((DATA / name).read_text())
    first = (wrong["measurements"][0] if "measurements" in wrong else wrong)["timings"]["models"][0]
    first["times_ms"] = "fast"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
