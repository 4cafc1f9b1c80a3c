"""The record of a whole run: the networks that were made, how right they are, and how fast."""

from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Self, TypedDict

from msgspec import Meta

from mobile.benchmarking import columns
from mobile.benchmarking.timings import Finite, Timings
from mobile.conversion.agreement import Agreement
from mobile.record import Amount, Count, Record, Share, converted, table

FORMAT, VERSION = "keras-se run", 1


@dataclass(frozen=True)
class Epoch(Record):
    """What one pass over the training images ended with.

    Args:
        loss: Mean training loss over the epoch, label smoothing included.
        accuracy: Share of right answers on the (augmented) training images, while training.
        seconds: Wall-clock time of the epoch.
    """

    loss: Finite
    accuracy: Share
    seconds: Amount


@dataclass(frozen=True)
class NetworkResult(Record):
    """One network of a run: its cost, its training, and its accuracy in every form.

    Args:
        name: `mobile`, `server` or `no_se`.
        se: The squeeze-and-excitation of its blocks as `SEConfig.to_dict` writes it, or None.
        complexity: What `keras_se.complexity` counted, as plain values.
        epochs: The float training.
        qat_epochs: The quantisation-aware training.
        accuracy: Share of the test images that are classified right, by form: `float`, `lowered`,
            `qat`, `calibrated` and `trained` (the int8 files that were made) and each scheme that
            was converted to; `int8` is the one of the two that was kept.
        agreement: What `mobile.verify` found, by form, against the float Keras model.
        artifacts: What each .tflite file holds, by scheme, as `Artifact.to_dict` writes it.
        int8_from: The form that the int8 file is of: `calibrated` or `trained`. Empty in results
            that are older than the choice.
        apart: What each int8 file that was made agrees in with the float network on training
            images set apart, which decided between them.
        gates: What the float network's gates do over test images, as `keras_se.gates` writes it;
            None where it has none.
    """

    name: str
    se: dict | None
    complexity: dict
    epochs: tuple[Epoch, ...] = ()
    qat_epochs: tuple[Epoch, ...] = ()
    accuracy: dict[str, Share] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    artifacts: dict[str, dict] = field(default_factory=dict)
    int8_from: str = ""
    apart: dict[str, Agreement] = field(default_factory=dict)
    gates: dict | None = None


class _Options(TypedDict):
    """What a report reads of a run's options; so with the other dictionaries here."""

    network: str


class _Data(TypedDict):
    name: str
    classes: list[str]
    train_images: Count
    test_images: Annotated[int, Meta(ge=1, le=2**53)]
    size: Count
    remarks: list[str]


class _Se(TypedDict):
    kind: str
    reduction: Amount
    gate: str
    min_channels: Count


class _Layer(TypedDict):
    name: str
    kind: str
    output_shape: Annotated[list[Count | None], Meta(min_length=1)]
    params: Count
    other_params: Count
    macs: Count
    is_se: bool


class _Complexity(TypedDict):
    name: str
    trainable_params: Count
    macs: Count
    se_params: Count
    se_macs: Count
    layers: list[_Layer]
    uncounted: NotRequired[list[str]]


_Values = Annotated[list[Finite], Meta(min_length=1)]


class _Block(TypedDict):
    name: str
    kind: str
    shape: Annotated[list[Annotated[int, Meta(ge=1, le=2**53)]], Meta(min_length=1, max_length=5)]
    mean: _Values
    spread: _Values
    constant: _Values
    error: Amount
    saturated: Share
    class_means: list[_Values] | None
    reason: str | None


class _Gates(TypedDict):
    model: str
    images: Count
    blocks: Annotated[list[_Block], Meta(min_length=1)]
    classes: list
    skipped: dict[str, str]


class _File(TypedDict):
    size_bytes: Count


@dataclass(frozen=True)
class Results(Record):
    """Everything a run found out; `str` gives its table.

    Args:
        name: The run's name, that of its folder.
        created: When it ended, ISO 8601, in UTC.
        options: What `mobile.run` was called with, defaults filled in.
        data: What `DataSet.describe` says.
        networks: The networks, the mobile one first.
        timings: All .tflite files in one interleaved benchmark, named `NETWORK SCHEME`.
        seconds: Wall-clock time of each stage.
        versions: Versions of the packages that took part.
    """

    name: str
    created: str
    options: dict
    data: dict
    networks: Annotated[tuple[NetworkResult, ...], Meta(min_length=1)]
    timings: Timings
    seconds: dict[str, Amount] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, after the format's name and version."""
        return {"format": FORMAT, "version": VERSION, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the record that `to_dict` described, its dictionaries checked as well."""
        found = super().from_dict(values)
        converted(found.options, _Options, "options")
        converted(found.data, _Data, "data")
        for number, network in enumerate(found.networks):
            where = f"networks[{number}]"
            converted(network.se, _Se | None, f"{where}.se")
            converted(network.complexity, _Complexity, f"{where}.complexity")
            converted(network.gates, _Gates | None, f"{where}.gates")
            converted(network.artifacts, dict[str, _File], f"{where}.artifacts")
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return one row a .tflite file: plain numbers, None for what is not known."""
        rows = []
        timed = {model.name: model for model in self.timings.models}
        ratios = {(r.name, r.reference): r for r in self.timings.ratios}
        for network in self.networks:
            for scheme, artifact in network.artifacts.items():
                name = f"{network.name} {scheme}"
                times, agreement = timed.get(name), network.agreement.get(scheme)
                row = {
                    "network": network.name,
                    "scheme": scheme,
                    "accuracy": network.accuracy.get(scheme),
                    "float_accuracy": network.accuracy.get("float"),
                    "top1_agreement": agreement and agreement.top1_agreement,
                    "worst_abs": agreement and agreement.worst_abs,
                    "mean_abs": agreement and agreement.mean_abs,
                    "params": network.complexity["trainable_params"],
                    "macs": network.complexity["macs"],
                    **{column.field: column.value(times) for column in columns.COLUMNS},
                    "size_bytes": artifact["size_bytes"],
                }
                for reference in self.timings.references:
                    ratio = ratios.get((name, reference))
                    word = reference.replace(" ", "_")
                    row[f"ratio_to_{word}"] = ratio and ratio.value
                    row[f"ratio_to_{word}_low"] = ratio and ratio.low
                    row[f"ratio_to_{word}_high"] = ratio and ratio.high
                rows.append(row)
        return rows

    def __str__(self):
        names = {"accuracy": "accuracy", "median_ms": "p50 ms", "p90_ms": "p90 ms"}
        rows = [
            (f"{r['network']} {r['scheme']}", *("?" if r[n] is None else r[n] for n in names))
            for r in self.rows()
        ]
        return table((self.name, *names.values()), rows)
