"""Ways to put the question to a device other than taking turns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mobile.benchmarking import benchmark
from mobile.benchmarking.settings import SINGLE_STREAM, Runtime, Schedule, combined
from mobile.benchmarking.timings import Failure, Timings

SCENARIOS = ("single-stream",)


def single_stream(
    models: Any,
    device: Any = "local",
    *,
    images: Any = None,
    expected: Mapping | None = None,
    tolerance: float | None = None,
    shape: Any = None,
    schedule: Schedule = SINGLE_STREAM,
    runtime: Runtime | str | None = None,
    **fields: Any,
) -> Timings | tuple[Timings, ...]:
    """Time each model alone, run after run; the figure of merit is the 90th percentile.

    Args:
        models: Name to `Artifact`, bytes or path.
        device: As in `mobile.benchmark`.
        images: As in `mobile.benchmark`.
        expected: As in `mobile.benchmark`.
        tolerance: As in `mobile.benchmark`.
        shape: As in `mobile.benchmark`.
        schedule: At least so many runs of each model, which add up to at least so many seconds.
        runtime: As in `mobile.benchmark`.
        fields: Fields of both records by themselves, such as `runs=2048`.

    Returns:
        As `mobile.benchmark`: `Timings`, which have no ratios, since the models took no turns.

    Raises:
        RuntimeError: No model ran.

    Source:
        MLPerf inference rules, single stream: one query at a time, the next when the last is
        answered; at least 1,024 queries and 60 s; 90th percentile. Not an official result: there is
        no LoadGen here, and the percentile is interpolated (numpy's default).
    """
    schedule, runtime = combined(schedule, runtime, fields)
    schedule = dataclasses.replace(schedule, control=False)
    found, failures = [], []
    for name, model in models.items():
        try:
            answer = benchmark.benchmark(
                {name: model},
                device,
                images=images,
                expected=expected,
                tolerance=tolerance,
                shape=shape,
                schedule=schedule,
                runtime=runtime,
            )
        except RuntimeError as error:
            failures.append((Failure(name, "run", str(error)), error))
            continue
        found.append(answer if isinstance(answer, tuple) else (answer,))
    if not found:
        raise failures[0][1]
    failed = tuple(failure for failure, _ in failures)
    merged = tuple(
        _merge([each[place] for each in found], failed, schedule) for place in range(len(found[0]))
    )
    one = not isinstance(device, list | tuple) and isinstance(runtime.threads, int)
    return merged[0] if one else merged


def _merge(several, failures, schedule):
    """Return the timings of models that ran alone on one device as one record."""
    runs, least_s = schedule.runs, schedule.least_s
    models = tuple(m for timings in several for m in timings.models)
    notes = dict.fromkeys(note for timings in several for note in timings.notes)
    for m in models:
        seconds = sum(m.times_ms) / 1e3
        if len(m.times_ms) < runs or seconds < 0.98 * least_s:  # the device counted to it
            notes[
                f"{m.name} ran {len(m.times_ms):,} times in {seconds:.1f} s, where single-stream "
                f"wants {runs:,} runs and {least_s:g} s: its p90 is no single-stream figure. "
                f"Leave `budget_s` out, or see what ended the run."
            ] = None
    conditions = next((t.conditions for t in several if t.models), several[0].conditions)
    return Timings(
        models,
        dataclasses.replace(conditions, scenario="single-stream", runs=runs),
        (),
        (*(f for timings in several for f in timings.failures), *failures),
        tuple(notes),
    )
