"""The file of one or several benchmarks: records, versions, and the way back from older files."""

import json
import pathlib
from dataclasses import dataclass, field

from mobile.estimates import Estimate
from mobile.results import Results
from mobile.serial import Record
from mobile.timings import Failure, Timings

FORMAT, VERSION = "keras-se measurements", 1


@dataclass(frozen=True)
class Configuration(Record):
    """One squeeze-and-excitation configuration of a network that was compared.

    Args:
        name: What its model is called in the timings.
        se: What its blocks hold, in words.
        params: Trainable parameters.
        macs: Multiply-adds for one image.
    """

    name: str
    se: str
    params: int
    macs: int


@dataclass(frozen=True)
class Measurement(Record):
    """One benchmark on one device, and what else is known of its models.

    Args:
        timings: The times, raw, with their conditions.
        title: What was measured, such as the name of a run.
        accuracy: Share of the test images that are classified right, by name of the model.
        test_images: On how many images.
        configurations: What was compared, where it was built for the purpose.
    """

    timings: Timings
    title: str = ""
    accuracy: dict[str, float] = field(default_factory=dict)
    test_images: int | None = None
    configurations: tuple[Configuration, ...] = ()

    @property
    def label(self):
        """The device in a few words: where, how many threads, and how."""
        c = self.timings.conditions
        said = f"{c.device}, {c.threads} thread{'s' * (c.threads > 1)}"
        said += f", {c.kernels} kernels" if c.kernels != "default" else ""
        return said + (f", {c.scenario}" if c.scenario != "interleaved" else "")


@dataclass(frozen=True)
class Measurements(Record):
    """Benchmarks of several devices side by side, and estimates; what `--export-json` writes.

    Args:
        measurements: One a device and number of threads.
        estimates: What no device has measured.
        failures: The models that could not be estimated, and why.
        created: When, ISO 8601, in UTC.
        versions: Versions of the packages that took part.
    """

    measurements: tuple[Measurement, ...] = ()
    estimates: tuple[Estimate, ...] = ()
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def to_dict(self):
        """Return the fields, after the format's name and version."""
        return {"format": FORMAT, "version": VERSION, **super().to_dict()}

    @property
    def labelled(self):
        """The measurements with a label each that no other has, in a list of pairs."""
        labels = [m.label for m in self.measurements]
        for tell in (_machine, _runtime):
            told = [tell(m.timings.conditions) for m in self.measurements]
            groups = {label: set() for label in labels}
            for label, word in zip(labels, told, strict=True):
                groups[label].add(word)
            labels = [
                f"{label}, {word}" if len(groups[label]) > 1 else label
                for label, word in zip(labels, told, strict=True)
            ]
        pairs = []
        for i, (label, one) in enumerate(zip(labels, self.measurements, strict=True)):
            number = f" ({labels[: i + 1].count(label)})" if labels.count(label) > 1 else ""
            pairs.append((label + number, one))
        return pairs

    @property
    def failed(self):
        """Whether any model gave no times somewhere, or no estimate."""
        return bool(self.failures) or any(m.timings.failures for m in self.measurements)


def _machine(conditions):
    return conditions.model or conditions.soc or conditions.cpu or conditions.machine


def _runtime(conditions):
    return f"{conditions.runtime} {conditions.runtime_version}"


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


def of(results) -> Measurements:
    """Return `Measurements` of `Timings`, or of a sequence of them; given such, itself."""
    if isinstance(results, Measurements):
        return results
    several = (results,) if isinstance(results, Timings) else tuple(results)
    for one in several:
        if not isinstance(one, Timings):
            raise TypeError(
                f"A report is of Results, Timings or Measurements. Received: "
                f"{type(one).__name__}. Pass what mobile.run or mobile.benchmark gave."
            )
    return Measurements(tuple(Measurement(one) for one in several))


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
