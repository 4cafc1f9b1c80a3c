"""The records of a benchmark: raw times of each model, and the conditions they were taken under."""

import functools
from dataclasses import dataclass, field

from mobile.benchmarking import statistics
from mobile.record import Record, table


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
    threads: int
    runs: int
    warmups: int
    kernels: str = "default"
    pinned_cores: tuple[int, ...] = ()
    system: str = ""
    python: str = ""
    numpy: str = ""
    governor: str | None = None
    frequency_mhz: tuple[float, ...] = ()
    temperature_c: tuple[float, ...] = ()
    load: tuple[float, ...] = ()
    started: str = ""
    model: str = ""
    soc: str = ""
    cores: int | None = None
    memory_bytes: int | None = None
    scenario: str = "interleaved"

    def differences(self, other):
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
    mean_ms: float


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
            those have from their mean.
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
    times_ms: tuple[float, ...]
    partitions: int | None
    size_bytes: int
    sha256: str = ""
    output_error: float | None = None
    load_ms: float | None = None
    control_of: str | None = None
    first_ms: float | None = None
    peak_memory_bytes: int | None = None
    kernels: str = "default"
    output_lsb: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    profile: tuple[OperatorTime, ...] = ()
    fallback_of: str | None = None

    @property
    def median_ms(self):
        """Half of the runs were faster."""
        return statistics.median(self.times_ms)

    @property
    def p90_ms(self):
        """90 % of the runs were faster."""
        return statistics.percentile(self.times_ms, 90)

    @property
    def p99_ms(self):
        """99 % of the runs were faster."""
        return statistics.percentile(self.times_ms, 99)

    def to_dict(self):
        """Return the fields and, for readers, the summary."""
        summary = {name: getattr(self, name) for name in ("median_ms", "p90_ms", "p99_ms")}
        return {**super().to_dict(), **summary}


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

    def __getitem__(self, name):
        for model in self.models:
            if model.name == name:
                return model
        for failure in self.failures:
            if failure.name == name:
                raise KeyError(f"Model {name!r} has no times: {failure.message}")
        known = [model.name for model in self.models]
        raise KeyError(f"A model's name must be one of {known}. Received: {name!r}.")

    def ratio(self, name, reference):
        """Return the `Ratio` of two models' medians, with its interval.

        Raises:
            ValueError: The models did not run interleaved.
        """
        if self.conditions.scenario != "interleaved":
            raise ValueError(
                f"A ratio needs models that ran in turn. Received: times of the scenario "
                f"{self.conditions.scenario}, each model alone. Benchmark without a scenario."
            )
        found = statistics.ratio_of_medians(self[name].times_ms, self[reference].times_ms)
        return Ratio(name, reference, *found)

    @functools.cached_property
    def ratios(self):
        """Every model against every reference."""
        pairs = [(m.name, r) for r in self.references for m in self.models if m.name != r]
        return tuple(self.ratio(name, reference) for name, reference in pairs)

    @property
    def control(self):
        """The `Ratio` of a model to its own second copy, which should be 1; None without one."""
        twins = [model for model in self.models if model.control_of]
        return self.ratio(twins[0].name, twins[0].control_of) if twins else None

    def to_dict(self):
        """Return the fields and, for readers, the ratios."""
        return {**super().to_dict(), "ratios": [ratio.to_dict() for ratio in self.ratios]}

    def __str__(self):
        against = {(ratio.name, ratio.reference): str(ratio) for ratio in self.ratios}
        header = ["model", "p50 ms", "p90 ms", "p99 ms", "partitions", "MB", "output error"]
        header += [f"against {reference}" for reference in self.references]
        rows = []
        for m in self.models:
            row = [m.name, m.median_ms, m.p90_ms, m.p99_ms]
            row += ["?" if m.partitions is None else m.partitions, m.size_bytes / 1e6]
            row += ["" if m.output_error is None else f"{m.output_error:.2g}"]
            rows.append(row + [against.get((m.name, r), "1") for r in self.references])
        text = table(header, rows) + f"\n\n{self._where()}"
        lines = [f"{f.name} failed to {f.stage}: {f.message}" for f in self.failures]
        return text + "".join(f"\n! {line}" for line in (*lines, *self.notes))

    def _where(self):
        c = self.conditions
        cores = ", ".join(map(str, c.pinned_cores))
        pinned = f"pinned to core {cores}" if c.pinned_cores else "not pinned"
        how = "interleaved runs" if c.scenario == "interleaved" else f"{c.scenario} runs, at least,"
        return (
            f"{c.device}, {c.cpu}, {c.threads} thread{'s' * (c.threads > 1)} {pinned}; "
            f"{c.runtime} {c.runtime_version}; {c.runs} {how} after {c.warmups} "
            f"warm-ups; {c.started}"
        )


def require_comparable(*timings):
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
