"""A device that computes truly and takes the times that it is told."""

import io
from dataclasses import dataclass, field

import numpy as np

from mobile import devices
from mobile.devices.agent.interleaving import interleave

CONDITIONS = {
    "machine": "toy",
    "cpu": "Toy 1",
    "runtime": "toy_runtime",
    "runtime_version": "1.0",
    "pinned_cores": [0],
    "system": "toy",
    "python": "3",
    "numpy": "2",
    "governor": None,
    "started": "now",
    "load": [],
    "frequency_mhz": [],
    "temperature_c": [],
}


class Clock:
    """A clock that what it times moves on."""

    now = 0.0

    def __call__(self):
        return self.now

    def taking(self, seconds):
        def invoke():
            self.now += next(seconds)

        return invoke


@dataclass
class ToyDevice:
    """Runs predictions truly, but makes up the times: `seconds` of each model's turns in order.

    `says` changes the answers by name, `rows` what is told of them, `renamed` what they are called.
    `end` is raised, or the device lost after so many rounds.
    """

    seconds: dict
    conditions: dict
    killers: tuple = ()
    says: dict = field(default_factory=dict)
    lost_after: int | None = None
    name: str = "toy"
    end: type | None = None
    rows: dict = field(default_factory=dict)
    renamed: dict = field(default_factory=dict)

    def run(self, job, files, update=None):
        self.job = job
        conditions = {"models": {}, "failures": [], "conditions": self.conditions, "error": None}
        found, arrays = conditions["models"], {}
        for number, model in enumerate(job["models"]):
            name = model["name"]
            if name in self.killers:
                reason = "the runtime was killed by SIGSEGV"
                conditions["failures"].append({"name": name, "stage": "run", "message": reason})
                continue
            inputs = [np.load(io.BytesIO(files[name])) for name in model["inputs"]]
            (output,) = devices.predict(files[model["file"]], inputs)
            output = self.says.get(name, lambda right: right)(output)
            buffer = io.BytesIO()
            np.save(buffer, output)
            arrays[f"{number}.npy"] = buffer.getvalue()
            found[self.renamed.get(name, name)] = {
                "of": name,
                "kernels": "default",
                "partitions": 1,
                "delegates": None,
                "load_ms": 1.0,
                "first_ms": 2.0,
                "outputs": {"0": f"{number}.npy"},
                **self.rows.get(name, {}),
            }
        if job["control"] in found:
            twin = f"{job['control']} (again)"
            found[twin] = {**found[job["control"]], "control_of": job["control"]}
        clock = Clock()
        invokes = {name: clock.taking(self.seconds[name]) for name in found}
        times = interleave(invokes, job["runs"], job["warmups"], clock) if found else {}
        for name, times_ms in times.items():
            found[name]["times_ms"] = times_ms
        answer = devices.Answer(conditions, arrays)
        if update:
            update(answer)
        if self.end:
            raise self.end
        if self.lost_after is not None:
            for row in found.values():
                del row["times_ms"][self.lost_after :]
            raise devices.AgentError("the cable was cut", "hear the end of the job", None, answer)
        return answer


def forever(*seconds):
    while True:
        yield from seconds
