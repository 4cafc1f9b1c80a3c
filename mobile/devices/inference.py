"""What one file does on a device: its outputs, the tensors inside it, its partitions.

All is built on `Device.run`, so another way to reach a machine is another small class.
"""

import io
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from mobile.devices.agent.runtime import KERNELS
from mobile.devices.base import Device
from mobile.devices.connect import connect
from mobile.tflite.content import content_of


def predict(
    content: Any, inputs: Any, kernels: str = "default", device: str | Device = "local"
) -> list[np.ndarray]:
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


def activations(
    content: Any,
    inputs: Any,
    tensors: Literal["all"] | Iterable[int] = "all",
    kernels: str = "builtin",
    device: str | Device = "local",
) -> dict[int, np.ndarray]:
    """Return raw tensors inside the model by index, as `tflite.read` counts them.

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


def probe(
    content: Any, inputs: Any = None, kernels: str = "default", device: str | Device = "local"
) -> dict:
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


def partitions(content: Any, device: str | Device = "local") -> int | None:
    """Return how many pieces of the model the runtime's delegate takes; None if it does not tell.

    Raises:
        AgentError: The model does not load there.
    """
    return probe(content, device=device)["partitions"]


def pack(name: str, content: Any, inputs: Any, prefix: str = "0") -> tuple[dict, dict[str, bytes]]:
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
    if kernels not in KERNELS:
        raise ValueError(
            f"`kernels` must be one of {', '.join(KERNELS)}. Received: {kernels!r}. "
            f"For what a user's program runs, pass 'default'."
        )
    return kernels
