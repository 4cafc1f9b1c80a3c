"""The records of a benchmark: raw times of each model, and the conditions they were taken under."""

import functools
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from msgspec import Meta

from mobile.benchmarking import columns, statistics
from mobile.record import Amount, Count, Distance, Record, printable, table

#: No inference takes no time, or eleven days.
Milliseconds = Annotated[float, Meta(gt=0, le=1e9)]
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]


@dataclass(frozen=True)
class Conditions(Record):
    """Where and how a benchmark ran. None stands for what the device does not tell.

    `pinned_cores` is empty where the process could run on any core; `frequency_mhz`,
    `temperature_c` and `load` hold one reading from before the run and one from after it. `model`
    is what the device's maker calls it, `soc` its chip. `scenario` is `interleaved`, or
    `single-stream`, where each model ran alone: such times have no ratios.
    """

    device: str
    machine: str
    cpu: str
    runtime: str
    runtime_version: str
    threads: Annotated[int, Meta(ge=1, le=2**20)]
    runs: Count
    warmups: Count
    kernels: str = "default"
    pinned_cores: tuple[Count, ...] = ()
    system: str = ""
    python: str = ""
    numpy: str = ""
    governor: str | None = None
    frequency_mhz: tuple[Amount, ...] = ()
    temperature_c: tuple[Finite, ...] = ()
    load: tuple[Amount, ...] = ()
    started: str = ""
    model: str = ""
    soc: str = ""
    cores: Count | None = None
    memory_bytes: Count | None = None
    scenario: str = "interleaved"

    @property
    def interleaved(self) -> bool:
        """Whether the models ran in turn, so that their times have ratios."""
        return self.scenario == "interleaved"

    @property
    def label(self) -> str:
        """The device in a few words: where, how many threads, and what is not usual."""
        said = f"{self.device}, {self._threads()}"
        said += f", {self.kernels} kernels" if self.kernels != "default" else ""
        return said + ("" if self.interleaved else f", {self.scenario}")

    def sentence(self, control: "Ratio | None" = None) -> str:
        """Tell where and how the times were taken.

        Args:
            control: What the same file gave that was timed twice.
        """
        names = (self.device, self.model, self.soc, self.cpu, self.machine)
        said = ", ".join(dict.fromkeys(filter(None, names))) + "; "
        said += f"{self.cores} cores, " if self.cores else ""
        many = "s" * (len(self.pinned_cores) > 1)
        pinned = f" on core{many} {', '.join(map(str, self.pinned_cores))}"
        said += self._threads() + (pinned if self.pinned_cores else ", not pinned")
        said += f"; {self.runtime} {self.runtime_version}".rstrip()
        said += f", {self.kernels} kernels" if self.kernels != "default" else ""
        taken = f"{self.runs:,} interleaved runs each"
        alone = f"{self.scenario}: each model alone, {self.runs:,} runs or more"
        said += f"; {taken if self.interleaved else alone}, after {self.warmups} warm-ups"
        said += f"; the same file twice: {control}" if control else ""
        return f"{said}; {self.started[:10]}." if self.started else f"{said}."

    def _threads(self):
        return f"{self.threads} thread{'s' * (self.threads > 1)}"

    def differences(self, other: "Conditions") -> tuple[str, ...]:
        """Name what forbids comparing times taken under these conditions with those of `other`."""
        names = ("device", "cpu", "runtime", "runtime_version", "threads", "kernels", "scenario")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return tuple(
            f"{name} {ours!r} and {theirs!r}" for name, ours, theirs in pairs if ours != theirs
        )

    def __str__(self):
        rows = [(k, v) for k, v in self.to_dict().items() if v not in (None, "", [])]
        return table(("conditions", ""), [(k, str(v)) for k, v in rows])


@dataclass(frozen=True)
class Ratio(Record):
    """How many times as long one model takes as another: below 1 is faster. 95 % interval."""

    name: str
    reference: str
    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Failure(Record):
    """A model that gave no times: at which stage it failed, and what the runtime said."""

    name: str
    stage: str
    message: str


@dataclass(frozen=True)
class OperatorTime(Record):
    """How long one operator of a model takes on average."""

    name: str
    kind: str
    mean_ms: Amount


@dataclass(frozen=True)
class ModelTimings(Record):
    """The times of one model, raw and summarised.

    Args:
        name: What the caller named it.
        times_ms: One time a round, in the order they were taken.
        partitions: Pieces that the runtime's delegate took.
        size_bytes: Length of the file.
        sha256: Fingerprint of the file.
        output_error: Distance from the expected outputs on the fixed input, over the distance that
            those have from their mean; None where nothing independent told what to expect.
        load_ms: Time to load the file and allocate its tensors.
        control_of: Name of the model this is a second copy of (the A/A control).
        first_ms: Time of the very first inference.
        peak_memory_bytes: What loading and running it alone added to its process, at the most.
        kernels: As in `devices.predict`; other than the job's where the delegate refused the file.
        output_lsb: Largest difference from the expected outputs, in steps of the output's
            quantisation; None where an output is not quantised.
        left_out: Operators that the delegate did not take, to count.
        profile: Time of each operator, where the runtime tells.
        fallback_of: Name of the model that the delegate refused, of which this is the run without.
    """

    name: str
    times_ms: Annotated[tuple[Milliseconds, ...], Meta(min_length=1)]
    partitions: Count | None
    size_bytes: Count
    sha256: str = ""
    output_error: Distance | None = None
    load_ms: Amount | None = None
    control_of: str | None = None
    first_ms: Amount | None = None
    peak_memory_bytes: Count | None = None
    kernels: str = "default"
    output_lsb: Count | None = None
    left_out: dict[str, Count] = field(default_factory=dict)
    profile: tuple[OperatorTime, ...] = ()
    fallback_of: str | None = None

    SUMMARY: ClassVar = ("median_ms", "p90_ms", "p99_ms")

    @property
    def runs(self) -> int:
        """How many times it was timed."""
        return len(self.times_ms)

    @property
    def seconds(self) -> float:
        """How long all its runs took together."""
        return sum(self.times_ms) / 1e3

    @property
    def median_ms(self) -> float:
        """Half of the runs were faster."""
        return statistics.median(self.times_ms)

    @property
    def p90_ms(self) -> float:
        """90 % of the runs were faster."""
        return statistics.percentile(self.times_ms, 90)

    @property
    def p99_ms(self) -> float:
        """99 % of the runs were faster."""
        return statistics.percentile(self.times_ms, 99)


@dataclass(frozen=True)
class Timings(Record):
    """Times of several models from one interleaved run, so that they may be compared.

    Args:
        models: The models that ran; a control comes last.
        conditions: Where and how.
        references: Names of the models that the table compares the others with.
        failures: The models that did not run, or gave wrong answers.
        notes: What makes the times less certain, in sentences.
    """

    models: tuple[ModelTimings, ...]
    conditions: Conditions
    references: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    SUMMARY: ClassVar = ("ratios",)

    def __post_init__(self):
        names = [model.name for model in self.models]
        counts = {model.runs for model in self.models}
        if twice := {name for name in names if names.count(name) > 1}:
            wrong = f"twice {min(twice)!r} in `models`. Rename one"
        elif gone := set(self.references) - set(names):
            wrong = f"{min(gone)!r} in `references`, which `models` has not. Leave it out"
        elif self.conditions.interleaved and len(counts) > 1:
            wrong = f"from {min(counts)} to {max(counts)} `times_ms`. Cut them to one number"
        else:
            return
        raise ValueError(
            f"Models that were timed in turn must each have a name of its own and a time a round, "
            f"and the references be among them. Received: {wrong}."
        )

    def __getitem__(self, name: str) -> ModelTimings:
        for model in self.models:
            if model.name == name:
                return model
        for failure in self.failures:
            if failure.name == name:
                raise KeyError(f"Model {name!r} has no times: {failure.message}")
        known = [model.name for model in self.models]
        raise KeyError(f"A model's name must be one of {known}. Received: {name!r}.")

    def __contains__(self, name: str) -> bool:
        return any(model.name == name for model in self.models)

    def ratio(self, name: str, reference: str) -> Ratio:
        """Return the `Ratio` of two models' medians, with its interval.

        Raises:
            ValueError: The models did not run interleaved.
        """
        if not self.conditions.interleaved:
            raise ValueError(
                f"A ratio needs models that ran in turn. Received: times of the scenario "
                f"{self.conditions.scenario}, each model alone. Benchmark without a scenario."
            )
        pair = (name, reference)
        if pair not in self._ratios:
            times, others = self[name].times_ms, self[reference].times_ms
            self._ratios[pair] = Ratio(*pair, *statistics.ratio_of_medians(times, others))
        return self._ratios[pair]

    @functools.cached_property
    def _ratios(self):
        """What was asked for, so that each format need not draw its samples again."""
        return {}

    def against(self, name: str, reference: str) -> str:
        """Return the ratio of two models as text: 1 of the reference itself."""
        return "1" if name == reference else str(self.ratio(name, reference))

    @functools.cached_property
    def ratios(self) -> tuple[Ratio, ...]:
        """Every model against every reference; none where each ran alone."""
        references = self.references if self.conditions.interleaved else ()
        pairs = [(m.name, r) for r in references for m in self.models if m.name != r]
        return tuple(self.ratio(name, reference) for name, reference in pairs)

    @functools.cached_property
    def control(self) -> Ratio | None:
        """The `Ratio` of a model to its own second copy, which should be 1; None without one."""
        for model in self.models if self.conditions.interleaved else ():
            if model.control_of is not None and model.control_of in self:
                return self.ratio(model.name, model.control_of)
        return None

    @property
    def where(self) -> str:
        """Where and how these times were taken, in a sentence."""
        return self.conditions.sentence(self.control)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The failures and the notes, a sentence each."""
        failures = (f"{f.name} failed to {f.stage}: {f.message}" for f in self.failures)
        return (*failures, *self.notes)

    def __str__(self):
        references = self.references if self.conditions.interleaved else ()
        shown = columns.known(self.models, not self.conditions.interleaved)
        header = ["model", *(column.header for column in shown)]
        header += [f"vs {reference}" for reference in references]
        rows = []
        for m in self.models:
            ratios = (self.against(m.name, reference) for reference in references)
            rows.append([m.name, *(column.text(m) for column in shown), *ratios])
        text = table(header, rows, right=range(1, len(header))) + f"\n\n{self.where}"
        return printable(text, lines=True) + "".join(f"\n! {printable(w)}" for w in self.warnings)


def require_comparable(*timings: Timings) -> None:
    """Refuse to put benchmarks side by side that different devices or runtimes took.

    Even where this passes, only models of one interleaved run have a ratio: between runs a median
    moves by 14 % for no other reason than the time of day.

    Raises:
        ValueError: Device, CPU, runtime, version, threads or kernels differ.
    """
    first, *others = timings
    for other in others:
        if differences := first.conditions.differences(other.conditions):
            raise ValueError(
                f"Times compare only on one device with one runtime. Received: results with "
                f"{'; '.join(differences)}. Benchmark all models in one run on the device you mean."
            )
