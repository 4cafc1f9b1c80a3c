"""What goes into a model that is timed, and whether the right answer comes out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mobile import devices
from mobile.records import Artifact, Failure

_LARGEST_INPUT_BYTES = 1 << 30
_KINDS = {"default": ("default", "builtin"), "builtin": ("builtin",), "reference": ("reference",)}


@dataclass(frozen=True)
class Subject:
    """A model to time: its file, what the file says, and one batch of raw inputs."""

    name: str
    artifact: Artifact
    inputs: tuple

    def pack(self, prefix):
        """Return its entry in a job, and the files that go with it."""
        entry, files = devices.pack(self.name, self.artifact, self.inputs, prefix)
        if any(-1 in spec.shape for spec in self.artifact.inputs):
            entry["shape"] = [list(x.shape) for x in self.inputs]
            entry["input_names"] = [spec.name for spec in self.artifact.inputs]
        return entry, files


def subjects(contents, images=None, shape=None):
    """Return a `Subject` by name for every file that can be read, and a `Failure` for the others.

    Args:
        contents: Name to the file's bytes, or to the error that reading it gave.
        images: Pixels to run on; without them the input is noise.
        shape: As in `mobile.benchmark`.

    Raises:
        ValueError: `shape` names what is an input of no model.
    """
    found, failures, known = {}, [], {}
    for name, content in contents.items():
        try:
            if isinstance(content, Exception):
                raise content
            artifact = Artifact.from_content(content)
            known |= {spec.name: _short(spec.name) for spec in artifact.inputs}
            found[name] = Subject(name, artifact, tuple(_inputs(artifact, images, shape)))
        except IsADirectoryError:
            failures.append(Failure(name, "read", "it is a folder. Name a .tflite file in it."))
        except Exception as error:  # a broken file breaks its reader in any way
            failures.append(Failure(name, "read", f"{error}" or type(error).__name__))
    unknown = set(shape) - {*known, *known.values()} if isinstance(shape, Mapping) else ()
    if unknown and known:
        raise ValueError(
            f"`shape` must name inputs of the models. Received: {', '.join(sorted(unknown))}. "
            f"Known: {_listed(known)}."
        )
    return found, failures


def compute(chosen, kernels, timeout_s):
    """Return what this machine answers: name to kernels to raw outputs; and to why it does not."""
    job = {"job": "check", "models": [], "timeout_s": timeout_s}
    files = {}
    for number, subject in enumerate(chosen.values()):
        entry, packed = subject.pack(str(number))
        files |= packed
        for kind in _KINDS[kernels]:
            job["models"].append({**entry, "name": f"{kind} {subject.name}", "kernels": kind})
    answer = devices.LocalDevice().run(job, files)
    outputs = {name: {} for name in chosen}
    for label, row in answer.result["models"].items():
        kind, name = label.split(" ", 1)
        outputs[name][kind] = [answer.array(file) for file in row["outputs"].values()]
    reasons = {name: {} for name in chosen}
    for failure in answer.result["failures"]:
        kind, name = failure["name"].split(" ", 1)
        reasons[name][kind] = failure["message"]
    return outputs, reasons


def judge(subject, outputs, row, here, expected=None, tolerance=None):
    """Return mean error, largest difference in steps, and what is wrong with an answer, or None.

    The error is taken against `expected`, else against the plain kernels of this machine: another
    computation of the same file. The steps are taken against the same kind of kernels here, which
    should do the same to the bit on the same kind of processor, and nearly so on others.

    Args:
        subject: The model.
        outputs: Raw outputs of the device.
        row: What the agent says of the run.
        here: Kernels to raw outputs of this machine.
        expected: The right real-valued outputs.
        tolerance: As in `mobile.benchmark`.
    """
    artifact = subject.artifact
    plain = here.get("reference" if row["kernels"] == "reference" else "builtin")
    wanted = artifact.restore(plain) if expected is None else expected
    error = output_error(artifact.restore(outputs), wanted)
    delegated = row["kernels"] == "default" and row["partitions"] != 0
    like = here.get("default", plain) if delegated else plain
    steps = _steps(outputs, like) if like and any(s.scale for s in artifact.outputs) else None
    allowed = tolerance_of(artifact) if tolerance is None else tolerance
    if error <= allowed:
        return error, steps, None
    return (
        error,
        steps,
        f"the outputs must lie within {allowed:.2%} of the expected ones, on average and of their "
        f"span. Received: {error:.2%}. Do not use this file on this device; if the expected "
        f"outputs come from another model, raise the tolerance.",
    )


def output_error(outputs, expected):
    """Return the mean difference from the expected outputs, as a share of their span.

    >>> output_error([np.array([0.0, 11.0])], [np.array([0.0, 10.0])])
    0.05
    """
    errors = [0.0]
    for got, want in zip(outputs, expected, strict=True):
        if got.shape != want.shape:
            return float("inf")
        errors.append(_distance(got, want))
    return max(errors)


def _distance(got, want):
    """Return the mean difference of two arrays over the span of the second.

    Infinity and NaN equal themselves alone: anything else in their place is infinitely far.
    """
    if got.dtype.kind not in "biufc":
        return float(np.mean(got != want))
    kind = complex if "c" in (got.dtype.kind, want.dtype.kind) else float
    got, want = got.astype(kind), want.astype(kind)
    differ = (got != want) & ~(np.isnan(got) & np.isnan(want))
    if not differ.any():
        return 0.0
    if not np.isfinite([got[differ], want[differ]]).all():
        return float("inf")
    finite = want[np.isfinite(want)]
    span = max(np.ptp(finite.real), np.ptp(finite.imag)) or 1.0
    return float(np.sum(np.abs(got[differ] - want[differ])) / want.size / span)


def tolerance_of(artifact):
    """Return the largest mean error of a right answer: float kernels differ by rounding alone.

    Integer kernels round each layer in their own way, and what differs by one step at the front
    differs by many at the end.
    """
    in_float = all("int" not in kind.split()[-1] for kind in artifact.operators)
    return 1e-4 if in_float else 0.05


def _steps(outputs, like):
    worst = 0
    for got, want in zip(outputs, like, strict=True):
        if got.shape != want.shape:
            return None
        if got.dtype.kind in "iu" and got.size:
            worst = max(worst, int(np.max(np.abs(got.astype(np.int64) - want))))
    return worst


def _inputs(artifact, images, shape):
    """Return one batch of raw inputs."""
    shapes = _shapes(artifact.inputs, shape)
    if images is not None:
        prepared = artifact.prepare(images)
        arrays = prepared if isinstance(prepared, list) else [prepared]
        batches = [max(size[0], 1) if size else 1 for size in shapes]
        return [np.resize(x[:n], (n, *x.shape[1:])) for x, n in zip(arrays, batches, strict=True)]
    noise = np.random.default_rng(0)
    return [_noise(noise, s, size) for s, size in zip(artifact.inputs, shapes, strict=True)]


def _noise(noise, spec, shape):
    """Return random values that an input can take: pixels, a quantised value, or a small index."""
    shape = [max(size, 1) for size in shape]
    if spec.dtype in ("string", "resource", "variant"):
        raise TypeError(
            f"An input must hold numbers. Received: {spec.name!r} of {spec.dtype}. "
            f"Cut the model behind the part that reads text."
        )
    dtype = np.dtype(spec.dtype)
    if np.prod(shape, dtype=float) * dtype.itemsize > _LARGEST_INPUT_BYTES:
        raise MemoryError(
            f"An input must not be larger than 1 GiB. Received: {spec.name!r} of shape {shape}. "
            f"Is the file damaged? Else give another `shape`."
        )
    if dtype.kind in "fc":
        return noise.uniform(0, 255, shape).astype(dtype)
    if spec.scale or (dtype.itemsize == 1 and dtype.kind != "b"):
        limits = np.iinfo(dtype)
        return noise.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return noise.integers(0, 2, shape).astype(dtype)  # an index, a count, a mask


def _short(name):
    """Return an input's name without what the converter puts around it."""
    return name.removeprefix("serving_default_").partition(":")[0]


def _listed(names):
    return ", ".join(repr(_short(name)) for name in names)


def _shapes(specs, shape):
    """Return each input's shape, with what the user says in place of what the file leaves open."""
    named = {}
    if isinstance(shape, Mapping):
        for spec in specs:
            for name in {_short(spec.name), spec.name} & set(shape):
                named[spec.name] = shape[name]
    elif shape is not None:
        if len(specs) != 1:
            raise ValueError(
                f"`shape` must be {{input name: shape}} for a model of {len(specs)} inputs. "
                f"Received: {tuple(shape)}. Known: {_listed(s.name for s in specs)}."
            )
        named = {specs[0].name: shape}
    shapes = []
    for spec in specs:
        wanted = tuple(int(size) for size in named.get(spec.name, spec.shape))
        fits = len(wanted) == len(spec.shape) and all(
            ours in (-1, theirs) for ours, theirs in zip(spec.shape, wanted, strict=True)
        )
        if not fits:
            raise ValueError(
                f"`shape` must fit {spec.shape} of input {spec.name!r}, where -1 is left open. "
                f"Received: {wanted}. Convert the model with another size, or leave `shape` out."
            )
        shapes.append(wanted)
    return shapes
