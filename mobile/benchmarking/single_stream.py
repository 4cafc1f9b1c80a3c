"""Ways to put the question to a device other than taking turns."""

import dataclasses

from mobile.benchmarking import benchmark
from mobile.benchmarking.timings import Failure, Timings

SCENARIOS = ("single-stream",)


def single_stream(models, runs=1024, least_s=60.0, **options):
    """Time each model alone, run after run; the figure of merit is the 90th percentile.

    Args:
        models: Name to `Artifact`, bytes or path.
        runs: Runs of each model, at least.
        least_s: Seconds that the runs of each model add up to, at least.
        options: As for `mobile.benchmark`: `device`, `threads`, `runtime`, ...

    Returns:
        As `mobile.benchmark`: `Timings`, which have no ratios, since the models took no turns.

    Raises:
        RuntimeError: No model ran.

    Source:
        MLPerf inference rules, single stream: one query at a time, the next when the last is
        answered; at least 1,024 queries and 60 s; 90th percentile. Not an official result: there is
        no LoadGen here, and the percentile is interpolated (numpy's default).
    """
    found, failures = [], []
    for name, model in models.items():
        try:
            answer = benchmark.benchmark(
                {name: model}, runs=runs, least_s=least_s, control=False, **options
            )
        except RuntimeError as error:
            failures.append((Failure(name, "run", str(error)), error))
            continue
        found.append(answer if isinstance(answer, tuple) else (answer,))
    if not found:
        raise failures[0][1]
    failed = tuple(failure for failure, _ in failures)
    merged = tuple(
        _merge([each[place] for each in found], failed, runs, least_s)
        for place in range(len(found[0]))
    )
    one = isinstance(options.get("device", "local"), str) and isinstance(
        options.get("threads", 1), int
    )
    return merged[0] if one else merged


def _merge(several, failures, runs, least_s):
    """Return the timings of models that ran alone on one device as one record."""
    models = tuple(m for timings in several for m in timings.models)
    notes = dict.fromkeys(note for timings in several for note in timings.notes)
    for m in models:
        seconds = sum(m.times_ms) / 1e3
        if len(m.times_ms) < runs or seconds < 0.98 * least_s:  # the device counted to it
            notes[
                f"{m.name} ran {len(m.times_ms):,} times in {seconds:.1f} s, where single-stream "
                f"wants {runs:,} runs and {least_s:g} s: its p90 is no single-stream figure. "
                f"Leave out --budget-s."
            ] = None
    conditions = next((t.conditions for t in several if t.models), several[0].conditions)
    return Timings(
        models,
        dataclasses.replace(conditions, scenario="single-stream", runs=runs),
        (),
        (*(f for timings in several for f in timings.failures), *failures),
        tuple(notes),
    )
