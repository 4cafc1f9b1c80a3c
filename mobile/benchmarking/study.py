"""What is measured, the same on every device, and what is made of the answers."""

import collections
import dataclasses

import numpy as np

from mobile import devices, tflite
from mobile.benchmarking import advice, answers
from mobile.benchmarking.timings import Conditions, Failure, ModelTimings, OperatorTime, Timings
from mobile.tflite import partitions


@dataclasses.dataclass(frozen=True)
class Study:
    """What is measured, the same on every device."""

    chosen: dict
    here: dict
    expected: dict | None
    tolerance: float | None
    references: tuple
    failures: tuple
    job: dict
    files: dict

    def measure(self, device, threads, keep, alone):
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

    def read_interrupted(self, device, job, answer):
        """Return the timings of an answer after which the user wanted no more."""
        return self._read(device, job, answer, devices.AgentError("interrupted", "time"))

    def _read(self, device, job, answer, lost):
        threads = job["threads"]
        result, failures, timings = answer.result, list(self.failures), []
        failures += [Failure(**failure) for failure in result["failures"]]
        counts = [len(row["times_ms"]) for row in result["models"].values() if row["times_ms"]]
        rounds = min(counts, default=0)
        remarks = []
        for name, row in result["models"].items():
            subject = self.chosen[row["of"]]
            if not row["times_ms"]:
                failures.append(Failure(name, "time", "the run ended before its first round"))
                continue
            outputs = [answer.array(file) for file in row["outputs"].values()]
            error, steps, complaint = None, None, None
            if not row.get("unseen"):
                wanted = None if self.expected is None else wanted_outputs(self.expected, row["of"])
                error, steps, complaint = answers.judge(
                    subject, outputs, row, self.here[row["of"]], wanted, self.tolerance
                )
            if complaint:
                failures.append(Failure(name, "compute", complaint))
                continue
            if not row.get("control_of"):
                remarks += _remarks(name, row, steps)
            timings.append(
                ModelTimings(
                    name=name,
                    times_ms=tuple(row["times_ms"][:rounds]),
                    size_bytes=subject.artifact.size_bytes,
                    sha256=subject.artifact.sha256,
                    output_error=error,
                    output_lsb=steps,
                    left_out=_left_out(subject.artifact, row["delegates"]),
                    profile=tuple(OperatorTime(**each) for each in row.get("profile", ())),
                    **{key: row.get(key) for key in _KEPT},
                )
            )
        if lost:
            remarks.append(f"Only {rounds} rounds of {job['runs']} were done: {lost.reason}")
        said = {"machine": "", "cpu": "", "runtime": "", "runtime_version": ""}
        said |= (result["conditions"] or {}) | {"device": device.name, "runs": rounds}
        said |= {key: job[key] for key in ("kernels", "warmups", "threads")}
        names = [model.name for model in timings if not model.control_of]
        plain = {name: f"{name} (without delegate)" for name in self.references}
        present = [name if name in names else plain[name] for name in self.references]
        present = tuple(name for name in present if name in names) or tuple(names[:1])
        found = Timings(tuple(timings), Conditions.from_dict(said), present, tuple(failures))
        contents = {name: subject.artifact.content for name, subject in self.chosen.items()}
        delegates = {name: row["delegates"] for name, row in result["models"].items()}
        if (cores := found.conditions.cores) and threads > cores:
            remarks.append(
                f"{threads} threads ran on {cores} cores, and waited for each other. "
                f"Lower `threads`."
            )
        said = (*remarks, *advice.find(found, contents, delegates))
        return dataclasses.replace(found, notes=said)


_KEPT = ("partitions", "load_ms", "first_ms", "peak_memory_bytes", "kernels", "control_of")


def _remarks(name, row, steps):
    if steps is not None and steps > 1:
        yield (
            f"{name}: an output differs by {steps} steps of its quantisation from the same kind of "
            f"kernels on this machine, where 0 or 1 is usual. Integer kernels of another processor "
            f"or version round otherwise; compare accuracies with mobile.verify."
        )
    if row.get("unseen"):
        yield (
            f"{name}: benchmark_model gives no outputs, so nothing says whether the answers are "
            f"right, and each time is the mean of a tenth of the runs. For both, use a Python on "
            f"the device."
        )
    if row.get("repeats") is False:
        yield (
            f"{name}: the same input gave another output in the last round than in the first. "
            f"If the model keeps no state, do not trust it on this device."
        )


def _left_out(artifact, delegates):
    """Return name and dtype of the operators outside the delegate's pieces, to count."""
    if not delegates:
        return {}
    file = tflite.read(artifact.content)
    inside = partitions.delegated(file, delegates)
    outside = [f"{op.name} {op.dtype}" for op in file.operators if op.index not in inside]
    return dict(collections.Counter(outside).most_common())


def wanted_outputs(expected, name):
    """Return the right outputs, as the caller says."""
    if name not in expected:
        raise ValueError(
            f"`expected` must hold the outputs of every model. Received: none for {name!r}. "
            f"Add them, or leave `expected` out."
        )
    outputs = expected[name]
    return [np.asarray(x) for x in (outputs if isinstance(outputs, list | tuple) else [outputs])]
