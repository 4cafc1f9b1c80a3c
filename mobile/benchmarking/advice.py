"""What makes a benchmark less certain, or a model slower than it must be: number, then remedy."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from mobile import tflite
from mobile.analysis.operator_support import ACCELERATORS, advice_on
from mobile.benchmarking.timings import Timings
from mobile.tflite import Flatbuffer, partitions

_ALLOWED_DRIFT = 0.03  # the A/A ratio of a quiet machine stays within 1.6 %
_ALLOWED_SPREAD = 0.2  # the middle half of the runs, over the median; quiet: 0.01 to 0.05
_ALLOWED_SLOWDOWN = 0.03
_ALLOWED_WARMING_C = 10
_ALLOWED_WEIGHTS = 0.05  # by which two files of one network may differ, one of them lowered
_HEAVY = ("FULLY_CONNECTED", "BATCH_MATMUL")


def find(
    timings: Timings, contents: Mapping | None = None, delegates: Mapping | None = None
) -> tuple[str, ...]:
    """Return the warnings about a benchmark, sentences that each quote a number and a remedy.

    Args:
        timings: The `Timings`.
        contents: Name to the bytes of the model, to name operators and tell int8 from float.
        delegates: Name to what the agent's probe says of each delegated piece; without it, the
            tables of `mobile.lint` name what leaves.
    """
    return (
        *_machine(timings),
        *_models(timings, contents or {}, delegates or {}),
    )


def _machine(timings):
    conditions, control = timings.conditions, timings.control
    spreads = {m.name: spread(m.times_ms) for m in timings.models if len(m.times_ms) > 3}
    widest = max(spreads, key=lambda name: spreads[name], default=None)
    if control and abs(control.value - 1) > _ALLOWED_DRIFT:
        yield (
            f"{control.reference} against itself gave {control}, not 1: the machine is disturbed. "
            f"Close other programs, or raise `runs` (now {conditions.runs})."
        )
    elif widest and spreads[widest] > _ALLOWED_SPREAD:
        yield (
            f"The middle half of the runs of {widest} spans {spreads[widest]:.0%} of its median, "
            f"where {_ALLOWED_SPREAD:.0%} is usual at most: the machine is disturbed. "
            f"Close other programs, or raise `runs` (now {conditions.runs})."
        )
    if not conditions.pinned_cores:
        yield "The process was not pinned to a core: times may jump. Pass `cores`."
    if conditions.governor not in (None, "performance"):
        yield (
            f"The clock speed is governed by {conditions.governor!r}, which may change it "
            f"in the run. Set it to 'performance' where you may."
        )
    heats = conditions.temperature_c
    if len(heats) == 2 and heats[1] - heats[0] > _ALLOWED_WARMING_C:
        yield (
            f"The device warmed from {heats[0]:.0f} to {heats[1]:.0f} degrees Celsius, and may "
            f"have slowed down. Cool it, or lower `runs` (now {conditions.runs})."
        )
    clocks = conditions.frequency_mhz
    if len(clocks) == 2 and abs(clocks[1] / clocks[0] - 1) > _ALLOWED_DRIFT:
        yield (
            f"The clock went from {clocks[0]:.0f} to {clocks[1]:.0f} MHz: only the ratios mean "
            f"anything. Fix it, or raise `warmups` (now {conditions.warmups})."
        )


def _models(timings, contents, delegates):
    names = [m.name for m in timings.models if m.name in contents and not m.control_of]
    files = {name: file for name in names if (file := _read(contents, name)) is not None}
    outside = {name: _outside(file, delegates.get(name)) for name, file in files.items()}
    for quantized, real in _pairs(files):
        ratio = timings.ratio(quantized, real)
        if ratio.low > 1 and ratio.value > 1 + _ALLOWED_SLOWDOWN:
            yield (
                f"{quantized} takes {ratio} times as long as {real}, though it computes in "
                f"integers. {_why_slow(timings[quantized].partitions, outside[quantized])}"
            )
    if timings.conditions.kernels != "default":
        return
    groups = {}
    for name, file in files.items():
        pieces = timings[name].partitions
        if pieces is None:  # the runtime does not tell
            continue
        left = outside[name] if pieces else ()
        if left or pieces != 1:
            ours = "keras_se" in file.metadata
            groups.setdefault((pieces, len(file.operators), left, ours), []).append(name)
    for (pieces, count, left, ours), names in groups.items():
        said = _undelegated(", ".join(names), pieces, count, left)
        yield f"{said} {_remedy(pieces, left, ours, timings.conditions.runtime)}"


def _why_slow(pieces, left):
    """Return what to do about an int8 file that is slower than float, by where its time goes."""
    if pieces == 0 or (pieces and left):
        return "What the delegate does not take costs that: see the note on it, or ship float."
    if pieces == 1:
        return (
            "The delegate takes all of it, so that this processor gains nothing from integers "
            "here. Ship float, or measure on the device that the file is for."
        )
    return "`keras-se lint` says what leaves the delegate; else ship float."


def spread(times_ms: Sequence[float]) -> float:
    """Return the distance of the quartiles over the median.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    0.6666666666666666
    """
    low, middle, high = np.percentile(times_ms, [25, 50, 75])
    return float((high - low) / middle)


def kind(file: Flatbuffer) -> str:
    """Return in what most of a file's heavy operators compute: `int8`, `float`, or `mixed`."""
    dtypes = [op.dtype for op in file.operators if _is_heavy(op)]
    dtypes = dtypes or [op.dtype for op in file.operators]
    integer = sum(dtype in ("int8", "uint8", "int16") for dtype in dtypes)
    real = sum(dtype.startswith("float") and ">" not in dtype for dtype in dtypes)
    return "int8" if integer > len(dtypes) / 2 else "float" if real == len(dtypes) else "mixed"


def _is_heavy(op):
    return "CONV" in op.name or op.name in _HEAVY


def _pairs(files):
    """Yield each int8 file with a float one of the same network, told by what is in them.

    Two files are of one network if inputs and outputs are as large, and the kernels have as many
    weights but for what lowering adds. One int8 file beside one float file are meant to be compared
    whatever they are.
    """
    reals = [name for name, file in files.items() if kind(file) == "float"]
    quantized = [name for name, file in files.items() if kind(file) == "int8"]
    if len(reals) == len(quantized) == 1:
        yield quantized[0], reals[0]
        return
    for name in quantized:
        border, weights = _network(files[name])
        far = {}
        for real in reals:
            same, others = _network(files[real])
            if same == border:
                far[real] = abs(others - weights) / max(weights, 1)
        near = min(far, key=lambda real: far[real], default=None)
        if near is not None and far[near] <= _ALLOWED_WEIGHTS:
            yield name, near


def _network(file):
    """Return the sizes of inputs and outputs, without their batch, and the number of weights."""
    border = tuple(int(np.prod(spec.shape[1:])) for spec in (*file.inputs, *file.outputs))
    kernels = [t for op in file.operators if _is_heavy(op) for t in op.inputs[:2] if t is not None]
    return border, sum(int(np.prod(t.shape)) for t in kernels if t.constant)


def _outside(file, delegates):
    """Return name, dtype, custom or not, of the operators outside the delegate, to count."""
    if delegates is None:
        judge = ACCELERATORS["xnnpack"].judge
        outside = [op for op in file.operators if judge(op).status != "kept"]
    else:
        inside = partitions.delegated(file, delegates)
        outside = [op for op in file.operators if op.index not in inside]
    counts = collections.Counter((op.name, op.dtype, op.custom) for op in outside)
    return tuple((*what, count) for what, count in counts.most_common())


def _undelegated(names, pieces, count, left):
    if pieces == 0:
        return (
            f"The delegate takes none of the {count} operators of {names}: they run on the plain "
            f"kernels."
        )
    said = f"{names}: the delegate takes {pieces} piece{'s' * (pieces > 1)}"
    if not left:
        return f"{said} of the {count} operators."
    listed = ", ".join(f"{name} {dtype} ({times})" for name, dtype, _, times in left[:4])
    listed += f", and {len(left) - 4} more" * (len(left) > 4)
    gone = sum(times for *_, times in left)
    return f"{said} and leaves {gone} of {count} operators: {listed}."


def _remedy(pieces, left, ours, runtime):
    """Return what to do about what the delegate does not take."""
    if left:
        name, _, custom, _ = left[0]
        return f"{name}: {advice_on(name, custom, ours)}"
    if pieces == 0 and runtime == "tflite_runtime":
        return "tflite_runtime delegates float alone: run `pip install ai-edge-litert` there."
    return "`keras-se lint` says why."


def _read(contents, name):
    """Return a file that was timed, or None of one that runs but does not read."""
    try:
        return tflite.read(contents[name])
    except Exception:  # a mutilated file: the notes are no reason to lose its times
        return None
