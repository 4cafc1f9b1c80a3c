"""Which operators of a .tflite leave the accelerator, why, what it costs, and what to do."""

import collections
from dataclasses import dataclass
from typing import Any

from mobile import devices, tflite
from mobile.analysis.operator_support import ACCELERATORS, Verdict, advice_on
from mobile.record import Record, table
from mobile.tflite.partitions import count_partitions, delegated


@dataclass(frozen=True)
class Finding(Record):
    """Operators of one kind that the accelerator does not keep, for one reason.

    Args:
        operator: Name and dtype.
        verdict: `leaves`; `refused` (the file does not load); `unknown`.
        count: How many.
        reason: Why.
        partitions_saved: How many fewer partitions there would be without these; 0 if none.
        advice: What to do.
        source: Who says so.
        where: Names of the tensors that the first of them make.
        indices: Their numbers in the file.
    """

    operator: str
    verdict: str
    count: int
    reason: str
    partitions_saved: int
    advice: str
    source: str
    where: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()


@dataclass(frozen=True)
class LintReport(Record):
    """What `lint` found.

    Args:
        target: The accelerator.
        operators: How many the file has.
        partitions: Pieces that the accelerator gets; None where the word has no meaning.
        checked_by: The runtime that was asked, or "the tables alone".
        findings: The costliest first.
        notes: What else to know, in sentences.
    """

    target: str
    operators: int
    partitions: int | None
    checked_by: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is known to leave the accelerator."""
        return all(finding.verdict == "unknown" for finding in self.findings)

    def __str__(self):
        gone = sum(f.count for f in self.findings if f.verdict != "unknown")
        unknown = sum(f.count for f in self.findings if f.verdict == "unknown")
        text = (
            f"{self.target}: {self.operators - gone - unknown} of {self.operators} operators kept"
        )
        text += f", {unknown} unknown" if unknown else ""
        if self.partitions is not None:
            text += f", in {self.partitions} partition{'s' * (self.partitions != 1)}"
        text += f" (by {self.checked_by})"
        if self.findings:
            header = ("operator", "count", "verdict", "partitions", "why")
            rows = [
                (f.operator, f.count, f.verdict, f"+{f.partitions_saved}", f.reason)
                for f in self.findings
            ]
            text += "\n\n" + table(header, rows) + "\n"
        for f in self.findings:
            where = ", ".join(f.where) + (", ..." if f.count > len(f.where) else "")
            text += f"\n{f.operator}: {f.advice}\n  at {where}\n  source: {f.source or 'none'}"
        return text + "".join(f"\n! {note}" for note in self.notes)


def lint(model: Any, target: str = "xnnpack", verify: bool = True) -> LintReport:
    """List the operators of any .tflite that a target's accelerator does not keep.

    Args:
        model: A path, the bytes of a .tflite, or an `Artifact`.
        target: `xnnpack`, `gpu`, `coreml`, `edgetpu`, `ethos-u`, `tflm` or `builtin`.
        verify: Whether to ask the runtime of this machine too, which `xnnpack` alone has. Its word
            goes before the table's.

    Returns:
        A `LintReport`; `ok` says whether all is kept.

    Raises:
        ValueError: The target is unknown, or the file is no .tflite.
    """
    if target not in ACCELERATORS:
        raise ValueError(
            f"`target` must be one of {', '.join(ACCELERATORS)}. Received: target={target!r}. "
            f"For LiteRT's CPU delegate pass 'xnnpack'."
        )
    accelerator = ACCELERATORS[target]
    content = tflite.content_of(model)
    file = tflite.read(content)
    verdicts = {op.index: accelerator.judge(op) for op in file.operators}
    notes, checked_by, partitions = list(accelerator.notes), "the tables alone", None
    if len(file.subgraphs) > 1:
        notes.append(f"The file has {len(file.subgraphs)} graphs; only the main one was read.")
    if target == "xnnpack" and verify:
        try:
            found = devices.probe(content)
        except devices.AgentError as error:
            notes.append(_not_asked(error, verdicts))
        else:
            checked_by = f"{found['runtime']} {found['runtime_version']}"
            partitions = found["partitions"]
            if found["delegates"] is not None:
                inside = delegated(file, found["delegates"])
                notes += _overrule(file, verdicts, inside, checked_by)
    if accelerator.takes_first_piece:
        notes += _follows(file, verdicts)
    refused = any(verdict.status == "refused" for verdict in verdicts.values())
    if partitions is None and accelerator.splits:
        partitions = 0 if refused else count_partitions(file, _kept(verdicts))
        if accelerator.takes_first_piece:
            partitions = min(partitions, 1)
    findings = _group(file, verdicts, accelerator.splits)
    return LintReport(target, len(file.operators), partitions, checked_by, findings, tuple(notes))


def _kept(verdicts):
    return {index for index, verdict in verdicts.items() if verdict.status == "kept"}


def _not_asked(error, verdicts):
    """Say why the runtime gave no answer: the file is refused, or there is no runtime."""
    if error.stage not in ("load", "run"):
        return f"The runtime was not asked: {error.reason}"
    if not any(verdict.status == "refused" for verdict in verdicts.values()):
        first = next(iter(verdicts), 0)
        verdicts[first] = Verdict(
            "refused",
            "the runtime refuses the whole file, no rule here says at which operator",
            "the runtime of this machine",
            "Convert the Keras model with mobile.convert, which keeps to what the runtime takes.",
        )
    return f"The runtime of this machine failed to {error.stage} the file: {error.reason}"


def _overrule(file, verdicts, inside, runtime):
    """Put what the runtime did over what the tables say; return a note for each difference."""
    differences = collections.Counter()
    for op in file.operators:
        said, kept = verdicts[op.index], op.index in inside
        if kept == (said.status == "kept") and said.status != "unknown":
            continue
        if kept:
            verdicts[op.index] = Verdict("kept", source=runtime)
        else:
            reason = said.reason or "the runtime leaves it out; no rule here says why"
            verdicts[op.index] = Verdict("leaves", reason, said.source or runtime, said.advice)
        if said.status != "unknown":
            differences[f"{op.name} {op.dtype}", said.status] += 1
    return [
        f"{operator}, {count} times: the table says {status}, {runtime} does otherwise."
        for (operator, status), count in differences.items()
    ]


def _follows(file, verdicts):
    """Say how much comes after the first operator that leaves, where that goes with it."""
    gone = [op for op in file.operators if verdicts[op.index].status == "leaves"]
    after = sum(i > gone[0].index for i in _kept(verdicts)) if gone else 0
    if not after:
        return []
    return [
        f"{after} of the operators that could be kept come after the first that leaves "
        f"({gone[0].origin}), and go to the CPU with it."
    ]


def _advice(op, verdict, ours):
    if verdict.status == "unknown" and not verdict.advice:
        return "No table tells: time the file there."
    return verdict.advice or advice_on(op.name, op.custom, ours)


def _short(name):
    """Return the first of the layers that a tensor's name lists."""
    name = name.split(";")[0]
    return name if len(name) <= 80 else "..." + name[-77:]


def _group(file, verdicts, splits):
    """Return one finding for each operator, dtype and reason, the costliest first."""
    groups = {}
    for op in file.operators:
        verdict = verdicts[op.index]
        if verdict.status != "kept":
            groups.setdefault((f"{op.name} {op.dtype}", verdict), []).append(op)
    kept = _kept(verdicts)
    now = count_partitions(file, kept)
    findings = []
    for (operator, verdict), ops in groups.items():
        indices = {op.index for op in ops}
        saved = now - count_partitions(file, kept | indices) if splits else 0
        findings.append(
            Finding(
                operator=operator,
                verdict=verdict.status,
                count=len(ops),
                reason=verdict.reason,
                partitions_saved=max(saved, 0),
                advice=_advice(ops[0], verdict, "keras_se" in file.metadata),
                source=verdict.source,
                where=tuple(_short(op.outputs[0].name) for op in ops[:3] if op.outputs),
                indices=tuple(sorted(indices)),
            )
        )
    order = {"refused": 0, "leaves": 1, "unknown": 2}
    return tuple(sorted(findings, key=lambda f: (order[f.verdict], -f.partitions_saved, -f.count)))
