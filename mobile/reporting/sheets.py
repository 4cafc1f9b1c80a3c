"""Tables of benchmarks in words: one a device, and across devices only ratios."""

from dataclasses import dataclass

from mobile.reporting.units import megabytes, millions, milliseconds, percent

#: Headers of columns that hold words, not numbers.
WORDS = ("model", "kind", "operator", "on the CPU", "makes", "why", "SE", "device", "accelerator")


@dataclass(frozen=True)
class Sheet:
    """A table in words: title, header, rows; what stands below; and warnings, a line each.

    `strong` holds the numbers of the rows to stress.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    warnings: tuple[str, ...] = ()
    strong: tuple[int, ...] = ()


def sheets(measured, reference=None) -> list[Sheet]:
    """Return every table of `Measurements`: a device each, then ratios across devices, estimates.

    Args:
        measured: The `Measurements`.
        reference: Name of the model to take ratios against; by default each benchmark's own.
    """
    found = []
    for label, one in measured.labelled:
        found.append(of_device(label, one, reference))
        if one.configurations:
            found.append(_configurations(one))
        if any(m.profile for m in one.timings.models):
            found.append(_profiles(label, one))
    found += across(measured, reference)
    return found + (_estimates(measured) if measured.estimates or measured.failures else [])


def of_device(label, measurement, reference=None) -> Sheet:
    """Return the table of one device."""
    timings = measurement.timings
    alone = timings.conditions.scenario != "interleaved"
    references = () if alone else references_of(measurement, reference)
    columns = _columns(measurement, references, alone)
    shown = [
        name for name, cells in columns.items() if any(cell not in ("", "?") for cell in cells)
    ]
    rows = tuple(zip(*(columns[name] for name in shown), strict=True))
    failures = tuple(f"{f.name} failed to {f.stage}: {f.message}" for f in timings.failures)
    key = {m.name: m.p90_ms if alone else m.median_ms for m in timings.models if not m.control_of}
    fastest = [
        i for i, m in enumerate(timings.models) if m.name == min(key, key=key.get, default="")
    ]
    title = ": ".join(filter(None, (measurement.title, label)))
    caption = f"{where(timings)} {_meaning(timings, shown, references)}".strip()
    return Sheet(title, tuple(shown), rows, caption, (*failures, *timings.notes), tuple(fastest))


def references_of(measurement, reference=None):
    """Return the names that a benchmark's ratios are taken against."""
    if reference is None:
        return measurement.timings.references
    return (reference,) if any(m.name == reference for m in measurement.timings.models) else ()


def _columns(measurement, references, alone):
    """Return header to the cells of every model."""
    models = measurement.timings.models
    conditions = measurement.timings.conditions

    def name(m):
        told = m.kernels == conditions.kernels or "delegate" in m.name
        return m.name if told else f"{m.name} [{m.kernels} kernels]"

    columns = {"model": [name(m) for m in models]}
    if alone:
        columns["runs"] = [f"{len(m.times_ms):,}" for m in models]
        columns["seconds"] = [f"{sum(m.times_ms) / 1e3:.1f}" for m in models]
    for word in ("p90", "median", "p99") if alone else ("median", "p90", "p99"):
        header = f"{word.replace('median', 'p50')} ms"
        columns[header] = [milliseconds(getattr(m, f"{word}_ms")) for m in models]
    columns["first ms"] = [milliseconds(m.first_ms) for m in models]
    columns["load ms"] = [milliseconds(m.load_ms) for m in models]
    columns["file MB"] = [megabytes(m.size_bytes) for m in models]
    columns["memory MB"] = [
        "?" if m.peak_memory_bytes is None else f"{m.peak_memory_bytes / 1e6:.1f}" for m in models
    ]
    columns["partitions"] = ["?" if m.partitions is None else str(m.partitions) for m in models]
    columns["error"] = [_error(m) for m in models]
    for each in references:
        columns[f"vs {each}" if len(references) > 1 else "ratio"] = [
            _ratio(measurement.timings, m.name, each) for m in models
        ]
    columns["accuracy"] = [
        percent(measurement.accuracy[m.name]) if m.name in measurement.accuracy else ""
        for m in models
    ]
    return columns


def _error(model):
    if model.output_lsb is not None:
        return f"{model.output_lsb} LSB"
    return "" if model.output_error is None else f"{100 * model.output_error:.2g} %"


def _ratio(timings, name, reference):
    if name == reference:
        return "1"
    ratio = timings.ratio(name, reference)
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def where(timings) -> str:
    """Return the conditions of a benchmark as a sentence."""
    c = timings.conditions
    device = ", ".join(dict.fromkeys(filter(None, (c.model, c.soc, c.cpu, c.machine))))
    cores = f"{c.cores} cores, " if c.cores else ""
    said = f"{device}; {cores}{c.threads} thread{'s' * (c.threads > 1)}"
    cores = ", ".join(map(str, c.pinned_cores))
    said += f" on core{'s' * (len(c.pinned_cores) > 1)} {cores}" if cores else ", not pinned"
    said += f"; {c.runtime} {c.runtime_version}"
    said += f", {c.kernels} kernels" if c.kernels != "default" else ""
    if c.scenario == "interleaved":
        runs = sorted({len(m.times_ms) for m in timings.models}) or [c.runs]
        said += f"; {runs[-1]:,} interleaved runs each after {c.warmups} warm-ups"
    else:
        said += f"; {c.scenario}: each model alone, run after run"
    if timings.control is not None:
        ratio = timings.control
        said += f"; the same file twice: {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
    return f"{said}; {c.started[:10]}." if c.started else f"{said}."


def _meaning(timings, shown, references):
    """Explain the columns that are there."""
    said = []
    if references:
        word = f"ratio: to {references[0]}, of the" if "ratio" in shown else "vs: ratio of"
        said.append(f"{word} medians, 95 % interval; below 1 is faster.")
    if "error" in shown:
        said.append("error: of the output, mean over its span or largest in steps (LSB).")
    if timings.conditions.scenario != "interleaved":
        said.append("p90 is the figure of merit; no ratios, since the models did not take turns.")
    return " ".join(said)


def _configurations(measurement):
    header = ("model", "SE", "parameters", "MACs")
    rows = [
        (c.name, c.se, millions(c.params), millions(c.macs)) for c in measurement.configurations
    ]
    return Sheet("What was compared", header, tuple(rows))


def _profiles(label, measurement, most=10):
    """Return the costliest operators of each model whose runtime tells them apart."""
    rows = []
    for m in measurement.timings.models:
        total = sum(op.mean_ms for op in m.profile)
        for op in sorted(m.profile, key=lambda op: -op.mean_ms)[:most]:
            rows.append(
                (m.name, op.kind, op.name, milliseconds(op.mean_ms), percent(op.mean_ms / total))
            )
    header = ("model", "kind", "operator", "mean ms", "share")
    return Sheet(f"Costliest operators: {label}", header, tuple(rows))


def across(measured, reference=None) -> list[Sheet]:
    """Return a table of ratios for each reference that several devices share.

    A ratio is of two models on one device: times of two devices, or of two runtimes, never meet.
    """
    pairs = [
        (label, one)
        for label, one in measured.labelled
        if one.timings.conditions.scenario == "interleaved" and one.timings.models
    ]
    if len(pairs) < 2:
        return []
    wanted = dict.fromkeys(r for _, one in pairs for r in references_of(one, reference))
    found = []
    for each in wanted:
        having = [(label, o) for label, o in pairs if any(m.name == each for m in o.timings.models)]
        if len(having) < 2:
            continue
        names = dict.fromkeys(
            m.name for _, o in having for m in o.timings.models if not m.control_of
        )
        rows = []
        for name in names:
            row = [name]
            for _, one in having:
                there = any(m.name == name for m in one.timings.models)
                row.append(_ratio(one.timings, name, each) if there else "-")
            rows.append(tuple(row))
        rows.append(("control: same file twice", *(_control(one.timings) for _, one in having)))
        found.append(
            Sheet(
                f"Times over those of {each}, each within its own device",
                ("model", *(label for label, _ in having)),
                tuple(rows),
                "Ratio of medians, 95 % interval; below 1 is faster. Devices and runtimes are "
                "compared by these ratios only, never by their times.",
            )
        )
    if not found:
        listed = "; ".join(f"{label}: {', '.join(one.timings.references)}" for label, one in pairs)
        found = [
            Sheet(
                "No ratios across devices",
                (),
                (),
                warnings=(
                    f"The devices share no reference ({listed}). Pass --reference with the name "
                    f"of a model that all of them have timed.",
                ),
            )
        ]
    return found


def _control(timings):
    ratio = timings.control
    return "-" if ratio is None else f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _estimates(measured):
    """Return the table of what was estimated, and one of what falls to the CPU."""
    estimates = measured.estimates
    warnings = tuple(f"{f.name} failed to {f.stage}: {f.message}" for f in measured.failures)
    if not estimates:
        return [Sheet("No estimates", (), (), warnings=warnings)]
    sizes = {"sram": "SRAM", "dram": "DRAM", "flash": "flash", "compiled": "file"}
    sizes = {k: v for k, v in sizes.items() if any(getattr(e, f"{k}_bytes") for e in estimates)}
    header = ("model", "accelerator", "est. ms", "MHz", "cycles")
    header += (*(f"{word} KiB" for word in sizes.values()), "CPU ops")
    rows = tuple(
        (
            e.name,
            e.accelerator,
            milliseconds(e.milliseconds),
            f"{e.clock_mhz:.0f}",
            f"{e.cycles:,}",
            *(f"{getattr(e, f'{size}_bytes') / 1024:,.0f}" for size in sizes),
            f"{len(e.cpu_operators)} of {e.operators}",
        )
        for e in estimates
    )
    kinds = dict.fromkeys(f"{e.accelerator}: {e.system}" for e in estimates)
    caption = (
        f"Estimated by {', '.join(dict.fromkeys(e.compiler for e in estimates))}; nothing was run. "
        f"Operators on the CPU are not in the time. Assumed: {'; '.join(kinds)}."
    )
    found = [Sheet("Estimates, no measurement", header, rows, caption, warnings)]
    gone = [
        (e.name, e.accelerator, op.operator, op.makes, op.reason)
        for e in estimates
        for op in e.cpu_operators
    ]
    if gone:
        header = ("model", "accelerator", "on the CPU", "makes", "why")
        found.append(Sheet("Operators that the accelerator leaves to the CPU", header, tuple(gone)))
    return found
