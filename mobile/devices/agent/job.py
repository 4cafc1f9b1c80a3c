"""What the agent can be asked.

A job is a JSON object; every file it names lies in its own folder, and so does the answer,
`result.json`, which is written after every step. Keys that all jobs share:

    job        "probe", "predict", "check" or "benchmark"
    models     [{"name": ..., "file": "0.tflite", "inputs": ["0.0.npy", ...]}, ...]; with "kernels",
               those for this model; with "shape", [[1, 8, 8, 3], ...], its inputs resized
    threads    threads of the runtime, default 1
    kernels    "default" (with the runtime's delegate), "builtin" (without), "reference"
    runtime    module to use, default the first that works
    timeout_s  seconds that one model may take to load, or to run once; default 120
    memory_bytes  what a model may take; default nine tenths of what is free
    limit_s    seconds for the whole job

Jobs:

    probe      load each model, allocate, run it once if it has inputs: partitions, and which
               tensors enter and leave each
    predict    run each model on all its inputs; outputs go to NAME.OUTPUT.npy. With "tensors", a
               list of tensor indices or "all", those instead (only without a delegate)
    check      load and run each model in a process of its own: time of both, memory, outputs. With
               "fallback", a model that the delegate refuses is run without it, in a row of its own
               whose "fallback_of" is the model's name
    benchmark  the same, then time those that ran, in one process and in turn: A B C, C B A, B C A,
               ... for "runs" rounds after "warmups" (see `interleave` for "budget_s", "least_s").
               "control", the name of a model: that one once more, in a row whose "control_of" is
               the name of its row
"""

from __future__ import annotations

from collections.abc import Container

JOBS = ("probe", "predict", "check", "benchmark")
TIMEOUT_S = 120


def fault_of(job: object) -> str | None:
    """Return what is wrong with a job, as far as it shows before it is done; None if nothing."""
    if not isinstance(job, dict):
        return (
            "A job must be a file with a JSON object. Received: none that can be read. Write "
            '{"job": "check", "models": [{"name": "a", "file": "a.tflite"}]}.'
        )
    if job.get("job") not in JOBS:
        return f'"job" must be one of {", ".join(JOBS)}. Received: {job.get("job")!r}. Correct it.'
    models = job.get("models")
    whole = isinstance(models, list) and all(
        isinstance(m, dict) and isinstance(m.get("name"), str) and isinstance(m.get("file"), str)
        for m in models
    )
    if not whole:
        said = "Received: something else. Correct it."
        return f'"models" must be a list of objects with "name" and "file". {said}'
    names = [model["name"] for model in models or ()]
    for name in names:
        if names.count(name) > 1:
            return f'"models" must have names of their own. Received: {name!r} twice. Rename one.'
    needed = ("runs", "warmups") if job["job"] == "benchmark" else ()
    for key in ("runs", "warmups", "threads", "timeout_s"):
        value = job.get(key)
        if not isinstance(value, (int, float)) and (value is not None or key in needed):
            return f'"{key}" must be a number. Received: {value!r}. Correct it.'
    return None


def kernels_of(model: dict, job: dict) -> str:
    """Return the kernels to run one model of a job with."""
    return model.get("kernels") or job.get("kernels") or "default"


def row_name(name: str, remark: str, taken: Container[str]) -> str:
    """Return a name for another row of a model.

    >>> row_name("a", "again", ["a"])
    'a (again)'
    >>> row_name("a", "again", ["a", "a (again)"])
    'a (again, 2)'
    """
    found, number = f"{name} ({remark})", 1
    while found in taken:
        number += 1
        found = f"{name} ({remark}, {number})"
    return found
