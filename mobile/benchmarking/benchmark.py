"""What to time, in which order, and whether to believe it. The agent does the timing."""

import concurrent.futures
import os
import pathlib
import threading
from collections.abc import Mapping

from mobile import devices
from mobile.benchmarking import answers, checkpoint, subjects
from mobile.benchmarking.answers import output_error
from mobile.benchmarking.study import Study, wanted_outputs
from mobile.benchmarking.timings import Failure
from mobile.devices.agent.runtime import KERNELS
from mobile.tflite.artifact import Artifact
from mobile.tflite.content import content_of

__all__ = ["benchmark", "output_error"]


def benchmark(
    models,
    device="local",
    runs=100,
    warmups=20,
    threads=1,
    reference=None,
    images=None,
    expected=None,
    tolerance=None,
    control=True,
    kernels="default",
    cores=None,
    budget_s=None,
    least_s=0.0,
    runtime=None,
    shape=None,
    timeout=120.0,
    python=None,
    benchmark_model=None,
):
    """Time models side by side on a device, after checking that it computes the right answers.

    All run in one process and in turn (A B, B A, ...), so that what disturbs one disturbs all. Each
    is loaded in a process of its own first: one that cannot be read, that the runtime refuses, or
    that kills it or hangs, is listed under `failures` with what was said, and the others are timed.
    One that only the delegate refuses is timed without it, as "NAME (without delegate)".

    Args:
        models: Name to `Artifact`, bytes or path; or a sequence, named after scheme or file.
        device: `"local"`, `"ssh:[user@]host[:port]"`, `"adb[:serial]"`, or a device of
            `mobile.devices`. Several in a list are measured at the same time.
        runs: Timed rounds.
        warmups: Rounds before those, at least; more until the times stop falling.
        threads: Threads of the runtime. The process is pinned to as many cores. Of several in a
            list, each is measured in turn.
        reference: Name of the model to compare with, or several names; by default the first.
        images: Pixels to run on, prepared as each artifact says. Without them the input is noise
            (pixels 0 to 255 for a float input), which is as good for timing.
        expected: Name to the right real-valued outputs, one array or a list. Without it, they come
            from the plain kernels of the runtime on this machine.
        tolerance: Largest mean output error, as a share of the outputs' span. By default 1e-4 for
            a file that computes in float, 5 % else (int8 kernels differ by some steps at the end).
        control: Whether to time the reference against a second copy of itself.
        kernels: As in `devices.predict`.
        cores: Cores to pin to, by number; by default the last ones.
        budget_s: Seconds after which no further round begins, once 50 rounds (or `runs`, if fewer)
            are done. By default there is no such limit.
        least_s: Seconds that the runs of each model must add up to, even after `runs` of them.
        runtime: `"ai_edge_litert"`, `"tflite_runtime"` or `"tensorflow"`; by default the first of
            them that the device has.
        shape: Shape of the input, for a model that leaves it open; of a model with several inputs,
            input name to shape.
        timeout: Seconds that one model may take to load or to run once; then it is given up.
        python: Python interpreter on the device, by default `python3` (here, this one).
        benchmark_model: Path, here, of TFLite's native `benchmark_model` made for the device; runs
            in place of Python on an adb device.

    Returns:
        `Timings`. Print it for a table; `ratio(name, reference)` has intervals. Given a list of
        devices or of threads, a tuple of `Timings`, one for each device and number of threads; of
        a device that gave no times, one with a failure of its name.

    Raises:
        RuntimeError: No model ran. `devices.AgentError`, where the device is to blame, is one.
    """
    contents = _named(models)
    references = _references(reference, contents)
    counts = (threads,) if isinstance(threads, int) else tuple(threads)
    _check_counts(runs=runs, warmups=warmups)
    _check_options(kernels, timeout=timeout, budget_s=budget_s)
    for count in counts:
        _check_counts(threads=count)
    places = device if isinstance(device, list | tuple) else [device]
    places = [devices.connect(place, python, benchmark_model) for place in places]
    for name in contents if expected is not None else ():
        wanted_outputs(expected, name)
    chosen, failures = subjects.subjects(contents, images, shape)
    here, reasons = answers.compute(chosen, kernels, timeout) if chosen else ({}, {})
    for name in list(chosen):
        if expected is None and not here[name].keys() & {"builtin", "reference"}:
            reason = next(iter(reasons[name].values()))
            failures.append(Failure(name, "run here", reason))
            del chosen[name]
    if not chosen:
        raise RuntimeError(_nothing_ran(failures))
    job = {
        "job": "benchmark",
        "runs": runs,
        "warmups": warmups,
        "kernels": kernels,
        "cores": cores,
        "budget_s": budget_s,
        "least_s": least_s,
        "runtime": runtime,
        "timeout_s": timeout,
        "limit_s": 1800 + 2 * least_s * (len(chosen) + 1),
        "control": references[0] if control else None,
        "fallback": True,
        "models": [],
    }
    files = {}
    for number, subject in enumerate(chosen.values()):
        entry, packed = subject.pack(str(number))
        job["models"].append(entry)
        files |= packed
    study = Study(chosen, here, expected, tolerance, references, tuple(failures), job, files)

    with checkpoint.Keeping(study.read_interrupted) as keep:

        def measure(place):
            return [study.measure(place, count, keep, len(places) == 1) for count in counts]

        results = tuple(timings for each in _at_once(measure, places) for timings in each)
    if all(not timings.models for timings in results):
        raise RuntimeError(_nothing_ran([f for timings in results for f in timings.failures]))
    several = isinstance(device, list | tuple) or not isinstance(threads, int)
    return results if several else results[0]


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
    except OSError as error:
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


def _check_counts(**counts):
    for name, count in counts.items():
        least = 0 if name == "warmups" else 1
        if not isinstance(count, int) or count < least:
            raise ValueError(
                f"`{name}` must be a whole number, at least {least}. Received: {name}={count!r}. "
                f"Leave it out for the default."
            )


def _check_options(kernels, **seconds):
    if kernels not in KERNELS:
        raise ValueError(
            f"`kernels` must be one of {', '.join(KERNELS)}. Received: {kernels!r}. "
            f"Leave it out for the runtime's delegate."
        )
    for name, value in seconds.items():
        if value is not None and not value > 0:
            raise ValueError(
                f"`{name}` must be a number of seconds above 0. Received: {name}={value!r}. "
                f"Leave it out for the default."
            )


def _nothing_ran(failures):
    reasons = "; ".join(f"{f.name} failed to {f.stage}: {f.message.rstrip('.')}" for f in failures)
    unread = all(f.stage == "read" for f in failures)
    advice = "" if unread else " Convert the models again, lowered for this runtime."
    return f"At least one model must run on the device. Received: {reasons}.{advice}"
