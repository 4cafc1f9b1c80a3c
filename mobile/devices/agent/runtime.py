"""The runtime: which one, a model in it, and what goes in and comes out."""

from __future__ import annotations

import base64
import importlib
import sys
import time
import zlib
from typing import Any

from .beat import Beat
from .job import kernels_of

RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow")
KERNELS = {
    "default": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
# A file with one float ADD of its only value to itself: whether a runtime works.
_TINY = zlib.decompress(
    base64.b64decode(
        "eNpdTzEOAjEM88ENp7sIdejQgU8gFl7AxMgOSCDBwCEBAw/hefylOG1UKlJZSWM7aQOA7XqzBGbwcBB07LS8gTcgEGiA"
        "aU5kgHeMUWuvHJWhOLNP+3NiTxyJs/muh8to44rXpz2CofIyBmd1m072KCb4RVMBxq1s14dv7GyG5udpfNzuu0XtE/ut"
        "OsR0Ytzrb75Lur7oe9v3BVFJEfY="
    )
)


def find_runtime(job: dict) -> dict:
    """Return the runtime that the job names, or else the first that can run a model.

    The dictionary has its `name`, `version`, `module` and `resolvers`.
    """
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
                model_content=_TINY,
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


def load(
    runtime: dict, model: dict, job: dict, beat: Beat, place: int, preserve: bool = False
) -> tuple[Any, float]:
    """Load a model and allocate its tensors; return the interpreter and the milliseconds."""
    beat.tell("load", place)
    kernels = KERNELS[kernels_of(model, job)]
    begin = time.perf_counter()
    interpreter = runtime["module"].Interpreter(
        model_path=model["file"],
        num_threads=job.get("threads") or 1,
        experimental_op_resolver_type=getattr(runtime["resolvers"], kernels),
        experimental_preserve_all_tensors=preserve,
    )
    shapes = model.get("shape") or []
    for detail, shape in zip(interpreter.get_input_details(), shapes):
        interpreter.resize_tensor_input(detail["index"], shape)
    interpreter.allocate_tensors()
    return interpreter, (time.perf_counter() - begin) * 1e3


def delegates_of(interpreter: Any) -> list[dict] | None:
    """Return the tensors that enter and leave each delegated piece; None if it does not tell."""
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    return [
        {"inputs": [int(t) for t in op["inputs"]], "outputs": [int(t) for t in op["outputs"]]}
        for op in interpreter._get_ops_details()
        if op["op_name"] == "DELEGATE"
    ]


def inputs_of(model: dict) -> list | None:
    """Open a model's input files; None where the job has none."""
    import numpy as np

    names = model.get("inputs")
    return None if names is None else [np.load(name, mmap_mode="r") for name in names]


def outputs_of(interpreter: Any) -> list:
    """Return copies of all outputs; text as fixed-length bytes, which need no pickle."""
    arrays = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    return [x.astype("S") if x.dtype.kind == "O" else x for x in arrays]


def batch_of(interpreter: Any) -> int:
    """Return the batch size that the model was made for."""
    details = interpreter.get_input_details()
    return int(details[0]["shape"][0]) if details and len(details[0]["shape"]) else 1


def set_inputs(interpreter: Any, arrays: list | None) -> None:
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
    for detail, array in zip(details, arrays):
        dtype = np.dtype(detail["dtype"])
        if array.dtype != dtype and array.dtype.kind != "S":
            raise TypeError(
                f"Input {detail['name']!r} holds {dtype}. Received: {array.dtype}. "
                f"Quantise the images first, for example with Artifact.prepare."
            )
        interpreter.set_tensor(detail["index"], np.require(array, requirements="C"))
