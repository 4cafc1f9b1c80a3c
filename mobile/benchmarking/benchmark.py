"""What to time, in which order, and whether to believe it. The agent does the timing."""

import concurrent.futures
import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobile import devices
from mobile.benchmarking import answers, checkpoint, subjects
from mobile.benchmarking.answers import output_error
from mobile.benchmarking.device_lock import device_lock
from mobile.benchmarking.settings import INTERLEAVED, Runtime, Schedule, combined
from mobile.benchmarking.study import Study, wanted_outputs
from mobile.benchmarking.timings import Failure, Timings
from mobile.tflite.artifact import Artifact
from mobile.tflite.content import content_of

__all__ = ["benchmark", "output_error"]

_JOB_S = 1800  # what a whole job may take beside what the runs must add up to


def benchmark(
    models: Any,
    device: Any = "local",
    *,
    reference: str | Sequence[str] | None = None,
    images: Any = None,
    expected: Mapping | None = None,
    tolerance: float | None = None,
    shape: Sequence[int] | Mapping | None = None,
    schedule: Schedule = INTERLEAVED,
    runtime: Runtime | str | None = None,
    **fields: Any,
) -> Timings | tuple[Timings, ...]:
    """Time models side by side on a device, after checking that it computes the right answers.

    All run in one process and in turn (A B, B A, ...), so that what disturbs one disturbs all. Each
    is loaded in a process of its own first: one that cannot be read, that the runtime refuses, or
    that kills it or hangs, is listed under `failures` with what was said, and the others are timed.
    One that only the delegate refuses is timed without it, as "NAME (without delegate)".

    An answer is compared with another computation of the same file (`expected`, else the plain
    kernels of this machine), and must lie within `tolerance`. Where the device has the same
    runtime, version and kind of processor as this machine, and one thread runs, it must also equal
    the answer of the same kernels here to the bit.

    One timing at a time runs on a device: a second one of this user's on this machine waits.

    Args:
        models: Name to `Artifact`, bytes or path; or a sequence, named after scheme or file.
        device: `"local"`, `"ssh:[user@]host[:port]"`, `"adb[:serial]"`, or a device of
            `mobile.devices`. Several in a list are measured at the same time.
        reference: Name of the model to compare with, or several names; by default the first.
        images: Pixels to run on, prepared as each artifact says; the first batch is taken. Without
            them the input is noise in the range that the file tells, or of several usual ones the
            first to which the answer changes; that is as good for timing.
        expected: Name to the right real-valued outputs, one array or a list. Without it, they come
            from the plain kernels of the runtime on this machine.
        tolerance: Largest `output_error`, the distance from the expected outputs over the distance
            that those have from their mean. By default 0.01 for a file that computes in float, 0.6
            else: see `mobile.benchmarking.answers.tolerance_of`.
        shape: Shape of the input, for a model that leaves it open; of a model with several inputs,
            input name to shape.
        schedule: How often the models are run; by default 200 rounds after 20.
        runtime: What runs them there, a `mobile.Runtime` or the name of one.
        fields: Fields of both records by themselves, such as `runs=50, threads=(1, 2)`.

    Returns:
        `Timings`. Print it for a table; `ratio(name, reference)` has intervals. Given a list of
        devices or of threads, a tuple of `Timings`, one for each device and number of threads; of
        a device that gave no times, one with a failure of its name.

    Raises:
        RuntimeError: No model ran. `devices.AgentError`, where the device is to blame, is one.
    """
    schedule, runtime = combined(schedule, runtime, fields)
    contents = _named(models)
    references = _references(reference, contents)
    _check_tolerance(tolerance)
    several = isinstance(device, list | tuple)
    places = [
        devices.connect(place, runtime.python, runtime.benchmark_model)
        for place in (device if several else [device])
    ]
    if expected is not None:
        for name in contents:
            wanted_outputs(expected, name)
    chosen, failures = subjects.subjects(contents, images, shape)
    chosen, here = answers.compute(chosen, runtime.kernels, schedule.timeout)
    for name in list(chosen):
        if expected is None and not here[name].outputs:
            failures.append(Failure(name, "run here", next(iter(here[name].reasons.values()))))
            del chosen[name]
    if not chosen:
        raise RuntimeError(_nothing_ran(failures))
    job, files = _job(chosen, references[0], schedule, runtime)
    study = Study(chosen, here, expected, tolerance, references, tuple(failures), job, files)

    with checkpoint.Keeping(study.read_interrupted) as keep:

        def measure(place):
            with device_lock(place.name):
                return [study.measure(place, n, keep, len(places) == 1) for n in runtime.counts]

        results = tuple(timings for each in _at_once(measure, places) for timings in each)
    if all(not timings.models for timings in results):
        raise RuntimeError(_nothing_ran([f for timings in results for f in timings.failures]))
    return results if several or not isinstance(runtime.threads, int) else results[0]


def _job(chosen, reference, schedule, runtime):
    """Return the job that the agent does on every device, but for the threads, and its files."""
    job = {
        "job": "benchmark",
        "runs": schedule.runs,
        "warmups": schedule.warmups,
        "budget_s": schedule.budget_s,
        "least_s": schedule.least_s,
        "control": reference if schedule.control else None,
        "timeout_s": schedule.timeout,
        "limit_s": _JOB_S + 2 * schedule.least_s * (len(chosen) + 1),
        "kernels": runtime.kernels,
        "cores": None if runtime.cores is None else list(runtime.cores),
        "runtime": runtime.name,
        "fallback": True,
        "models": [],
    }
    files = {}
    for number, subject in enumerate(chosen.values()):
        entry, packed = subject.pack(str(number))
        job["models"].append(entry)
        files |= packed
    return job, files


def _at_once(measure, places):
    """Return what `measure` gives of each place, in threads that an interrupt does not await."""
    if len(places) == 1:
        return [measure(places[0])]
    results = [concurrent.futures.Future() for _ in places]

    def run(place, result):
        try:
            result.set_result(measure(place))
        except BaseException as error:
            result.set_exception(error)

    for pair in zip(places, results, strict=True):
        threading.Thread(target=run, args=pair, daemon=True).start()
    return [result.result() for result in results]


def _named(models):
    """Return name to bytes."""
    if isinstance(models, Mapping):
        named = dict(models)
    elif isinstance(models, str | os.PathLike | bytes | Artifact):
        return _named([models])
    else:
        named = {}
        for number, model in enumerate(models):
            name = f"model {number}"
            if isinstance(model, Artifact):
                name = model.scheme
            elif isinstance(model, str | os.PathLike):
                name = pathlib.Path(model).stem
            named[name if name not in named else f"{name} {number}"] = model
    if not named:
        raise ValueError("At least one model must be given. Received: none. Pass {name: path}.")
    return {str(name): _content_of(model) for name, model in named.items()}


def _content_of(model):
    """Return the bytes of a model, or why they cannot be read: that costs its row alone."""
    try:
        return content_of(model)
    except (OSError, ValueError) as error:
        return error


def _references(reference, contents):
    if reference is None:
        return (next(iter(contents)),)
    references = (reference,) if isinstance(reference, str) else tuple(reference)
    for name in references:
        if name not in contents:
            raise ValueError(
                f"`reference` must name one of the models. Received: reference={name!r}. "
                f"Known: {', '.join(contents)}."
            )
    return references


def _check_tolerance(tolerance):
    if tolerance is not None and not 0 <= tolerance < np.inf:
        raise ValueError(
            f"`tolerance` must be a number from 0. Received: tolerance={tolerance!r}. "
            f"Leave it out for 0.01 in float and 0.6 in integers."
        )


def _nothing_ran(failures):
    reasons = "; ".join(f"{f.name} failed to {f.stage}: {f.message.rstrip('.')}" for f in failures)
    return f"At least one model must run on the device. Received: {reasons}.{_advice(failures)}"


def _advice(failures):
    """Return what to do about models that failed, by the cause that all share."""
    if all(f.stage in ("read", "compute") for f in failures):
        return ""  # each has its own
    said = {_CAUSES[cause] for f in failures for cause in _CAUSES if cause in f.message}
    return f" {said.pop()}" if len(said) == 1 else " `keras-se lint` says what a runtime refuses."


_CAUSES = {
    "custom op": "Convert the model without operators that its runtime lacks, or name a `runtime` "
    "or `kernels` that have them.",
    "Select TensorFlow op": "Pass runtime='tensorflow', which has TensorFlow's own operators.",
    "took longer": "Raise `timeout`, if the model is so slow.",
    "memory": "Use a smaller model, `shape` or batch, or a device with more memory.",
}
