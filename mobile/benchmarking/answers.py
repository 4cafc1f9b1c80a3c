"""What goes into a model that is timed, and whether the right answer comes out."""

import numpy as np

from mobile import devices

_KINDS = {"default": ("default", "builtin"), "builtin": ("builtin",), "reference": ("reference",)}


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
