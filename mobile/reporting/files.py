"""Result files: reading them, also of older versions, and putting several together."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mobile.benchmarking import measurements
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import Timings
from mobile.reporting import results
from mobile.reporting.results import Results

#: Format to the record that a file of it holds, and its version now.
_FORMATS = {
    measurements.FORMAT: (Measurements, measurements.VERSION),
    results.FORMAT: (Results, results.VERSION),
}
_DEEPEST = 50  # ours nest 8 deep; Python's own functions stop at some hundreds


def read(path: str | Path) -> Measurements:
    """Read the JSON of a benchmark or of a run, also of older versions; a run may be its folder.

    Raises:
        ValueError: The file is none of these, damaged, or of a version to come; it is named, and
            the field.
    """
    found = load(path)
    if isinstance(found, Results):
        return Measurements((of_run(found),), created=found.created)
    return found


def load(path: str | Path) -> Measurements | Results:
    """Read a file or folder as `read` does; a run stays a run."""
    path = Path(path)
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"Results must be a JSON file of keras-se, or the folder of a run, which holds "
            f"results.json. Received: {path}, which "
            f"{'holds none' if path.is_dir() else 'does not exist'}. "
            f"Write one with keras-se benchmark --export-json."
        )
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:  # no text, no JSON, or too much of it
        raise ValueError(
            f"Results must be a JSON file of keras-se. Received: {file}, which does not read: "
            f"{error}. Write it again with keras-se benchmark."
        ) from None
    try:
        return from_values(values)
    except ValueError as error:
        raise ValueError(f"{error} The file is {file}.") from None


def from_values(values: Any) -> Measurements | Results:
    """Return the record of parsed JSON: of a benchmark, a run, or version 0 of either.

    Version 0 had no format: a run was as it is now, a benchmark was its `Timings` alone.
    """
    if _depth(values) > _DEEPEST:
        raise ValueError(
            f"Results must nest values {_DEEPEST} deep at most. Received: {_depth(values)}. "
            f"Write the file again with keras-se benchmark."
        )
    kind = values.get("format") if isinstance(values, dict) else None
    if isinstance(values, dict) and "format" not in values:
        if "networks" in values:
            return Results.from_dict(values)
        if "models" in values:
            return Measurements((Measurement(Timings.from_dict(values)),))
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise ValueError(
            f"Results must be a JSON file of keras-se, with `format` one of "
            f"{', '.join(map(repr, _FORMATS))}. Received: {_short(kind)}. "
            f"Write one with keras-se benchmark --export-json."
        )
    record, newest = _FORMATS[kind]
    version = values.get("version")
    if type(version) is not int or not 1 <= version <= newest:
        raise ValueError(
            f"Results must have a `version` from 1 to {newest}. Received: {_short(version)}. "
            f"If a newer keras-se wrote them, install that."
        )
    found = record.from_dict(values)
    held = (values.get(name) for name in ("measurements", "estimates", "failures"))
    if record is Measurements and not any(held):
        raise ValueError(
            "Results must hold something: `measurements` or `estimates`. Received: neither. "
            "Write the file again with keras-se benchmark."
        )
    return found


def _depth(value: Any) -> int:
    """Return how deep lists and dictionaries nest."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [v for each in level for v in (each.values() if isinstance(each, dict) else each)]
    return depth


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def of_run(results: Results) -> Measurement:
    """Return a run's benchmark with the accuracy of each file."""
    accuracy = {
        f"{network.name} {scheme}": network.accuracy[scheme]
        for network in results.networks
        for scheme in network.artifacts
        if scheme in network.accuracy
    }
    title = f"{results.name}: {results.options.get('network', '')}"
    return Measurement(results.timings, title.rstrip(": "), accuracy, results.data["test_images"])


def merge(several: Iterable[Measurements]) -> Measurements:
    """Put the measurements and estimates of several records after one another."""
    several = list(several)
    versions = {}
    for one in several:
        versions |= one.versions
    return Measurements(
        measurements=tuple(m for one in several for m in one.measurements),
        estimates=tuple(e for one in several for e in one.estimates),
        created=max((one.created for one in several), default=""),
        versions=versions,
        failures=tuple(f for one in several for f in one.failures),
    )


def load_results(folder: str | Path) -> Results:
    """Read the results of a run from its folder."""
    found = load(folder)
    if not isinstance(found, Results):
        raise ValueError(
            f"A run's folder must hold the results.json of a run. Received: {folder}, which holds "
            f"that of a benchmark. Pass a folder that keras-se run has finished."
        )
    return found
