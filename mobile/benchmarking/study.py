"""What is measured, the same on every device, and what is made of the answers."""

import collections
import dataclasses
from collections.abc import Mapping

import numpy as np

from mobile import devices, tflite
from mobile.benchmarking import advice, answers
from mobile.benchmarking.checkpoint import Keeping
from mobile.benchmarking.subjects import Subject
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, OperatorTime, Timings
from mobile.tflite import partitions


@dataclasses.dataclass(frozen=True)
class Study:
    """What is measured, the same on every device."""

    chosen: dict[str, Subject]
    here: dict[str, answers.Here]
    expected: Mapping | None
    tolerance: float | None
    references: tuple[str, ...]
    failures: tuple[Failure, ...]
    job: dict
    files: dict[str, bytes]

    def measure(self, device: devices.Device, threads: int, keep: Keeping, alone: bool) -> Timings:
        """Run the job on one device. What a lost device gave is kept; one `alone` must give any."""
        job = {**self.job, "threads": threads}
        try:
            answer, lost = device.run(job, self.files, keep.part(device, job)), None
        except devices.AgentError as error:
            answer, lost = error.partial, error
            timed = answer and any(r["times_ms"] for r in answer.result["models"].values())
            if alone and not timed:
                raise
            if not timed:
                failure = Failure(device.name, error.stage, error.reason)
                unknown = Conditions(device.name, "", "", "", "", threads, 0, 0)
                return Timings((), unknown, (), (*self.failures, failure))
        return self._read(device, job, answer, lost)

    def read_interrupted(
        self, device: devices.Device, job: dict, answer: devices.Answer
    ) -> Timings:
        """Return the timings of an answer after which the user wanted no more."""
        return self._read(device, job, answer, devices.AgentError("interrupted", "time"))

    def _read(self, device, job, answer, lost):
        result, failures = answer.result, list(self.failures)
        failures += [Failure(**failure) for failure in result["failures"]]
        counts = [len(row["times_ms"]) for row in result["models"].values() if row["times_ms"]]
        rounds = min(counts, default=0)
        timings, remarks = [], []
        for name, row in result["models"].items():
            if not row["times_ms"]:
                failures.append(Failure(name, "time", "the run ended before its first round"))
                continue
            verdict = self._judge(name, row, answer, job)
            if verdict.complaint:
                failures.append(Failure(name, "compute", verdict.complaint))
                continue
            timings.append(self._timings(name, row, rounds, verdict))
            if not timings[-1].control_of:
                remarks += [f"{name}: {remark}" for remark in _remarks(row, verdict)]
        if lost:
            failures.append(Failure(device.name, lost.stage, lost.reason))
            remarks.append(f"Only {rounds} rounds of {job['runs']} were done.")
        said = {"machine": "", "cpu": "", "runtime": "", "runtime_version": ""}
        said |= (result["conditions"] or {}) | {"device": device.name, "runs": rounds}
        said |= {key: job[key] for key in ("kernels", "warmups", "threads")}
        conditions = Conditions.from_dict(said)
        present = self._present([model for model in timings if not model.control_of])
        found = Timings(tuple(timings), conditions, present, tuple(failures))
        if conditions.cores and conditions.threads > conditions.cores:
            remarks.append(
                f"{conditions.threads} threads ran on {conditions.cores} cores, and waited for "
                f"each other. Lower `threads`."
            )
        contents = {name: subject.artifact.content for name, subject in self.chosen.items()}
        delegates = {name: row["delegates"] for name, row in result["models"].items()}
        said = (*remarks, *advice.find(found, contents, delegates))
        return dataclasses.replace(found, notes=said)

    def _judge(self, name, row, answer, job):
        if row.get("unseen"):
            return answers.Verdict(None, None)
        of = row["of"]
        outputs = [answer.array(file) for file in row["outputs"].values()]
        wanted = None if self.expected is None else wanted_outputs(self.expected, of)
        there = {**(answer.result["conditions"] or {}), "threads": job["threads"]}
        return answers.judge(
            self.chosen[of], outputs, row, self.here[of], there, wanted, self.tolerance
        )

    def _timings(self, name, row, rounds, verdict):
        artifact = self.chosen[row["of"]].artifact
        found = {field: row[field] for field in _FIELDS if field in row}
        found |= {
            "name": name,
            "times_ms": tuple(row["times_ms"][:rounds]),
            "size_bytes": artifact.size_bytes,
            "sha256": artifact.sha256,
            "output_error": verdict.error,
            "output_lsb": verdict.steps,
            "left_out": _left_out(artifact, row["delegates"]),
            "profile": tuple(OperatorTime(**each) for each in row.get("profile", ())),
        }
        return ModelTimings(**found)

    def _present(self, models):
        """Return the references that were timed, or else what was timed in their place."""
        names = {m.name: m.name for m in models}
        names = {m.fallback_of: m.name for m in models if m.fallback_of} | names
        present = tuple(names[name] for name in self.references if name in names)
        return present or tuple(m.name for m in models[:1])


#: What the agent may say of a model under the name of a field.
_FIELDS = [field.name for field in dataclasses.fields(ModelTimings)]


def _remarks(row, verdict):
    """Yield what makes a row less certain."""
    yield from verdict.remarks
    if verdict.steps is not None and verdict.steps > 1:
        yield (
            f"an output differs by {verdict.steps} steps of its quantisation from the same kind of "
            f"kernels on this machine, where 0 or 1 is usual. Integer kernels of another processor "
            f"or version round otherwise; compare accuracies with mobile.verify."
        )
    if row.get("unseen"):
        yield (
            "benchmark_model gives no outputs, so nothing says whether the answers are right, and "
            "each time is the mean of a tenth of the runs. For both, use a Python on the device."
        )
    if row.get("repeats") is False:
        yield (
            "the same input gave another output in the last round than in the first. If the model "
            "keeps no state, do not trust it on this device."
        )


def _left_out(artifact, delegates):
    """Return name and dtype of the operators outside the delegate's pieces, to count."""
    if not delegates:
        return {}
    file = tflite.read(artifact.content)
    inside = partitions.delegated(file, delegates)
    outside = [f"{op.name} {op.dtype}" for op in file.operators if op.index not in inside]
    return dict(collections.Counter(outside).most_common())


def wanted_outputs(expected: Mapping, name: str) -> list[np.ndarray]:
    """Return the right outputs, as the caller says."""
    if name not in expected:
        raise ValueError(
            f"`expected` must hold the outputs of every model. Received: none for {name!r}. "
            f"Add them, or leave `expected` out."
        )
    outputs = expected[name]
    return [np.asarray(x) for x in (outputs if isinstance(outputs, list | tuple) else [outputs])]
