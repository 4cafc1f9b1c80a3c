"""What to time, in which order, and whether to believe it. The agent does the timing."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from mobile import devices, notes
from mobile.records import Artifact, Conditions, Failure, ModelTimings, Timings, content_of


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
    is loaded in a process of its own first: one that the runtime refuses, or that kills it, is
    listed under `failures` with what was said, and the others are timed.

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
        tolerance: Largest mean output error, as a share of the outputs' span. By default 0.1 % for
            a file that computes in float, 5 % else (int8 kernels differ by some steps at the end).
        control: Whether to time the reference against a second copy of itself.
        kernels: As in `devices.predict`.
        cores: Cores to pin to, by number; by default the last ones.
        budget_s: Seconds after which no further round begins, once 50 rounds (or `runs`, if fewer)
            are done. By default there is no such limit.
        least_s: Seconds that the timed rounds go on for at least, even after `runs` of them.
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
        devices or of threads, a tuple of `Timings`, one for each device and number of threads.

    Raises:
        RuntimeError: No model ran.
    """
    asked = (budget_s, runtime, shape, python, benchmark_model)
    if any(value is not None for value in asked) or least_s or isinstance(device, list | tuple):
        raise NotImplementedError("Only `timeout` of the new arguments is taken already.")
    contents = _named(models)
    references = _references(reference, contents)
    _check_counts(runs=runs, warmups=warmups, threads=threads)
    device = devices.connect(device)
    artifacts = {name: Artifact.from_content(content) for name, content in contents.items()}
    inputs = {name: _inputs(artifact, images) for name, artifact in artifacts.items()}
    wanted, delegates, failures = {}, {}, []
    for name in contents:
        try:
            probed = devices.probe(contents[name], inputs[name], kernels, device)
            delegates[name] = probed.get("delegates")
            wanted[name] = _expected(name, artifacts[name], inputs[name], expected)
        except devices.AgentError as error:
            failures.append(Failure(name, error.stage, error.reason))

    plan = {name: name for name in wanted}
    twin = next((name for name in references if name in plan), None) if control else None
    if twin:
        plan[f"{twin} (again)"] = twin
    job = {"job": "time", "runs": runs, "warmups": warmups, "threads": threads}
    job |= {"kernels": kernels, "cores": cores}
    answer = _time(device, job, plan, contents, inputs, failures)

    timings = []
    for name, found in answer.result["models"].items():
        of = plan[name]
        outputs = [answer.array(file) for file in found["outputs"].values()]
        error = output_error(artifacts[of].restore(outputs), wanted[of])
        allowed = _tolerance(artifacts[of]) if tolerance is None else tolerance
        if not error <= allowed:
            failures.append(Failure(name, "compute", _wrong_answer(error, allowed)))
            continue
        timings.append(
            ModelTimings(
                name=name,
                times_ms=tuple(found["times_ms"]),
                partitions=found["partitions"],
                size_bytes=artifacts[of].size_bytes,
                sha256=hashlib.sha256(contents[of]).hexdigest(),
                output_error=error,
                load_ms=found["load_ms"],
                control_of=of if name != of else None,
            )
        )
    if not timings:
        raise RuntimeError(_nothing_ran(failures))
    said = answer.result["conditions"] | {"device": device.name, "kernels": kernels}
    said |= {"runs": runs, "warmups": warmups, "threads": threads}
    present = tuple(name for name in references if any(m.name == name for m in timings))
    result = Timings(tuple(timings), Conditions.from_dict(said), present, tuple(failures))
    found = notes.find(result, contents, delegates)
    return dataclasses.replace(result, notes=found)


def output_error(outputs, expected):
    """Return the mean difference from the expected outputs, as a share of their span.

    >>> output_error([np.array([0.0, 11.0])], [np.array([0.0, 10.0])])
    0.05
    """
    errors = []
    for got, want in zip(outputs, expected, strict=True):
        if got.shape != want.shape:
            return float("inf")
        span = float(np.max(want) - np.min(want)) or 1.0
        errors.append(float(np.mean(np.abs(got - want))) / span)
    return max(errors)


def _time(device, job, plan, contents, inputs, failures):
    """Run the timing job, without each model in turn that takes the process down with it."""
    while plan:
        job["models"], files = [], {}
        for number, (name, of) in enumerate(plan.items()):
            entry, packed = devices.pack(name, contents[of], inputs[of], prefix=str(number))
            job["models"].append(entry)
            files |= packed
        try:
            return device.run(job, files)
        except devices.AgentError as error:
            if error.model not in plan:
                raise
            failures.append(Failure(error.model, error.stage, error.reason))
            culprit = plan[error.model]
            for name in [name for name, of in plan.items() if of == culprit]:
                del plan[name]
    raise RuntimeError(_nothing_ran(failures))


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
    return {str(name): content_of(model) for name, model in named.items()}


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


def _inputs(artifact, images):
    """Return one batch of raw inputs."""
    batches = [spec.shape[0] if spec.shape and spec.shape[0] > 0 else 1 for spec in artifact.inputs]
    if images is not None:
        prepared = artifact.prepare(images)
        arrays = prepared if isinstance(prepared, list) else [prepared]
        return [np.resize(x[:n], (n, *x.shape[1:])) for x, n in zip(arrays, batches, strict=True)]
    noise = np.random.default_rng(0)
    arrays = []
    for spec in artifact.inputs:
        shape = [max(size, 1) for size in spec.shape]
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            arrays.append(noise.uniform(0, 255, shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            arrays.append(noise.integers(limits.min, limits.max, shape, dtype, endpoint=True))
    return arrays


def _expected(name, artifact, inputs, expected):
    """Return the right outputs, as the caller says or as this machine's plain kernels compute."""
    if expected is None:
        return artifact.restore(devices.predict(artifact.content, inputs, kernels="builtin"))
    if name not in expected:
        raise ValueError(
            f"`expected` must hold the outputs of every model. Received: none for {name!r}. "
            f"Add them, or leave `expected` out."
        )
    outputs = expected[name]
    return [np.asarray(x) for x in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _tolerance(artifact):
    computes_in_float = all("int" not in kind.split()[-1] for kind in artifact.operators)
    return 1e-3 if computes_in_float else 0.05


def _wrong_answer(error, allowed):
    return (
        f"the outputs must lie within {allowed:.1%} of the expected ones, on average and of their "
        f"span. Received: {error:.1%}. Do not use this file on this device; if the expected "
        f"outputs come from another model, raise the tolerance."
    )


def _nothing_ran(failures):
    reasons = "; ".join(f"{f.name} failed to {f.stage}: {f.message}" for f in failures)
    return (
        f"At least one model must run on the device. Received: {reasons}. "
        f"Convert the models again, lowered for this runtime."
    )
