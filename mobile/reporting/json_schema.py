"""The JSON Schema of result files, made from the records: `python -m mobile.json_schema`.

The answer stands in `results.schema.json` beside this file, for programs in other languages; a test
holds the two together.
"""

import dataclasses
import json
import re
import types
import typing

from mobile.benchmarking import measurements
from mobile.benchmarking.timings import ModelTimings, Ratio, Timings
from mobile.reporting import results

#: What `to_dict` of a record writes beside the fields, for readers: name to type.
_SUMMARIES = {
    ModelTimings: dict.fromkeys(("median_ms", "p90_ms", "p99_ms"), float),
    Timings: {"ratios": tuple[Ratio, ...]},
}
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}


def schema() -> dict:
    """Return the schema of a benchmark's file and of a run's, version by version."""
    definitions = {}
    kinds = (
        (measurements.Measurements, measurements.FORMAT, measurements.VERSION),
        (results.Results, results.FORMAT, results.VERSION),
    )
    files = []
    for record, name, version in kinds:
        _define(record, definitions)
        marks = {"format": {"const": name}, "version": {"const": version}}
        files.append(
            {
                "allOf": [_reference(record)],
                "properties": marks,
                "required": list(marks),
            }
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result files of keras-se",
        "description": "What `keras-se benchmark --export-json` and `keras-se run` write. "
        "Times end in _ms, sizes in _bytes. Fields may be added within a version.",
        "oneOf": files,
        "$defs": dict(sorted(definitions.items())),
    }


def _define(record, definitions):
    """Add the schema of a record, and of all it holds."""
    if record.__name__ in definitions:
        return
    definitions[record.__name__] = {}
    hints, said = typing.get_type_hints(record), _said(record)
    properties = {}
    for field in dataclasses.fields(record):
        properties[field.name] = _kind(hints[field.name], definitions)
        if field.name in said:
            properties[field.name] = {"description": said[field.name], **properties[field.name]}
    for name, kind in _SUMMARIES.get(record, {}).items():
        properties[name] = _kind(kind, definitions)
    required = [
        field.name
        for field in dataclasses.fields(record)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    definitions[record.__name__] = {
        "description": record.__doc__.split("\n\n")[0].replace("\n    ", " "),
        "type": "object",
        "properties": properties,
        "required": required,
    }


def _kind(kind, definitions):
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return {"anyOf": [_kind(k, definitions) for k in inner]}
    if kind is types.NoneType:
        return {"type": "null"}
    if dataclasses.is_dataclass(kind):
        _define(kind, definitions)
        return _reference(kind)
    if origin is tuple:
        return {"type": "array", "items": _kind(inner[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _kind(inner[1], definitions)}
    return {"type": _PLAIN[kind]}


def _reference(record):
    return {"$ref": f"#/$defs/{record.__name__}"}


def _said(record):
    """Return what the docstring's `Args:` says of each field."""
    text = (record.__doc__ or "").partition("Args:\n")[2]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", words) for name, words in found}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=1))
