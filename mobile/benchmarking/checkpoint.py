"""What devices have said so far, on disk until all is done: an interrupt loses little."""

import json
import os
import pathlib
import tempfile
from collections.abc import Callable

from mobile.benchmarking import measurements
from mobile.benchmarking.timings import Timings
from mobile.devices import Device
from mobile.record import write_file


class Keeping:
    """Files of partial results, which go once all is here and are named where it is not.

    Args:
        read: Returns the `Timings` of a device, a job, and what was answered until an interrupt.
    """

    def __init__(self, read: Callable[..., Timings]):
        self.read, self.parts = read, []

    def part(self, device: Device, job: dict) -> "_Part":
        """Return a function that keeps an answer in place of the device's last one."""
        part = _Part(device, job)
        self.parts.append(part)
        return part

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for part in self.parts:
            part.over = True
        parts = [part for part in self.parts if part.path]
        timed = [part for part in parts if part.timed] if kind else []
        for part in parts:
            if part not in timed[:1]:
                part.path.unlink(missing_ok=True)
        interrupted = bool(kind) and issubclass(kind, KeyboardInterrupt)
        if timed:
            said = f"What was measured before is in {self._keep(timed)}."
            if interrupted:
                raise KeyboardInterrupt(f"interrupted. {said}") from None
            error.add_note(said)
        elif interrupted:
            raise KeyboardInterrupt("interrupted before any model was timed") from None

    def _keep(self, parts):
        """Write what was timed in the place of the first part; return what to say of it."""
        found = tuple(self.read(part.device, part.job, part.answer) for part in parts)
        write_file(parts[0].path, measurements.of(found).to_json())
        return f"{parts[0].path}, which `keras-se report` reads"


class _Part:
    def __init__(self, device, job):
        self.device, self.job, self.path, self.answer = device, job, None, None
        self.over = False  # a thread that an interrupt does not await may go on for a moment

    @property
    def timed(self) -> bool:
        rows = self.answer.result["models"].values() if self.answer else ()
        return any(row["times_ms"] for row in rows)

    def __call__(self, answer):
        if self.over or not answer.result.get("models"):
            return
        self.answer = answer
        if self.path is None:
            safe = "".join(c if c.isalnum() else "-" for c in self.device.name)
            handle, name = tempfile.mkstemp(prefix=f"keras-se-{safe}-", suffix=".json")
            os.close(handle)
            self.path = pathlib.Path(name)
        write_file(self.path, json.dumps(answer.result))
