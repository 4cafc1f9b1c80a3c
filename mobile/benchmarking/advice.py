"""What makes a benchmark less certain, or a model slower than it must be: number, then remedy."""

import collections
import re

import numpy as np

from mobile import tflite
from mobile.analysis.operator_support import ACCELERATORS, ADVICE
from mobile.tflite import partitions

_ALLOWED_DRIFT = 0.03  # the A/A ratio of a quiet machine stays within 1.6 %
_ALLOWED_SPREAD = 0.2  # the middle half of the runs, over the median; quiet: 0.01 to 0.05
_ALLOWED_SLOWDOWN = 0.03
_ALLOWED_WARMING_C = 10
_SCHEME_WORDS = re.compile(r"(?i)u?int(8|16x8)|float(16|32)?|fp(16|32)|quant(ized)?|q?u8|dynamic")


def find(timings, contents=None, delegates=None):
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
    widest = max(spreads, key=spreads.get, default=None)
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
    for quantized, real in _pairs({name: kind(file) for name, file in files.items()}):
        ratio = timings.ratio(quantized, real)
        if ratio.low > 1 and ratio.value > 1 + _ALLOWED_SLOWDOWN:
            yield (
                f"{quantized} takes {ratio} times as long as {real}, though it computes in "
                f"integers. Lower the model for this runtime (`keras-se lower`), or ship float."
            )
    if timings.conditions.kernels != "default":
        return
    groups = {}
    for name, file in files.items():
        pieces = timings[name].partitions
        if pieces is None:  # the runtime does not tell
            continue
        left = _left(file, delegates.get(name)) if pieces else ()
        if left or pieces != 1:
            groups.setdefault((pieces, len(file.operators), left), []).append(name)
    for (pieces, count, left), names in groups.items():
        yield _undelegated(", ".join(names), pieces, count, left)


def spread(times_ms):
    """Return the distance of the quartiles over the median.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    0.6666666666666666
    """
    low, middle, high = np.percentile(times_ms, [25, 50, 75])
    return float((high - low) / middle)


def kind(file):
    """Return in what most of a file's heavy operators compute: `int8`, `float`, or `mixed`."""
    heavy = [
        op.dtype
        for op in file.operators
        if "CONV" in op.name or op.name in ("FULLY_CONNECTED", "BATCH_MATMUL")
    ]
    dtypes = heavy or [op.dtype for op in file.operators]
    integer = sum(dtype in ("int8", "uint8", "int16") for dtype in dtypes)
    real = sum(dtype.startswith("float") and ">" not in dtype for dtype in dtypes)
    return "int8" if integer > len(dtypes) / 2 else "float" if real == len(dtypes) else "mixed"


def _pairs(kinds):
    """Return each int8 model with the float one of the same name but for the scheme's word."""
    reals = [name for name, what in kinds.items() if what == "float"]
    quantized = [name for name, what in kinds.items() if what == "int8"]
    if len(reals) == len(quantized) == 1:
        return [(quantized[0], reals[0])]
    stems = {}
    for name in reals:
        stems.setdefault(_stem(name), name)
    return [(name, stems[_stem(name)]) for name in quantized if _stem(name) in stems]


def _stem(name):
    return re.sub(r"[\W_]+", "", _SCHEME_WORDS.sub("", name)).lower()


def _left(file, delegates):
    """Return name and dtype of the operators outside the delegate, to count, the most first."""
    if delegates is None:
        judge = ACCELERATORS["xnnpack"].judge
        outside = [op for op in file.operators if judge(op).status != "kept"]
    else:
        inside = partitions.delegated(file, delegates)
        outside = [op for op in file.operators if op.index not in inside]
    counts = collections.Counter((op.name, op.dtype) for op in outside)
    return tuple((*what, count) for what, count in counts.most_common())


def _undelegated(names, pieces, count, left):
    if pieces == 0:
        return (
            f"The delegate takes none of the {count} operators of {names}: they run on the plain "
            f"kernels. Convert with mobile.convert, for a runtime that has XNNPACK."
        )
    said = f"{names}: the delegate takes {pieces} piece{'s' * (pieces > 1)}"
    if not left:
        return f"{said} of the {count} operators. `keras-se lint` says where it is cut."
    listed = ", ".join(f"{name} {dtype} ({times})" for name, dtype, times in left[:4])
    listed += f", and {len(left) - 4} more" * (len(left) > 4)
    advice = next((ADVICE[name] for name, _, _ in left if name in ADVICE), "See `keras-se lint`.")
    gone = sum(times for _, _, times in left)
    return f"{said} and leaves {gone} of {count} operators: {listed}. {advice}"


def _read(contents, name):
    """Return a file that was timed, or None of one that runs but does not read."""
    try:
        return tflite.read(contents[name])
    except Exception:  # a mutilated file: the notes are no reason to lose its times
        return None
