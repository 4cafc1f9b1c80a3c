"""Whether the right answer comes out: of another computation here, and of the same one here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mobile import devices
from mobile.benchmarking.subjects import Subject
from mobile.tflite.artifact import Artifact

_KINDS = {"default": ("default", "builtin"), "builtin": ("builtin",), "reference": ("reference",)}
_TRIALS = 3  # inputs that are tried, each beside another of its kind
_STEADY = 0.2  # the kernels' difference at which no better input is looked for
_LEAST_CHANGE = 0.02  # by which answers to two inputs must differ to prove anything
_CONSTANT = 1e-6  # the spread of an answer over its size below which it is rounding


@dataclass(frozen=True)
class Here:
    """What this machine answers for one model.

    Args:
        outputs: Kernels to raw outputs.
        reasons: Kernels to why they gave none.
        conditions: What the agent says of this machine.
        changes: Whether another input gives another answer.
        difference: The `output_error` of the delegate's answer against the plain kernels'.
    """

    outputs: Mapping[str, list] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping | None = None
    changes: bool = True
    difference: float = 0.0

    @property
    def plain(self) -> list | None:
        """What the plain kernels answer, which are another computation than the delegate's."""
        return self.outputs.get("builtin", self.outputs.get("reference"))


@dataclass(frozen=True)
class Verdict:
    """What is thought of a device's answer.

    Args:
        error: Its `output_error`; None where the device gives no answer, or nothing independent of
            its kernels says what is right.
        steps: Largest difference, in steps, from the same kind of kernels on this machine; None
            where no output is quantised.
        complaint: What is wrong with it, or None.
        remarks: What makes it less certain, in sentences.
    """

    error: float | None
    steps: int | None
    complaint: str | None = None
    remarks: tuple[str, ...] = ()


def compute(
    chosen: Mapping[str, Subject], kernels: str, timeout_s: float
) -> tuple[dict[str, Subject], dict[str, Here]]:
    """Return each model with inputs whose answer proves something, and what is answered here.

    An input will do if another of its kind gives another answer, and if the kernels of this machine
    agree on it: what rounding moves far cannot tell right from wrong. Where none of those that are
    tried will do, the best is taken.
    """
    best = {name: (subject, Here()) for name, subject in chosen.items()}
    waiting = dict(chosen)
    for number in range(0, 2 * _TRIALS, 2):
        tried = {name: subject.drawn(number) for name, subject in waiting.items()}
        first = _run({name: (one, _KINDS[kernels]) for name, one in tried.items()}, timeout_s)
        pairs = {n: (tried[n].drawn(number + 1), list(h.outputs)[:1]) for n, h in first.items()}
        second = _run({name: pair for name, pair in pairs.items() if pair[1]}, timeout_s)
        for name, here in first.items():
            found = _with_merit(tried[name], here, second.get(name, Here()))
            if number == 0 or _merit(found) > _merit(best[name][1]):
                best[name] = tried[name], found
            good = found.changes and found.difference <= _STEADY
            if good or tried[name].fixed or not found.outputs:
                del waiting[name]
        if not waiting:
            break
    return {n: subject for n, (subject, _) in best.items()}, {n: h for n, (_, h) in best.items()}


def _merit(here):
    return here.changes, -here.difference


def _with_merit(subject, first, second):
    """Return what is answered to an input, with what that is worth."""
    restore, changes, difference = subject.artifact.restore, True, 0.0
    for kind in second.outputs:
        apart = output_error(restore(first.outputs[kind]), restore(second.outputs[kind]))
        changes = apart >= _LEAST_CHANGE
    if "default" in first.outputs and first.plain is not None:
        difference = output_error(restore(first.outputs["default"]), restore(first.plain))
    return replace(first, changes=changes, difference=difference)


def _run(subjects, timeout_s):
    """Return what this machine answers, of name to model and the kernels to run it with."""
    if not subjects:
        return {}
    job = {"job": "check", "models": [], "timeout_s": timeout_s}
    files, labels = {}, {}
    for number, (subject, kinds) in enumerate(subjects.values()):
        entry, packed = subject.pack(str(number))
        files |= packed
        for kind in kinds:
            label = f"{kind} {subject.name}"
            labels[label] = subject.name, kind
            job["models"].append({**entry, "name": label, "kernels": kind})
    answer = devices.LocalDevice().run(job, files)
    outputs, reasons = ({name: {} for name in subjects} for _ in range(2))
    for label, row in answer.result["models"].items():
        name, kind = labels[label]
        outputs[name][kind] = [answer.array(file) for file in row["outputs"].values()]
    for failure in answer.result["failures"]:
        name, kind = labels[failure["name"]]
        reasons[name][kind] = failure["message"]
    conditions = answer.result["conditions"]
    return {name: Here(outputs[name], reasons[name], conditions) for name in subjects}


def judge(
    subject: Subject,
    outputs: Sequence[np.ndarray],
    row: Mapping,
    here: Here,
    conditions: Mapping | None = None,
    expected: Sequence[np.ndarray] | None = None,
    tolerance: float | None = None,
) -> Verdict:
    """Say what is thought of a device's answer, by two comparisons.

    One is with another computation of the same file: `expected`, else the plain kernels of this
    machine. It may differ by `tolerance`. The other is with the same kind of kernels on this
    machine: where runtime, version and processor are the same too, it must be equal to the bit;
    elsewhere its largest difference in steps is told.

    Args:
        subject: The model.
        outputs: Raw outputs of the device.
        row: What the agent says of the run.
        here: What this machine answers.
        conditions: What the agent says of the device, with `threads`.
        expected: The right real-valued outputs.
        tolerance: As in `mobile.benchmark`.
    """
    artifact, restored = subject.artifact, list(subject.artifact.restore(outputs))
    delegated = row["kernels"] == "default" and row["partitions"] != 0
    like = here.outputs.get("default", here.plain) if delegated else here.plain
    allowed = tolerance_of(artifact) if tolerance is None else tolerance
    steps = _steps(outputs, like) if like and any(s.scale for s in artifact.outputs) else None
    remarks = []
    if not here.changes:
        remarks.append(
            "the answer is the same to other inputs, so that it is right proves nothing. Pass "
            "`images` of the kind that the model is made for."
        )
    wanted = artifact.restore(here.plain or like) if expected is None else expected
    error, independent = output_error(restored, list(wanted)), True
    if expected is None and here.plain is None:
        independent = False
        why = " ".join(next(iter(here.reasons.values()), "no reason given").split())
        remarks.append(
            f"not checked independently: the plain kernels of this machine do not run it ({why}), "
            f"so that its answer was compared with the delegate's alone. Pass `expected` to "
            f"mobile.benchmark."
        )
    elif expected is None and error > allowed < here.difference and like is not here.plain:
        error, independent = output_error(restored, list(artifact.restore(like))), False
        remarks.append(
            f"not checked independently: on this machine the delegate's answer differs by "
            f"{here.difference:.0%} from the plain kernels', and nothing here says which is right. "
            f"Compare accuracies with mobile.verify, or pass `images` of the kind that it is for."
        )
    complaint = None
    if error > allowed:
        complaint = _too_far(error, allowed, expected is not None)
    elif like and _same_machine(conditions, here.conditions) and row.get("repeats") is not False:
        complaint = _unequal(outputs, like, here.conditions)
    return Verdict(error if independent else None, steps, complaint, tuple(remarks))


def _too_far(error, allowed, told):
    advice = "Do not use this file on this device."
    if told:
        advice = "Check that `expected` are this file's outputs for `images`, or raise `tolerance`."
    return (
        f"the outputs must lie within {allowed:.0%} of the expected ones, of the distance that "
        f"those have from their mean. Received: {error:.0%}. {advice}"
    )


def _same_machine(there, here):
    """Whether one thread of the same runtime, version and kind of processor did the same."""
    if not there or not here or there.get("threads", 1) != 1:  # more may add in another order
        return False
    known = here["cpu"] not in ("", here["machine"])
    names = ("machine", "cpu", "runtime", "runtime_version")
    return known and all(there.get(name) == here[name] for name in names)


def _unequal(outputs, like, conditions):
    """Return what to say of outputs that are not the same to the bit; None of such that are."""
    pairs = list(zip(outputs, like, strict=True))
    wrong = [number for number, (got, want) in enumerate(pairs) if not _equal(got, want)]
    if not wrong:
        return None
    got, want = pairs[wrong[0]]
    differ = f"{np.mean(got != want):.2%} of its values" if got.shape == want.shape else "its shape"
    where = f"{conditions['runtime']} {conditions['runtime_version']} on {conditions['cpu']}"
    return (
        f"the outputs must equal those of the same kernels of {where} here to the bit. Received: "
        f"output {wrong[0]} that differs in {differ}. Measure again; if it stays so, do not trust "
        f"this device: its memory may be faulty, or its runtime built otherwise."
    )


def _equal(got, want):
    return got.shape == want.shape and got.dtype == want.dtype and got.tobytes() == want.tobytes()


def output_error(outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Return the distance from the expected outputs over the distance of those from their mean.

        |got - want| / |want - mean(want)|

    0 is equal. Any constant answer, such as all zeros, is 1 or more; the answer to another question
    is about 1.4 (the square root of 2 where its spread is the same). Of several outputs, the worst.

    >>> output_error([np.array([4.0, 9.0])], [np.array([0.0, 10.0])])  # |4 -1| / |-5 5|
    0.5830951894845301
    >>> output_error([np.zeros(2)], [np.array([-3.0, 3.0])])
    1.0
    """
    errors = [0.0]
    for got, want in zip(outputs, expected, strict=True):
        if got.shape != want.shape:
            return float("inf")
        errors.append(_distance(got, want))
    return max(errors)


def _distance(got, want):
    """Return the relative distance of two arrays.

    Infinity and NaN equal themselves alone: anything else in their place is infinitely far. A
    constant has no distance from its mean: what is expected is then compared with its own size.
    Of indices, such as an argmax, which are near each other by chance, the share that differs.
    """
    if got.dtype.kind not in "biufc" or (got.dtype.kind in "iu" and got.dtype.itemsize > 2):
        return float(np.mean(got != want))
    kind = complex if "c" in (got.dtype.kind, want.dtype.kind) else float
    got, want = got.astype(kind), want.astype(kind)
    differ = (got != want) & ~(np.isnan(got) & np.isnan(want))
    if not differ.any():
        return 0.0
    if not np.isfinite([got[differ], want[differ]]).all():
        return float("inf")
    finite = np.isfinite(want)
    got, want = got[finite], want[finite]
    largest = max(np.abs(got).max(), np.abs(want).max())
    got, want = got / largest, want / largest  # so that no square overflows
    spread, size = np.linalg.norm(want - want.mean()), np.linalg.norm(want)
    spread = spread if spread > _CONSTANT * size else size or 1.0
    return float(np.linalg.norm(got - want) / spread)


def tolerance_of(artifact: Artifact) -> float:
    """Return the largest `output_error` of a right answer: 0.01 in float, 0.6 in integers.

    Float kernels differ by rounding alone, by 1e-6 to 1e-4 on whole networks. Integer kernels round
    each layer in their own way, and what differs by one step at the front differs by many at the
    end. On 32 photographs the delegate's and the plain kernels differ by 0.006 in the median and
    0.18 at most for Google's int8 MobileNetV2, by 0.15 and 0.57 for MobileNetV3-Small. Wrong
    answers begin at 1, where all constants lie; what two networks answer is 1.0 to 1.8 apart.
    """
    words = [kind.split()[-1] for kind in artifact.operators]
    integer = any("int8" in word or "int16" in word for word in words)
    return 0.6 if integer or any("float" not in s.dtype for s in artifact.outputs) else 0.01


def _steps(outputs, like):
    worst = 0
    for got, want in zip(outputs, like, strict=True):
        if got.shape != want.shape:
            return None
        if got.dtype.kind in "iu" and got.size:
            worst = max(worst, int(np.max(np.abs(got.astype(np.int64) - want))))
    return worst
