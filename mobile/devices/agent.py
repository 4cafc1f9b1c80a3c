"""Run .tflite models where this file lies: `python agent.py job.json [--runtime NAME]`.

This one file is what runs on every device. It needs Python 3.9, numpy, and one runtime: LiteRT
(ai_edge_litert), else tflite_runtime, else tensorflow. A job is a JSON object; every file it names
lies in its own folder, and so does the answer, `result.json`. Keys that all jobs share:

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
               "fallback", a model that the delegate refuses is run without it, as one of its own
    benchmark  the same, then time those that ran, in one process and in turn: A B C, C B A, B C A,
               ... for "runs" rounds after "warmups" (see `interleave` for "budget_s", "least_s");
               "control", the name of a model, once more as one of its own

A model can take the runtime down with it, or hang, even some time after it failed to load. So the
process that was asked does not touch models: it starts another for each step (a worker), watches
it, and knows from the file `beat` what was being tried. What is known so far is written after every
step.
"""

import base64
import datetime
import glob
import importlib
import json
import mmap
import os
import platform
import re
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
import zlib

RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow")
KERNELS = {
    "default": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
PLAIN = " (without delegate)"
STAGES = ("start", "import a runtime", "load", "run", "time")
# What Arm numbers its cores as in /proc/cpuinfo.
ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
}
# A file with one float ADD of its only value to itself: whether a runtime works.
TINY = zlib.decompress(
    base64.b64decode(
        "eNpdTzEOAjEM88ENp7sIdejQgU8gFl7AxMgOSCDBwCEBAw/hefylOG1UKlJZSWM7aQOA7XqzBGbwcBB07LS8gTcgEGiA"
        "aU5kgHeMUWuvHJWhOLNP+3NiTxyJs/muh8to44rXpz2CofIyBmd1m072KCb4RVMBxq1s14dv7GyG5udpfNzuu0XtE/ut"
        "OsR0Ytzrb75Lur7oe9v3BVFJEfY="
    )
)


class Beat:
    """What a worker is doing, in a few bytes of shared memory that outlive it."""

    LAYOUT = struct.Struct("<HHQ")

    def __init__(self, path):
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(bytes(self.LAYOUT.size))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), self.LAYOUT.size)
        self.count = 0

    def tell(self, stage, model=0):
        """Note what is tried next: the stage, and the model's place in the job from 1 (0: none)."""
        self.count += 1
        self.LAYOUT.pack_into(self.memory, 0, STAGES.index(stage), model, self.count)

    def read(self):
        return self.LAYOUT.unpack_from(self.memory, 0)


def write_json(path, value):
    """Write JSON so that a reader never sees half of it."""
    with open(path + ".part", "w") as file:
        json.dump(value, file)
    os.replace(path + ".part", path)


def read_json(path):
    """Return what a JSON file holds; None if it is not there."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


# --- the process that watches --------------------------------------------------------------------


class WorkerError(Exception):
    """A worker gave no answer: the reason, the stage, and the name of the model, if any."""


class Supervisor:
    """Do a job in worker processes.

    Args:
        job: What to do.
        folder: Where its files are.
        command: Argument list that starts a worker, without the job's path.
        publish: Called with the result so far, after every step.
        gone: Says whether whoever asked has gone away.
    """

    def __init__(self, job, folder, command, publish=lambda result: None, gone=lambda: False):
        self.job, self.folder, self.command = job, folder, command
        self.publish, self.gone = publish, gone
        self.timeout_s = job.get("timeout_s") or 120
        self.end = time.monotonic() + (job.get("limit_s") or float("inf"))

    def run(self):
        """Return the result, whose "error" says why it is not complete, or None."""
        result = {"error": None}
        several = self.job["job"] in ("check", "benchmark")
        if several:
            result.update(models={}, failures=[], conditions=None)
        try:
            if several:
                self.benchmark(result)
            else:
                result.update(self.attempt(self.job))
        except WorkerError as failed:
            result.update(zip(("error", "stage", "model"), failed.args))  # noqa: B905
        self.publish(result)
        return result

    def benchmark(self, result):
        """Try each model by itself, then time those that run."""
        entries = {}
        for model in self.job["models"]:
            self.check(model, result, entries)
            self.publish(result)
        if self.job["job"] == "check":
            return
        if self.job.get("control") and entries:
            wanted = self.job["control"]
            control = next(
                (n for n in (wanted, wanted + PLAIN) if n in entries), next(iter(entries))
            )
            twin = control + " (again)"
            entries[twin] = dict(entries[control], name=twin)
            result["models"][twin] = dict(result["models"][control], control_of=control)
        while entries:
            job = dict(self.job, job="time", models=list(entries.values()))
            try:
                self.keep_times(result, self.attempt(job, lambda: self.peek(result)))
                break
            except WorkerError as failed:
                reason, stage, name = failed.args
                self.peek(result)
                if name not in entries:
                    raise
                # The others are timed again: what they have was taken beside the one that failed.
                culprit = result["models"][name].get("control_of") or name
                for name in [n for n in entries if n in (culprit, culprit + " (again)")]:
                    del entries[name], result["models"][name]
                self.fail(result, culprit, stage, reason)
        self.publish(result)

    def check(self, model, result, entries):
        """Load and run one model; where only the delegate refuses it, as well without."""
        name = model["name"]
        kernels = model.get("kernels") or self.job.get("kernels", "default")
        try:
            answer = self.attempt(dict(self.job, job="check", models=[model]))
        except WorkerError as failed:
            reason, stage, culprit = failed.args
            if culprit is None:  # no runtime, no time: so for all
                raise
            plain = dict(model, name=name + PLAIN, kernels="builtin", of=name)
            refused = kernels == "default" and ("prepare" in reason or "delegate" in reason.lower())
            if self.job.get("fallback") and refused:
                self.check(plain, result, entries)
                if plain["name"] in entries:
                    reason = (
                        reason.rstrip(".") + f". The builtin kernels run it: see {plain['name']!r}."
                    )
            self.fail(result, name, stage, reason)
            return
        result["conditions"] = result["conditions"] or answer["conditions"]
        result["models"][name] = dict(
            answer["models"][name], of=model.get("of", name), kernels=kernels, times_ms=[]
        )
        entries[name] = model

    def fail(self, result, name, stage, reason):
        result["failures"].append({"name": name, "stage": stage, "message": reason})

    def peek(self, result):
        """Publish the times that a worker which still runs, or died, has written down."""
        written = read_json(os.path.join(self.folder, "times.json"))
        if written and any(written["models"].values()):
            self.keep_times(result, written)
            self.publish(result)

    def keep_times(self, result, answer):
        for name, found in answer["models"].items():
            result["models"][name].update(found)
        result["conditions"] = answer.get("conditions") or result["conditions"]

    def attempt(self, job, tick=lambda: None):
        """Return a worker's answer, or raise `WorkerError` with what is known of its end."""
        here = {name: os.path.join(self.folder, name) for name in os.listdir(self.folder)}
        for name in ("answer.json", "times.json", "beat"):
            if name in here:
                os.unlink(here[name])
        beat = Beat(os.path.join(self.folder, "beat"))
        path = os.path.join(self.folder, "work.json")
        write_json(path, job)
        with open(os.path.join(self.folder, "words.txt"), "w+b") as words:
            worker = subprocess.Popen(
                [*self.command, "work", path], stdin=subprocess.PIPE, stdout=words, stderr=words
            )
            try:
                reason = self.watch(worker, beat, tick)
            finally:
                worker.kill()
                worker.wait()
                worker.stdin.close()
            words.seek(max(0, words.seek(0, os.SEEK_END) - 8000))
            said = words.read()
        stage, place, _ = beat.read()
        answer = read_json(os.path.join(self.folder, "answer.json"))
        if reason is None and answer is None:
            reason = f"{ending(worker.returncode)}: {last_words(said)}"
        if reason is None and answer["error"]:
            reason = answer["error"]
        if reason:
            name = job["models"][place - 1]["name"] if place else None
            raise WorkerError(reason, STAGES[stage], name)
        return answer

    def watch(self, worker, beat, tick):
        """Wait for a worker to end; return why it had to be stopped, or None."""
        done = threading.Event()
        threading.Thread(target=lambda: (worker.wait(), done.set()), daemon=True).start()
        last, since, ticked = None, time.monotonic(), time.monotonic()
        while not done.wait(0.5):
            now = time.monotonic()
            if beat.read() != last:
                last, since = beat.read(), now
            if now - since > self.timeout_s:
                return f"took longer than {self.timeout_s:g} s"
            if now > self.end:
                beat.tell("time")
                return f"the whole job took longer than {self.job['limit_s']:g} s"
            if self.gone():
                beat.tell("time")
                return "the host has gone away"
            if now - ticked > 5:
                ticked = now
                tick()
        return None


def ending(code):
    """Say in words how a process ended."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"the runtime was killed by {name}{memory}"
    return f"it left with status {code} and no answer"


def last_words(said):
    """Return the last lines that a process wrote, without the chatter."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("INFO", "WARNING"))]
    return " / ".join(lines[-3:]) or "it said nothing"


def main(arguments):
    """Do the job in a file; return the exit status."""
    paths, runtime = list(arguments), None
    if "--runtime" in paths[:-1]:
        place = paths.index("--runtime")
        runtime = paths[place + 1]
        del paths[place : place + 2]
    if len(paths) != 1 or paths[0].startswith("-"):
        print("usage: python agent.py job.json [--runtime NAME]\n\n" + __doc__, file=sys.stderr)
        return 0 if paths in (["-h"], ["--help"]) else 2
    job = read_json(paths[0])
    wrong = fault_of(job)
    if wrong:
        print(f"agent.py: {wrong} The file is {paths[0]}.", file=sys.stderr)
        return 2
    if runtime:
        job["runtime"] = runtime
    folder = os.path.dirname(os.path.abspath(paths[0]))
    command = [sys.executable, os.path.abspath(__file__)]

    def publish(result):
        write_json(os.path.join(folder, "result.json"), result)

    return 1 if Supervisor(job, folder, command, publish).run()["error"] else 0


def fault_of(job):
    """Return what is wrong with a job, as far as it shows before it is done; None if nothing."""
    kinds = ", ".join(kind for kind in STEPS if kind != "time") + ", benchmark"
    if not isinstance(job, dict):
        return (
            "A job must be a file with a JSON object. Received: none that can be read. Write "
            '{"job": "check", "models": [{"name": "a", "file": "a.tflite"}]}.'
        )
    if job.get("job") not in kinds.split(", "):
        return f'"job" must be one of {kinds}. Received: {job.get("job")!r}. Correct it.'
    models = job.get("models")
    whole = isinstance(models, list) and all(
        isinstance(m, dict) and isinstance(m.get("name"), str) and isinstance(m.get("file"), str)
        for m in models
    )
    if not whole:
        said = "Received: something else. Correct it."
        return f'"models" must be a list of objects with "name" and "file". {said}'
    needed = ("runs", "warmups") if job["job"] == "benchmark" else ()
    for key in ("runs", "warmups", "threads", "timeout_s"):
        value = job.get(key)
        if not isinstance(value, (int, float)) and (value is not None or key in needed):
            return f'"{key}" must be a number. Received: {value!r}. Correct it.'
    return None


# --- the worker ----------------------------------------------------------------------------------


def work(path):
    """Do one step of a job in this process, which may not survive it; return the exit status."""
    os.chdir(os.path.dirname(os.path.abspath(path)))
    threading.Thread(target=leave_with_the_supervisor, daemon=True).start()
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


def leave_with_the_supervisor():
    """End this process when the other end of its standard input is closed."""
    if sys.stdin is not None:
        sys.stdin.buffer.read()
        os._exit(1)


def limit_memory(job):
    """Let a model that wants all memory fail here, before the system ends another program.

    Return in words how much it may have: by default nine tenths of what is free.
    """
    try:
        import resource

        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        used = int(read("/proc/self/statm").split()[0]) * resource.getpagesize()
        meminfo = read("/proc/meminfo").split()
        free = job.get("memory_bytes") or int(meminfo[meminfo.index("MemAvailable:") + 1]) * 900
        resource.setrlimit(resource.RLIMIT_AS, (used + free, resource.RLIM_INFINITY))
        return f"{free / 1e6:.0f} MB"
    except (ImportError, OSError, ValueError, AttributeError):
        return "not limited"  # not Linux, or not allowed


def find_runtime(job):
    """Return the runtime that the job names, or else the first that can run a model."""
    wanted = job.get("runtime")
    reasons = []
    for name in [wanted] if wanted else RUNTIMES:
        try:
            package = importlib.import_module(name)
            if name == "tensorflow":
                module, resolvers = package.lite, package.lite.experimental.OpResolverType
            else:
                module = importlib.import_module(name + ".interpreter")
                resolvers = module.OpResolverType
            tiny = module.Interpreter(
                model_content=TINY,
                experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            tiny.allocate_tensors()
            tiny.invoke()
        except (ImportError, AttributeError, SystemError) as error:
            numpy = getattr(sys.modules.get("numpy"), "__version__", "")
            old = name == "tflite_runtime" and numpy >= "2"
            advice = "it needs numpy 1: run `pip install 'numpy<2'`" if old else str(error)
            reasons.append(f"{name}: {advice}")
            continue
        version = getattr(package, "__version__", "unknown")
        return {"name": name, "version": version, "module": module, "resolvers": resolvers}
    raise ImportError(
        f"One of {', '.join(RUNTIMES)} must work on the device. Received: "
        f"{'; '.join(reasons)}. Run `pip install ai-edge-litert` there."
    )


def probe(job, runtime, beat):
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
        if model.get("inputs"):
            beat.tell("run", place)
            batch = batch_of(interpreter)
            set_inputs(interpreter, [x[:batch] if x.ndim else x for x in inputs_of(model)])
            interpreter.invoke()
    return {"models": found, "runtime": runtime["name"], "runtime_version": runtime["version"]}


def predict(job, runtime, beat):
    """Run each model on all its inputs, a batch of the model's size at a time."""
    import numpy as np

    wanted = job.get("tensors")
    files = {}
    for place, model in enumerate(job["models"], 1):
        interpreter, _ = load(runtime, model, job, beat, place, preserve=bool(wanted))
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


def check(job, runtime, beat):
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


def time_models(job, runtime, beat):
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
        pairs = zip(outputs[name], outputs_of(interpreter))  # noqa: B905 - Python 3.9 on devices
        repeats = all(a.tobytes() == b.tobytes() for a, b in pairs)
        found[name] = {"times_ms": times_ms[name], "repeats": repeats}
    return {"models": found, "conditions": conditions(runtime, cores, readings)}


def interleave(
    invokes,
    runs,
    warmups,
    clock=time.perf_counter,
    budget_s=None,
    least_s=0,
    tell=lambda name: None,
    save=None,
):
    """Call each function `runs` times in the order A B C, C B A, B C A, ...; return times by name.

    Models that alternate meet the same clock speed. Turning the order round cancels what the one
    before leaves behind in the caches; moving it on by one gives each its share of running twice
    in a row, with its own data still there.

    Rounds before these are not counted: `warmups`, and up to 4 times as many more while the median
    of the last 10 of any model is 3 % below that of the 10 before. The counted ones go on until
    each model has run for `least_s`, or end after `budget_s` and 50 rounds. `tell` is called with
    each name first. `save` gets the times so far every 5 s; the round after it is not counted.
    """
    order, turn = list(invokes), 0
    times_ms, warming = {name: [] for name in order}, {name: [] for name in order}
    sums_ms = dict.fromkeys(order, 0.0)

    def play(into):
        nonlocal turn
        first = turn // 2 % len(order)
        turned = order[first:] + order[:first]
        for name in turned if turn % 2 == 0 else reversed(turned):
            tell(name)
            begin = clock()
            invokes[name]()
            end = clock()
            into[name].append((end - begin) * 1e3)
            sums_ms[name] += into[name][-1]
        turn += 1

    while turn < warmups or (turn < 5 * warmups and any(map(still_falling, warming.values()))):
        play(warming)
    sums_ms.update(dict.fromkeys(order, 0.0))
    start = saved = clock()
    done = 0
    while done < runs or min(sums_ms.values()) < least_s * 1e3:
        if budget_s is not None and done >= min(runs, 50) and clock() - start > budget_s:
            break
        play(times_ms)
        done += 1
        if save and clock() - saved > 5:
            save(times_ms)
            play(warming)
            saved = clock()
    return times_ms


def still_falling(times):
    """Whether the last 10 times are clearly shorter than the 10 before."""
    return len(times) >= 20 and (
        statistics.median(times[-10:]) < 0.97 * statistics.median(times[-20:-10])
    )


def load(runtime, model, job, beat, place, preserve=False):
    """Load a model and allocate its tensors; return the interpreter and the milliseconds."""
    beat.tell("load", place)
    kernels = model.get("kernels") or job.get("kernels", "default")
    begin = time.perf_counter()
    interpreter = runtime["module"].Interpreter(
        model_path=model["file"],
        num_threads=job.get("threads", 1),
        experimental_op_resolver_type=getattr(runtime["resolvers"], KERNELS[kernels]),
        experimental_preserve_all_tensors=preserve,
    )
    shapes = model.get("shape") or []
    for detail, shape in zip(interpreter.get_input_details(), shapes):  # noqa: B905 - Python 3.9
        interpreter.resize_tensor_input(detail["index"], shape)
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
    """Open a model's input files; None where the job has none."""
    import numpy as np

    names = model.get("inputs")
    return None if names is None else [np.load(name, mmap_mode="r") for name in names]


def outputs_of(interpreter):
    """Return copies of all outputs; text as fixed-length bytes, which need no pickle."""
    arrays = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    return [x.astype("S") if x.dtype.kind == "O" else x for x in arrays]


def batch_of(interpreter):
    """Return the batch size that the model was made for."""
    details = interpreter.get_input_details()
    return int(details[0]["shape"][0]) if details and len(details[0]["shape"]) else 1


def set_inputs(interpreter, arrays):
    """Copy one batch into the model, whose dtypes it must have; None: zeros."""
    import numpy as np

    details = interpreter.get_input_details()
    if arrays is None:
        arrays = [np.zeros(d["shape"], d["dtype"]) for d in details]
    if len(details) != len(arrays):
        raise ValueError(
            f"The model has {len(details)} inputs. Received: {len(arrays)} arrays. "
            f"Pass one for each of {[d['name'] for d in details]}."
        )
    for detail, array in zip(details, arrays):  # noqa: B905 - Python 3.9 on devices
        dtype = np.dtype(detail["dtype"])
        if array.dtype != dtype and array.dtype.kind != "S":
            raise TypeError(
                f"Input {detail['name']!r} holds {dtype}. Received: {array.dtype}. "
                f"Quantise the images first, for example with Artifact.prepare."
            )
        interpreter.set_tensor(detail["index"], np.require(array, requirements="C"))


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


# --- what the device is --------------------------------------------------------------------------


def memory_bytes(reset=False):
    """Return the most memory this process has held, from now on if `reset`; None if unknown."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        return int(re.search(r"VmHWM:\s*(\d+) kB", read("/proc/self/status")).group(1)) * 1024
    except (OSError, TypeError, AttributeError):
        return None


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
    import numpy as np

    core = cores[0] if cores else 0
    names = getattr(os, "sysconf_names", {})
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else None
    described = {
        "machine": platform.machine(),
        "cpu": cpu_name(read("/proc/cpuinfo") or ""),
        "runtime": runtime["name"],
        "runtime_version": runtime["version"],
        "pinned_cores": cores,
        "system": system_name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "governor": read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": property_of("ro.product.model")
        or read("/proc/device-tree/model")
        or read("/sys/class/dmi/id/product_name")
        or "",
        "soc": property_of("ro.soc.model")
        or property_of("ro.board.platform")
        or (read("/proc/device-tree/compatible") or "").split("\0")[-1],
        "cores": os.cpu_count(),
        "memory_bytes": pages and pages * os.sysconf("SC_PAGE_SIZE"),
    }
    for name in readings[0]:
        described[name] = [r[name] for r in readings if r[name] is not None]
    return described


def cpu_name(text):
    """Return what the text of /proc/cpuinfo calls the processors, or what the platform does."""
    for key in ("model name", "CPU part", "Hardware"):
        found = re.findall(rf"^{key}\s*: (.+)$", text, re.MULTILINE)
        if found:
            kinds = {kind: found.count(kind) for kind in found}
            names = {kind: ARM_PARTS.get(kind, kind) for kind in kinds}
            if len(kinds) == 1:
                return names[found[0]]
            return " + ".join(f"{count} {names[kind]}" for kind, count in kinds.items())
    return platform.processor() or platform.machine()


def system_name():
    """Return the system's name and version, and its kernel's."""
    android = property_of("ro.build.version.release")
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', read("/etc/os-release") or "", re.MULTILINE)
    name = f"Android {android}, " if android else f"{release.group(1)}, " if release else ""
    return name + platform.platform()


def property_of(name):
    """Return one of Android's system properties, or None."""
    if not os.path.exists("/system/bin/getprop"):
        return None
    run = subprocess.run(["/system/bin/getprop", name], stdout=subprocess.PIPE, check=False)
    return run.stdout.decode().strip() or None


def read(path):
    """Return a small system file's text, or None where there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip("\0\n\t ")
    except OSError:
        return None


STEPS = {"probe": probe, "predict": predict, "check": check, "time": time_models}

if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        status = work(sys.argv[2])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # a runtime that a bad model damaged may abort in its clean-up
    sys.exit(main(sys.argv[1:]))
