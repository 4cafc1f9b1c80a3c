"""Run .tflite models where this file lies: `python agent.py job.json`.

This one file is copied to devices as it is. It needs the standard library, numpy, and one runtime:
ai_edge_litert, else tflite_runtime, else tensorflow. A job is a JSON object; every file it names
lies in its own folder, and so does the answer, `result.json`. Keys that all jobs share:

    job      "probe", "predict" or "time"
    models   [{"name": ..., "file": "0.tflite", "inputs": ["0.0.npy", ...]}, ...]
    threads  threads of the runtime, default 1
    kernels  "default" (with the runtime's delegate), "builtin" (without), "reference"
    runtime  module to use, default the first that can be imported

Jobs:

    probe    load each model, allocate, run it once if it has inputs: partitions, and which tensors
             enter and leave each
    predict  run each model on all its inputs; outputs go to NAME.OUTPUT.npy. With "tensors", a list
             of tensor indices or "all", those instead (only without a delegate)
    time     "runs" rounds after "warmups", models in the order A B C, C B A, B C A, ...; raw times
             and the outputs of the last round

A model can take the runtime down with it, even some time after it failed to load. So what was being
done is written to `progress.json` before it is tried, and the process leaves without clean-up.
"""

import datetime
import glob
import importlib
import json
import os
import platform
import sys
import time

import numpy as np

RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow")
KERNELS = {
    "default": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}


def main(path):
    """Do the job in the file at `path`; return the exit status."""
    folder = os.path.dirname(os.path.abspath(path))
    with open(path) as file:
        job = json.load(file)
    os.chdir(folder)
    try:
        result, status = {**JOBS[job["job"]](job), "error": None}, 0
    except Exception as error:  # the host raises it again, with the model's name
        result, status = {"error": f"{type(error).__name__}: {error}"}, 1
    write_json("result.json", result)
    return status


def write_json(path, value):
    """Write JSON so that a reader never sees half of it."""
    with open(path + ".part", "w") as file:
        json.dump(value, file)
    os.replace(path + ".part", path)


def progress(stage, model):
    """Note what is tried next, for the host to read should the process die of it."""
    write_json("progress.json", {"stage": stage, "model": model})


def probe(job):
    """Load and run each model once."""
    runtime = find_runtime(job)
    found = {}
    for model in job["models"]:
        interpreter, load_ms = load(runtime, model, job)
        delegates = delegates_of(interpreter)
        found[model["name"]] = {
            "partitions": None if delegates is None else len(delegates),
            "delegates": delegates,
            "load_ms": load_ms,
        }
        if model.get("inputs"):
            progress("run", model["name"])
            set_inputs(interpreter, [x[: batch_of(interpreter)] for x in inputs_of(model)])
            interpreter.invoke()
    return {"models": found, "runtime": runtime["name"], "runtime_version": runtime["version"]}


def predict(job):
    """Run each model on all its inputs, a batch of the model's size at a time."""
    runtime = find_runtime(job)
    wanted = job.get("tensors")
    files = {}
    for model in job["models"]:
        interpreter, _ = load(runtime, model, job, preserve=bool(wanted))
        inputs, batch = inputs_of(model), batch_of(interpreter)
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
        progress("run", model["name"])
        parts = {index: [] for index in indices}
        for start in range(0, count, batch):
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


def time_models(job):
    """Time the models in turn, in one process, so that each sees the same disturbances."""
    runtime = find_runtime(job)
    cores = pin(job)
    readings = [reading(cores)]
    found, runners = {}, {}
    for model in job["models"]:
        interpreter, load_ms = load(runtime, model, job)
        set_inputs(interpreter, [x[: batch_of(interpreter)] for x in inputs_of(model)])
        delegates = delegates_of(interpreter)
        found[model["name"]] = {
            "partitions": None if delegates is None else len(delegates),
            "load_ms": load_ms,
        }
        runners[model["name"]] = interpreter
    for name, interpreter in runners.items():
        progress("run", name)
        interpreter.invoke()  # the first run may still prepare things
    progress("time", None)
    invokes = {name: interpreter.invoke for name, interpreter in runners.items()}
    times_ms = interleave(invokes, job["runs"], job["warmups"])
    for number, (name, interpreter) in enumerate(runners.items()):
        outputs = {}
        for place, detail in enumerate(interpreter.get_output_details()):
            outputs[place] = f"{number}.out.{place}.npy"
            np.save(outputs[place], interpreter.get_tensor(detail["index"]))
        found[name].update(times_ms=times_ms[name], outputs=outputs)
    readings.append(reading(cores))
    return {"models": found, "conditions": conditions(runtime, cores, readings)}


def interleave(invokes, runs, warmups, clock=time.perf_counter):
    """Call each function `runs` times in the order A B C, C B A, B C A, ...; return times by name.

    Models that alternate meet the same clock speed. Turning the order round cancels what the one
    before leaves behind in the caches; moving it on by one gives each its share of running twice
    in a row, with its own data still there.
    """
    times_ms = {name: [] for name in invokes}
    order = list(invokes)
    for turn in range(warmups + runs):
        first = turn // 2 % len(order)
        turned = order[first:] + order[:first]
        for name in turned if turn % 2 == 0 else reversed(turned):
            begin = clock()
            invokes[name]()
            end = clock()
            if turn >= warmups:
                times_ms[name].append((end - begin) * 1e3)
    return times_ms


def find_runtime(job):
    """Import the runtime that the job names, or else the first there is."""
    wanted = job.get("runtime")
    reasons = []
    for name in [wanted] if wanted else RUNTIMES:
        progress(f"import {name}", None)
        try:
            package = importlib.import_module(name)
            if name == "tensorflow":
                module = package.lite
                resolvers = module.experimental.OpResolverType
            else:
                module = importlib.import_module(name + ".interpreter")
                resolvers = module.OpResolverType
        except ImportError as error:
            reasons.append(f"{name}: {error}")
            continue
        version = getattr(package, "__version__", "unknown")
        return {"name": name, "version": version, "module": module, "resolvers": resolvers}
    raise ImportError(
        f"One of {', '.join(RUNTIMES)} must be installed on the device. Received: "
        f"{'; '.join(reasons)}. Run `pip install ai-edge-litert` there."
    )


def load(runtime, model, job, preserve=False):
    """Load a model and allocate its tensors; return the interpreter and the milliseconds."""
    progress("load", model["name"])
    begin = time.perf_counter()
    interpreter = runtime["module"].Interpreter(
        model_path=model["file"],
        num_threads=job.get("threads", 1),
        experimental_op_resolver_type=getattr(
            runtime["resolvers"], KERNELS[job.get("kernels", "default")]
        ),
        experimental_preserve_all_tensors=preserve,
    )
    interpreter.allocate_tensors()
    return interpreter, (time.perf_counter() - begin) * 1e3


def delegates_of(interpreter):
    """Return the tensors that enter and leave each delegated piece; None if it does not tell."""
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    return [
        {"inputs": [int(t) for t in op["inputs"]], "outputs": [int(t) for t in op["outputs"]]}
        for op in interpreter._get_ops_details()
        if op["op_name"] == "DELEGATE"
    ]


def inputs_of(model):
    """Open a model's input files."""
    return [np.load(name, mmap_mode="r") for name in model["inputs"]]


def batch_of(interpreter):
    """Return the batch size that the model was made for."""
    shape = interpreter.get_input_details()[0]["shape"]
    return int(shape[0]) if len(shape) else 1


def set_inputs(interpreter, arrays):
    """Copy one batch into the model, whose dtypes it must have."""
    details = interpreter.get_input_details()
    if len(details) != len(arrays):
        raise ValueError(
            f"The model has {len(details)} inputs. Received: {len(arrays)} arrays. "
            f"Pass one for each of {[d['name'] for d in details]}."
        )
    for detail, array in zip(details, arrays):  # noqa: B905 - Python 3.9 on devices
        dtype = np.dtype(detail["dtype"])
        if array.dtype != dtype:
            raise TypeError(
                f"Input {detail['name']!r} holds {dtype}. Received: {array.dtype}. "
                f"Quantise the images first, for example with Artifact.prepare."
            )
        interpreter.set_tensor(detail["index"], np.ascontiguousarray(array))


def pin(job):
    """Keep this process on as many cores as it has threads, the last ones; return them."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    allowed = sorted(os.sched_getaffinity(0))
    cores = job.get("cores") or allowed[-job.get("threads", 1) :]
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return []
    return sorted(os.sched_getaffinity(0))


def reading(cores):
    """Read what drifts while models run: load, clock speed, temperature."""
    core = cores[0] if cores else 0
    frequency = read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    heats = [read(path) for path in glob.glob("/sys/class/thermal/thermal_zone*/temp")]
    heats = [float(heat) / 1e3 for heat in heats if heat]
    return {
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "frequency_mhz": float(frequency) / 1e3 if frequency else None,
        "temperature_c": max(heats) if heats else None,
    }


def conditions(runtime, cores, readings):
    """Describe the device, as far as it tells."""
    core = cores[0] if cores else 0
    described = {
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "runtime": runtime["name"],
        "runtime_version": runtime["version"],
        "pinned_cores": cores,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "governor": read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    for name in readings[0]:
        described[name] = [r[name] for r in readings if r[name] is not None]
    return described


def cpu_name():
    """Return what /proc/cpuinfo calls the processor, or what the platform does."""
    text = read("/proc/cpuinfo") or ""
    for key in ("model name", "Hardware", "CPU part"):
        for line in text.splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def read(path):
    """Return a small system file's text, or None where there is none."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


JOBS = {"probe": probe, "predict": predict, "time": time_models}

if __name__ == "__main__":
    status = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a runtime that a bad model damaged may abort in its clean-up
