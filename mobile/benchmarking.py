"""What to time, in which order, and whether to believe it. The agent does the timing."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import threading
from collections.abc import Mapping

import numpy as np

from mobile import agent, answers, devices, flatbuffer, keeping, linting, notes
from mobile.answers import output_error
from mobile.records import Artifact, Conditions, Failure, ModelTimings, Timings, content_of
from mobile.timings import OperatorTime

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
        _wanted(expected, name)
    chosen, failures = answers.subjects(contents, images, shape)
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
    study = _Study(chosen, here, expected, tolerance, references, tuple(failures), job, files)

    with keeping.Keeping(study.read_interrupted) as keep:

        def measure(place):
            return [study.measure(place, count, keep, len(places) == 1) for count in counts]

        results = tuple(timings for each in _at_once(measure, places) for timings in each)
    if all(not timings.models for timings in results):
        raise RuntimeError(_nothing_ran([f for timings in results for f in timings.failures]))
    several = isinstance(device, list | tuple) or not isinstance(threads, int)
    return results if several else results[0]


@dataclasses.dataclass(frozen=True)
class _Study:
    """What is measured, the same on every device."""

    chosen: dict
    here: dict
    expected: dict | None
    tolerance: float | None
    references: tuple
    failures: tuple
    job: dict
    files: dict

    def measure(self, device, threads, keep, alone):
        """Run the job on one device. What a lost device gave is kept; one `alone` must give any."""
        job = {**self.job, "threads": threads}
        try:
            answer, lost = device.run(job, self.files, keep.part(device, job)), None
        except devices.AgentError as error:
            answer, lost = error.partial, error
            timed = answer and any(r["times_ms"] for r in answer.result["models"].values())
            if alone and not timed:
                raise
            if not timed:
                failure = Failure(device.name, error.stage, error.reason)
                unknown = Conditions(device.name, "", "", "", "", threads, 0, 0)
                return Timings((), unknown, (), (*self.failures, failure))
        return self._read(device, job, answer, lost)

    def read_interrupted(self, device, job, answer):
        """Return the timings of an answer after which the user wanted no more."""
        return self._read(device, job, answer, devices.AgentError("interrupted", "time"))

    def _read(self, device, job, answer, lost):
        threads = job["threads"]
        result, failures, timings = answer.result, list(self.failures), []
        failures += [Failure(**failure) for failure in result["failures"]]
        counts = [len(row["times_ms"]) for row in result["models"].values() if row["times_ms"]]
        rounds = min(counts, default=0)
        remarks = []
        for name, row in result["models"].items():
            subject = self.chosen[row["of"]]
            if not row["times_ms"]:
                failures.append(Failure(name, "time", "the run ended before its first round"))
                continue
            outputs = [answer.array(file) for file in row["outputs"].values()]
            error, steps, complaint = None, None, None
            if not row.get("unseen"):
                wanted = None if self.expected is None else _wanted(self.expected, row["of"])
                error, steps, complaint = answers.judge(
                    subject, outputs, row, self.here[row["of"]], wanted, self.tolerance
                )
            if complaint:
                failures.append(Failure(name, "compute", complaint))
                continue
            if not row.get("control_of"):
                remarks += _remarks(name, row, steps)
            timings.append(
                ModelTimings(
                    name=name,
                    times_ms=tuple(row["times_ms"][:rounds]),
                    size_bytes=subject.artifact.size_bytes,
                    sha256=subject.artifact.sha256,
                    output_error=error,
                    output_lsb=steps,
                    left_out=_left_out(subject.artifact, row["delegates"]),
                    profile=tuple(OperatorTime(**each) for each in row.get("profile", ())),
                    **{key: row.get(key) for key in _KEPT},
                )
            )
        if lost:
            remarks.append(f"Only {rounds} rounds of {job['runs']} were done: {lost.reason}")
        said = {"machine": "", "cpu": "", "runtime": "", "runtime_version": ""}
        said |= (result["conditions"] or {}) | {"device": device.name, "runs": rounds}
        said |= {key: job[key] for key in ("kernels", "warmups", "threads")}
        names = [model.name for model in timings if not model.control_of]
        plain = {name: f"{name} (without delegate)" for name in self.references}
        present = [name if name in names else plain[name] for name in self.references]
        present = tuple(name for name in present if name in names) or tuple(names[:1])
        found = Timings(tuple(timings), Conditions.from_dict(said), present, tuple(failures))
        contents = {name: subject.artifact.content for name, subject in self.chosen.items()}
        delegates = {name: row["delegates"] for name, row in result["models"].items()}
        if (cores := found.conditions.cores) and threads > cores:
            remarks.append(
                f"{threads} threads ran on {cores} cores, and waited for each other. "
                f"Lower `threads`."
            )
        said = (*remarks, *notes.find(found, contents, delegates))
        return dataclasses.replace(found, notes=said)


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


_KEPT = ("partitions", "load_ms", "first_ms", "peak_memory_bytes", "kernels", "control_of")


def _remarks(name, row, steps):
    if steps is not None and steps > 1:
        yield (
            f"{name}: an output differs by {steps} steps of its quantisation from the same kind of "
            f"kernels on this machine, where 0 or 1 is usual. Integer kernels of another processor "
            f"or version round otherwise; compare accuracies with mobile.verify."
        )
    if row.get("unseen"):
        yield (
            f"{name}: benchmark_model gives no outputs, so nothing says whether the answers are "
            f"right, and each time is the mean of a tenth of the runs. For both, use a Python on "
            f"the device."
        )
    if row.get("repeats") is False:
        yield (
            f"{name}: the same input gave another output in the last round than in the first. "
            f"If the model keeps no state, do not trust it on this device."
        )


def _left_out(artifact, delegates):
    """Return name and dtype of the operators outside the delegate's pieces, to count."""
    if not delegates:
        return {}
    file = flatbuffer.read(artifact.content)
    inside = linting.delegated(file, delegates)
    outside = [f"{op.name} {op.dtype}" for op in file.operators if op.index not in inside]
    return dict(collections.Counter(outside).most_common())


def _wanted(expected, name):
    """Return the right outputs, as the caller says."""
    if name not in expected:
        raise ValueError(
            f"`expected` must hold the outputs of every model. Received: none for {name!r}. "
            f"Add them, or leave `expected` out."
        )
    outputs = expected[name]
    return [np.asarray(x) for x in (outputs if isinstance(outputs, list | tuple) else [outputs])]


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
    if kernels not in agent.KERNELS:
        raise ValueError(
            f"`kernels` must be one of {', '.join(agent.KERNELS)}. Received: {kernels!r}. "
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
