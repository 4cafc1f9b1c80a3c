"""One step of a job, in a process that may not survive it."""

from __future__ import annotations

import os
import sys
import threading
import time

from .beat import Beat
from .interleaving import interleave
from .json_files import read_json, write_json
from .machine import conditions, reading
from .process import limit_memory, memory_bytes, pin
from .runtime import (
    batch_of,
    delegates_of,
    find_runtime,
    inputs_of,
    load,
    outputs_of,
    set_inputs,
)


def work(path: str) -> int:
    """Do one step of a job in this process, which may not survive it; return the exit status."""
    os.chdir(os.path.dirname(os.path.abspath(path)))
    threading.Thread(target=_leave_with_the_supervisor, daemon=True).start()
    job = read_json(path)
    beat, memory = Beat("beat"), "not limited"
    try:
        beat.tell("import a runtime")
        runtime = find_runtime(job)
        memory = limit_memory(job)
        answer, status = dict(STEPS[job["job"]](job, runtime, beat), error=None), 0
    except Exception as error:
        said = str(error).strip() or f"no reason given. Was the memory enough ({memory})?"
        answer, status = {"error": f"{type(error).__name__}: {said}"}, 1
    write_json("answer.json", answer)
    return status


def _leave_with_the_supervisor():
    """End this process when the other end of its standard input is closed."""
    if sys.stdin is not None:
        sys.stdin.buffer.read()
        os._exit(1)


def probe(job: dict, runtime: dict, beat: Beat) -> dict:
    """Load and run each model once."""
    found = {}
    for place, model in enumerate(job["models"], 1):
        interpreter, load_ms = load(runtime, model, job, beat, place)
        delegates = delegates_of(interpreter)
        partitions = None if delegates is None else len(delegates)
        found[model["name"]] = {
            "partitions": partitions,
            "delegates": delegates,
            "load_ms": load_ms,
        }
        inputs, batch = inputs_of(model), batch_of(interpreter)
        if inputs:
            beat.tell("run", place)
            set_inputs(interpreter, [x[:batch] if x.ndim else x for x in inputs])
            interpreter.invoke()
    return {"models": found, "runtime": runtime["name"], "runtime_version": runtime["version"]}


def predict(job: dict, runtime: dict, beat: Beat) -> dict:
    """Run each model on all its inputs, a batch of the model's size at a time."""
    import numpy as np

    wanted = job.get("tensors")
    files = {}
    for place, model in enumerate(job["models"], 1):
        interpreter, _ = load(runtime, model, job, beat, place, preserve=bool(wanted))
        inputs, batch = inputs_of(model), batch_of(interpreter)
        if not inputs:
            raise ValueError(
                'A model to predict with must have "inputs". Received: none. Name its .npy files.'
            )
        count = len(inputs[0])
        if any(len(x) != count for x in inputs) or count % batch:
            raise ValueError(
                "Each input must hold the same number of samples, a multiple of the model's batch "
                f"{batch}. Received: {[len(x) for x in inputs]}. Cut or repeat the samples."
            )
        indices = [d["index"] for d in interpreter.get_output_details()]
        if wanted:
            computed = sorted(
                {int(t) for op in interpreter._get_ops_details() for t in op["outputs"] if t >= 0}
            )
            indices = computed if wanted == "all" else wanted
        parts = {index: [] for index in indices}
        for start in range(0, count, batch):
            beat.tell("run", place)
            set_inputs(interpreter, [x[start : start + batch] for x in inputs])
            interpreter.invoke()
            for index in indices:
                parts[index].append(interpreter.get_tensor(index))
        files[model["name"]] = {}
        for number, index in enumerate(indices):
            name = f"{model['file']}.{index if wanted else number}.npy"
            rows = parts[index]
            batched = rows[0].ndim > 0 and rows[0].shape[0] == batch
            np.save(name, np.concatenate(rows) if batched else np.stack(rows))
            files[model["name"]][index] = name
    return {"outputs": files, "runtime": runtime["name"], "runtime_version": runtime["version"]}


def check(job: dict, runtime: dict, beat: Beat) -> dict:
    """Load and run one model: the time of both, the memory they took, and the outputs."""
    import numpy as np

    (model,) = job["models"]
    cores = pin(job)
    before = memory_bytes(reset=True)
    interpreter, load_ms = load(runtime, model, job, beat, 1)
    beat.tell("run", 1)
    set_inputs(interpreter, inputs_of(model))
    begin = time.perf_counter()
    interpreter.invoke()
    first_ms = (time.perf_counter() - begin) * 1e3
    peak, outputs = memory_bytes(), {}
    for place, array in enumerate(outputs_of(interpreter)):
        outputs[place] = f"{model['file']}.{model.get('kernels', '')}.out.{place}.npy"
        np.save(outputs[place], array)
    delegates = delegates_of(interpreter)
    found = {
        "partitions": None if delegates is None else len(delegates),
        "delegates": delegates,
        "load_ms": load_ms,
        "first_ms": first_ms,
        "peak_memory_bytes": peak - before if peak and before else None,
        "outputs": outputs,
    }
    said = conditions(runtime, cores, [reading(cores)])
    return {"models": {model["name"]: found}, "conditions": said}


def time_models(job: dict, runtime: dict, beat: Beat) -> dict:
    """Time the models in turn, in one process, so that each sees the same disturbances."""
    cores = pin(job)
    readings, runners, outputs = [reading(cores)], {}, {}
    for place, model in enumerate(job["models"], 1):
        interpreter, _ = load(runtime, model, job, beat, place)
        beat.tell("run", place)
        set_inputs(interpreter, inputs_of(model))
        interpreter.invoke()  # the first run may still prepare things
        runners[model["name"]] = interpreter
        outputs[model["name"]] = outputs_of(interpreter)
    places = {model["name"]: place for place, model in enumerate(job["models"], 1)}

    def save(times_ms):
        write_json("times.json", {"models": {n: {"times_ms": t} for n, t in times_ms.items()}})

    times_ms = interleave(
        {name: interpreter.invoke for name, interpreter in runners.items()},
        job["runs"],
        job["warmups"],
        budget_s=job.get("budget_s"),
        least_s=job.get("least_s") or 0,
        tell=lambda name: beat.tell("time", places[name]),
        save=save,
    )
    readings.append(reading(cores))
    found = {}
    for name, interpreter in runners.items():
        pairs = zip(outputs[name], outputs_of(interpreter))
        repeats = all(a.tobytes() == b.tobytes() for a, b in pairs)
        found[name] = {"times_ms": times_ms[name], "repeats": repeats}
    return {"models": found, "conditions": conditions(runtime, cores, readings)}


STEPS = {"probe": probe, "predict": predict, "check": check, "time": time_models}
