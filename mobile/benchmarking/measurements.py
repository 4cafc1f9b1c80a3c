"""The file of one or several benchmarks: records, versions, and the way back from older files."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from mobile.analysis.vela import Estimate
from mobile.benchmarking.timings import Conditions, Failure, Timings
from mobile.record import Count, Record, Share

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
    params: Count
    macs: Count


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
    accuracy: dict[str, Share] = field(default_factory=dict)
    test_images: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    configurations: tuple[Configuration, ...] = ()


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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, after the format's name and version."""
        return {"format": FORMAT, "version": VERSION, **super().to_dict()}

    @property
    def labelled(self) -> list[tuple[str, Measurement]]:
        """The measurements with a label each that no other has, in a list of pairs."""
        labels = [m.timings.conditions.label for m in self.measurements]
        for tell in (_machine, _runtime):
            told = [tell(m.timings.conditions) for m in self.measurements]
            groups: dict[str, set[str]] = {label: set() for label in labels}
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
    def failed(self) -> bool:
        """Whether any model gave no times somewhere, or no estimate."""
        return bool(self.failures) or any(m.timings.failures for m in self.measurements)


def _machine(conditions: Conditions) -> str:
    return conditions.model or conditions.soc or conditions.cpu or conditions.machine


def _runtime(conditions: Conditions) -> str:
    return f"{conditions.runtime} {conditions.runtime_version}"


def of(results: Any) -> Measurements:
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
