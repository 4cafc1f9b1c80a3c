"""Result files: reading them, also of older versions, and putting several together."""

import json
import pathlib
from pathlib import Path

from mobile.benchmarking.measurements import FORMAT, VERSION, Measurement, Measurements
from mobile.benchmarking.timings import Timings
from mobile.reporting.results import Results


def read(path) -> Measurements:
    """Read the JSON of a benchmark or of a run, also of older versions; a run may be its folder.

    Raises:
        ValueError: The file is none of these, damaged, or of a version to come.
    """
    path = pathlib.Path(path)
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"Results must be a JSON file of keras-se, or the folder of a run, which holds "
            f"results.json. Received: {path}, which "
            f"{'holds none' if path.is_dir() else 'does not exist'}. "
            f"Write one with keras-se benchmark --export-json."
        )
    try:
        return from_values(json.loads(file.read_text()))
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Results must be a JSON file of keras-se. Received: {file}, which does not read: "
            f"{type(error).__name__}: {error}. Write it again with keras-se benchmark."
        ) from None
    except ValueError as error:
        raise ValueError(f"{error} The file is {file}.") from None


def from_values(values) -> Measurements:
    """Return the record of parsed JSON: of a benchmark, a run, or version 0 of either.

    Version 0 had no version: a run was as it is now, a benchmark was its `Timings` alone.
    """
    if not isinstance(values, dict):
        raise TypeError(f"a JSON object is wanted, this is a {type(values).__name__}")
    version = values.get("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise ValueError(
            f"Results must be of version {VERSION} or older. Received: version {version!r}. "
            f"Install a newer keras-se."
        )
    if "networks" in values:
        return Measurements((of_run(Results.from_dict(values)),), created=values["created"])
    if "models" in values:
        return Measurements((Measurement(Timings.from_dict(values)),))
    if values.get("format") != FORMAT:
        raise KeyError(f"no format {FORMAT!r}")
    return Measurements.from_dict(values)


def of_run(results: Results) -> Measurement:
    """Return a run's benchmark with the accuracy of each file."""
    accuracy = {
        f"{network.name} {scheme}": network.accuracy[scheme]
        for network in results.networks
        for scheme in network.artifacts
        if scheme in network.accuracy
    }
    title = f"{results.name}: {results.options.get('network', '')}"
    images = results.data.get("test_images")
    return Measurement(results.timings, title.rstrip(": "), accuracy, images)


def merge(several) -> Measurements:
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
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise ValueError(
            f"A run's folder must hold results.json. Received: {folder}, which does not. "
            f"Pass a folder that keras-se run has finished."
        )
    return Results.from_json(path.read_text())
