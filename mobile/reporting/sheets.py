"""Benchmarks as a page: a table a device, and across devices only ratios."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mobile.benchmarking import columns
from mobile.benchmarking.columns import milliseconds
from mobile.benchmarking.measurements import Measurement, Measurements
from mobile.benchmarking.timings import ModelTimings, Timings
from mobile.reporting import plots
from mobile.reporting.pages import Page, Picture, Sheet, facts, share
from mobile.reporting.units import millions, percent

_PLACE = ("device", "soc", "cpu", "machine", "runtime", "runtime_version", "threads")
_PLACE += ("kernels", "scenario", "started")
_ORIGIN = ("control_of", "fallback_of", "sha256")


def page(measured: Measurements, reference: str | None = None) -> Page:
    """Return the report of benchmarks: a device each, then ratios across devices, estimates.

    Args:
        measured: The record.
        reference: Name of the model to take ratios against; by default each benchmark's own.
    """
    many = len(measured.measurements)
    summary = [f"{many} measurements"] if many > 1 else []
    summary += [measured.created[:10]] if measured.created else []
    summary += [f"{name} {version}" for name, version in measured.versions.items()]
    found = tuple(sheets(measured, reference))
    return Page("Latency", ", ".join(summary), found, tuple(rows(measured, reference)))


def sheets(measured: Measurements, reference: str | None = None) -> list[Sheet]:
    """Return the tables of `page`."""
    found = []
    for number, (label, one) in enumerate(measured.labelled):
        found.append(of_device(label, one, reference, number))
        found.append(facts("Conditions", one.timings.conditions.to_dict()))
        if one.configurations:
            found.append(_configurations(one))
        if any(m.profile for m in one.timings.models):
            found.append(_profiles(label, one))
    found += across(measured, reference)
    return found + (_estimates(measured) if measured.estimates or measured.failures else [])


def of_device(
    label: str, measurement: Measurement, reference: str | None = None, number: int = 0
) -> Sheet:
    """Return the table of one device, with the pictures numbered after it."""
    timings = measurement.timings
    alone = not timings.conditions.interleaved
    references = references_of(timings, reference)
    title = ": ".join(filter(None, (measurement.title, label)))
    if not timings.models:
        return Sheet(title, warnings=timings.warnings)
    cells = {"model": [_name(m, timings) for m in timings.models]}
    cells |= compared(timings, timings.models, references)
    if known := measurement.accuracy.keys() & {m.name for m in timings.models}:
        right = {name: percent(measurement.accuracy[name]) for name in known}
        cells["accuracy"] = [right.get(m.name, "") for m in timings.models]
    said = [timings.where]
    said += ratios_in_words(references)
    if "error" in cells:
        said.append("error: distance of the output from the right one, over its spread.")
    if "LSB" in cells:
        said.append("LSB: largest difference from this machine's answer, in quantisation steps.")
    if alone:
        said.append("p90 is the figure of merit; no ratios, since the models did not take turns.")
    times = {m.name: m.p90_ms if alone else m.median_ms for m in timings.models if not m.control_of}
    fastest = min(times.values())
    return Sheet(
        title,
        tuple(cells),
        tuple(zip(*cells.values(), strict=True)),
        " ".join(said),
        timings.warnings,
        tuple(i for i, m in enumerate(timings.models) if times.get(m.name) == fastest),
        columns.spare(),
        tuple(_pictures(label, measurement, number)),
    )


def compared(
    timings: Timings,
    models: Sequence[ModelTimings | None],
    references: Sequence[str],
    label: Callable[[str], str] = str,
) -> dict[str, list[str]]:
    """Return header to cells: every column in which something is known, and ratios.

    Args:
        timings: The benchmark.
        models: Those of it that have a row; None is one that did not run.
        references: Names of the models to take ratios to.
        label: Such a name to what the header says.
    """
    cells = {
        column.header: [column.text(m) for m in models]
        for column in columns.known(models, not timings.conditions.interleaved)
    }
    for each in references:
        header = f"vs {label(each)}" if len(references) > 1 else "ratio"
        cells[header] = [timings.against(m.name, each) if m else "?" for m in models]
    return cells


def ratios_in_words(references: Sequence[str], label: Callable[[str], str] = str) -> list[str]:
    """Explain the columns of ratios that `compared` makes."""
    if not references:
        return []
    what = f"ratio: to {label(references[0])}, of the" if len(references) == 1 else "vs: ratio of"
    return [f"{what} medians, 95 % interval; below 1 is faster."]


def references_of(timings: Timings, reference: str | None = None) -> tuple[str, ...]:
    """Return the names that a benchmark's ratios are taken against."""
    if not timings.conditions.interleaved:
        return ()
    if reference is None:
        return timings.references
    return (reference,) if reference in timings else ()


def _name(model, timings):
    """Return a model's name, and its kernels where nothing else tells that they are others."""
    told = model.kernels == timings.conditions.kernels or model.fallback_of
    return model.name if told else f"{model.name} [{model.kernels} kernels]"


def _pictures(label, measurement, number):
    timings = measurement.timings
    draw = partial(plots.latency_distributions, timings, title=label)
    yield Picture(f"latency_{number}.png", "Latency distributions", draw)
    colour = plots.own_colours([m.name for m in timings.models])
    points = [
        plots.Point(m.name, m.median_ms, measurement.accuracy[m.name], colour(m.name))
        for m in timings.models
        if m.name in measurement.accuracy
    ]
    if points:
        draw = partial(plots.accuracy_against_latency, points, measurement.test_images, label)
        yield Picture(f"accuracy_{number}.png", "Accuracy against latency", draw)


def of_networks(figures: dict[str, Any]) -> Page:
    """Return the networks that `keras-se models` lists."""
    header = ("network", "parameters", "in SE", "MACs", "in SE", "image", "source")
    listed = tuple(
        (
            name,
            millions(one["params"]),
            percent(share(one["se_params"], one["params"])),
            millions(one["macs"]),
            percent(share(one["se_macs"], one["macs"])),
            f"{one['input_shape'][0]}x{one['input_shape'][1]}",
            one["source"],
        )
        for name, one in figures.items()
    )
    return Page("Networks", "", (Sheet("", header, listed),))


def _configurations(measurement):
    header = ("model", "SE", "parameters", "MACs")
    listed = [
        (c.name, c.se, millions(c.params), millions(c.macs)) for c in measurement.configurations
    ]
    return Sheet("What was compared", header, tuple(listed))


def _profiles(label, measurement, most=10):
    """Return the costliest operators of each model whose runtime tells them apart."""
    listed = []
    for m in measurement.timings.models:
        total = sum(op.mean_ms for op in m.profile)
        for op in sorted(m.profile, key=lambda op: -op.mean_ms)[:most]:
            part = percent(share(op.mean_ms, total))
            listed.append((m.name, op.kind, op.name, milliseconds(op.mean_ms), part))
    header = ("model", "kind", "operator", "mean ms", "share")
    return Sheet(f"Costliest operators: {label}", header, tuple(listed))


def across(measured: Measurements, reference: str | None = None) -> list[Sheet]:
    """Return a table of ratios for each reference that several devices share.

    A ratio is of two models on one device: times of two devices, or of two runtimes, never meet.
    """
    pairs = [
        (label, one.timings)
        for label, one in measured.labelled
        if one.timings.conditions.interleaved and one.timings.models
    ]
    if len(pairs) < 2:
        return []
    found = []
    for each in dict.fromkeys(r for _, timings in pairs for r in references_of(timings, reference)):
        having = [(label, timings) for label, timings in pairs if each in timings]
        if len(having) < 2:
            continue
        names = dict.fromkeys(m.name for _, t in having for m in t.models if not m.control_of)
        listed = [
            (name, *(t.against(name, each) if name in t else "-" for _, t in having))
            for name in names
        ]
        listed.append(("control: same file twice", *(str(t.control or "-") for _, t in having)))
        found.append(
            Sheet(
                f"Times over those of {each}, each within its own device",
                ("model", *(label for label, _ in having)),
                tuple(listed),
                "Ratio of medians, 95 % interval; below 1 is faster. Devices and runtimes are "
                "compared by these ratios only, never by their times.",
            )
        )
    if not found:
        listed = "; ".join(f"{label}: {', '.join(t.references)}" for label, t in pairs)
        said = (
            f"The devices share no reference ({listed}). Pass --reference with the name of a model "
            f"that all of them have timed."
        )
        found = [Sheet("No ratios across devices", warnings=(said,))]
    return found


def _estimates(measured):
    """Return the table of what was estimated, and one of what falls to the CPU."""
    estimates = measured.estimates
    warnings = tuple(f"{f.name} failed to {f.stage}: {f.message}" for f in measured.failures)
    if not estimates:
        return [Sheet("No estimates", warnings=warnings)]
    sizes = {"sram": "SRAM", "dram": "DRAM", "flash": "flash", "compiled": "file"}
    sizes = {k: v for k, v in sizes.items() if any(getattr(e, f"{k}_bytes") for e in estimates)}
    header = ("model", "accelerator", "est. ms", "MHz", "cycles")
    header += (*(f"{word} KiB" for word in sizes.values()), "CPU ops")
    listed = tuple(
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
    narrow = ("file KiB", "MHz")
    found = [Sheet("Estimates, no measurement", header, listed, caption, warnings, (), narrow)]
    gone = [
        (e.name, e.accelerator, op.operator, op.makes, op.reason)
        for e in estimates
        for op in e.cpu_operators
    ]
    if gone:
        header = ("model", "accelerator", "on the CPU", "makes", "why")
        found.append(Sheet("Operators that the accelerator leaves to the CPU", header, tuple(gone)))
    return found


def rows(measured: Measurements, reference: str | None = None) -> list[dict[str, Any]]:
    """Return one row a model and device, plain numbers with units in the names.

    `kind` is `measured`, `failed` or `estimated`.
    """
    found = []
    for label, one in measured.labelled:
        timings = one.timings
        place = {name: getattr(timings.conditions, name) for name in _PLACE}
        place |= {"device_model": timings.conditions.model, "label": label}
        against = references_of(timings, reference)[:1]
        for m in timings.models:
            row = {"kind": "measured", **place, "model": m.name}
            row |= {column.field: column.value(m) for column in columns.COLUMNS}
            row |= {name: getattr(m, name) for name in _ORIGIN}
            row["accuracy"] = one.accuracy.get(m.name)
            for each in against:
                ratio = None if m.name == each else timings.ratio(m.name, each)
                row |= {"reference": each, "ratio": ratio.value if ratio else 1}
                row |= {"ratio_low": ratio and ratio.low, "ratio_high": ratio and ratio.high}
            found.append(row)
        for f in timings.failures:
            failure = f"failed to {f.stage}: {f.message}"
            found.append({"kind": "failed", **place, "model": f.name, "failure": failure})
    for e in measured.estimates:
        row = {"kind": "estimated", "device": e.accelerator, "model": e.name}
        row |= {"estimated_ms": e.milliseconds, "cycles": e.cycles, "sram_bytes": e.sram_bytes}
        row |= {"flash_bytes": e.flash_bytes, "cpu_operators": len(e.cpu_operators)}
        found.append(row)
    return found
