"""Where an agent runs. A device takes a job and its files, and gives back the agent's answer.

A device has a `name` and one method, `run(job, files, update=None) -> Answer`; all else here is
built on that, so another way to reach a machine is another small class.
"""

import io
import pathlib
import sys
import tempfile
from dataclasses import dataclass

import numpy as np

from mobile import agent
from mobile.records import content_of


class AgentError(RuntimeError):
    """A model failed on the device: `model` is its name, `stage` what was being done.

    `reason` is what the runtime said, or how it died; `partial` the `Answer` so far, or None.
    """

    def __init__(self, reason, stage="start", model=None, partial=None):
        doing = f"to {stage} model {model!r}" if model else f"to {stage}"
        super().__init__(f"The agent failed {doing}: {reason}")
        self.reason, self.stage, self.model, self.partial = reason, stage, model, partial


@dataclass(frozen=True)
class Answer:
    """What the agent wrote: its result, and the files beside it by name."""

    result: dict
    files: dict

    def array(self, name):
        """Return one of the arrays that the agent saved."""
        return np.load(io.BytesIO(self.files[name]))


class LocalDevice:
    """This machine, the agent's workers in processes of their own.

    Args:
        python: Interpreter to run them with; one of another environment gives another runtime.
        timeout_s: How long a job may take, unless it says so itself.
    """

    name = "local"

    def __init__(self, python=sys.executable, timeout_s=1800):
        self.python, self.timeout_s = str(python), timeout_s

    def run(self, job, files, update=None):
        """Do a job in new processes and a new folder, which is gone afterwards.

        Args:
            job: As `mobile/agent.py` says.
            files: Name to content of the files that it names.
            update: Called with the `Answer` so far after every step.

        Raises:
            AgentError: The agent reported an error, died, or took too long.
        """
        job = {"limit_s": self.timeout_s, **job}
        with tempfile.TemporaryDirectory(prefix="keras-se-") as folder:
            folder = pathlib.Path(folder)
            for name, content in files.items():
                (folder / name).write_bytes(content)

            def answer(result):
                arrays = (path for path in folder.glob("*.npy") if path.name not in files)
                return Answer(result, {path.name: path.read_bytes() for path in arrays})

            def publish(result):
                if update:
                    update(answer(result))

            command = [self.python, agent.__file__]
            return checked(answer(agent.Supervisor(job, str(folder), command, publish).run()))


def checked(answer):
    """Return an answer, or raise what its result says went wrong."""
    result = answer.result
    if result["error"]:
        raise AgentError(result["error"], result["stage"], result["model"], answer)
    return answer


def connect(device="local", python=None, benchmark_model=None):
    """Return the device of that name; a device object is returned as it is.

    Args:
        device: `"local"`, `"ssh:[user@]host[:port]"`, `"adb"`, `"adb:SERIAL"`, or an object with a
            `name` and `run(job, files, update=None)`.
        python: Python interpreter on the device, where another than the usual one is meant.
        benchmark_model: Path, on this machine, of TFLite's native tool for an Android device.

    >>> connect("local").name
    'local'
    """
    if not isinstance(device, str):
        return device
    kind, _, rest = device.partition(":")
    if benchmark_model is not None and kind != "adb":
        raise ValueError(
            f"`benchmark_model` must go with an adb device. Received: device={device!r}. "
            f"Leave it out: there the agent runs under Python."
        )
    if kind == "ssh" and rest:
        from mobile.ssh import SshDevice

        return SshDevice(rest, python or "python3")
    if kind == "adb":
        from mobile.adb import connect_adb

        return connect_adb(rest or None, python, benchmark_model)
    if device != "local":
        raise ValueError(
            f"A device must be one of: local, ssh:[user@]host[:port], adb, adb:SERIAL. "
            f"Received: device={device!r}. For a way of your own, pass an object with `name` and "
            f"`run(job, files, update=None)`."
        )
    return LocalDevice(python) if python else LocalDevice()


def predict(content, inputs, kernels="default", device="local"):
    """Return the model's raw outputs, a list of arrays, for raw inputs of its own dtype.

    Args:
        content: An `Artifact`, the bytes of a .tflite, or a path.
        inputs: An array `(count, ...)`, or a list with one for each input.
        kernels: `"default"` (the runtime's own choice, with delegate), `"builtin"` (without), or
            `"reference"` (the plainest ones).
        device: Where.

    Raises:
        AgentError: The model does not load or run there.
    """
    arrays = _run_predict(content, inputs, kernels, device, None)
    return [arrays[index] for index in arrays]


def activations(content, inputs, tensors="all", kernels="builtin", device="local"):
    """Return raw tensors inside the model by index, as `flatbuffer.read` counts them.

    A delegate keeps its tensors to itself, so `kernels` must be `"builtin"` or `"reference"`.

    Args:
        content: An `Artifact`, the bytes of a .tflite, or a path.
        inputs: An array `(count, ...)`, or a list with one for each input.
        tensors: Indices, or `"all"` for the output of every operator.
        kernels: As in `predict`.
        device: Where.
    """
    if kernels == "default":
        raise ValueError(
            "`kernels` must be 'builtin' or 'reference': a delegate keeps its tensors to itself. "
            "Received: kernels='default'. For the outputs alone, use predict."
        )
    tensors = tensors if tensors == "all" else [int(index) for index in tensors]
    return _run_predict(content, inputs, kernels, device, tensors)


def _run_predict(content, inputs, kernels, device, tensors):
    inputs = inputs if isinstance(inputs, list | tuple) else [inputs]
    model, files = pack("model", content, inputs)
    job = {"job": "predict", "models": [model], "kernels": _known(kernels), "tensors": tensors}
    answer = connect(device).run(job, files)
    names = answer.result["outputs"]["model"]
    return {int(index): answer.array(name) for index, name in names.items()}


def probe(content, inputs=None, kernels="default", device="local"):
    """Load the model in a process of its own; return what the agent found out about it.

    The dictionary holds `partitions` (None if the runtime does not tell), `delegates` (a list of
    `{"inputs": [...], "outputs": [...]}` tensor indices), `load_ms`, `runtime`, `runtime_version`.

    Raises:
        AgentError: The model does not load or run there.
    """
    model, files = pack("model", content, inputs or [])
    job = {"job": "probe", "models": [model], "kernels": _known(kernels)}
    result = connect(device).run(job, files).result
    return {**result["models"]["model"], **{k: v for k, v in result.items() if "runtime" in k}}


def partitions(content, device="local"):
    """Return how many pieces of the model the runtime's delegate takes; None if it does not tell.

    Raises:
        AgentError: The model does not load there.
    """
    return probe(content, device=device)["partitions"]


def pack(name, content, inputs, prefix="0"):
    """Return a job's entry for one model, and the files that go with it."""
    entry = {"name": name, "file": f"{prefix}.tflite", "inputs": []}
    files = {entry["file"]: content_of(content)}
    for number, array in enumerate(inputs):
        entry["inputs"].append(f"{prefix}.in.{number}.npy")
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(array))
        files[entry["inputs"][-1]] = buffer.getvalue()
    return entry, files


def _known(kernels):
    if kernels not in agent.KERNELS:
        raise ValueError(
            f"`kernels` must be one of {', '.join(agent.KERNELS)}. Received: {kernels!r}. "
            f"For what a user's program runs, pass 'default'."
        )
    return kernels
