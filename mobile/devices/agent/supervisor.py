"""The process that is asked: it has workers do a job, and survives them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from .beat import STAGES, Beat
from .job import TIMEOUT_S, kernels_of, row_name
from .json_files import read_json, write_json


class WorkerError(Exception):
    """A worker gave no answer: why, in which stage, and the name of the model, if any."""

    def __init__(self, reason: str, stage: str, model: str | None):
        super().__init__(reason)
        self.reason, self.stage, self.model = reason, stage, model


class Supervisor:
    """Do a job in worker processes.

    Args:
        job: What to do.
        folder: Where its files are.
        command: Argument list that starts a worker, without the job's path.
        publish: Called with the result so far, after every step.
        gone: Says whether whoever asked has gone away.
    """

    def __init__(
        self,
        job: dict,
        folder: str,
        command: list[str],
        publish: Callable[[dict], object] = lambda result: None,
        gone: Callable[[], bool] = lambda: False,
    ):
        self.job, self.folder, self.command = job, folder, command
        self.publish, self.gone = publish, gone
        self.timeout_s = job.get("timeout_s") or TIMEOUT_S
        self.end = time.monotonic() + (job.get("limit_s") or float("inf"))

    def run(self) -> dict:
        """Return the result, whose "error" says why it is not complete, or None."""
        result: dict = {"error": None}
        several = self.job["job"] in ("check", "benchmark")
        if several:
            result.update(models={}, failures=[], conditions=None)
        try:
            if several:
                self._benchmark(result)
            else:
                result.update(self._attempt(self.job))
        except WorkerError as failed:
            result.update(error=failed.reason, stage=failed.stage, model=failed.model)
        self.publish(result)
        return result

    def _benchmark(self, result):
        """Try each model by itself, then time those that run."""
        entries = {}
        for model in self.job["models"]:
            self._check(model, result, entries)
            self.publish(result)
        if self.job["job"] == "check":
            return
        rows = result["models"]
        if self.job.get("control") and entries:
            meant = [name for name in entries if rows[name]["of"] == self.job["control"]]
            control = next(iter(meant or entries))
            twin = row_name(control, "again", self._names(result))
            entries[twin] = dict(entries[control], name=twin)
            rows[twin] = dict(rows[control], control_of=control)
        while entries:
            job = dict(self.job, job="time", models=list(entries.values()))
            try:
                self._keep_times(result, self._attempt(job, lambda: self._peek(result)))
                break
            except WorkerError as failed:
                self._peek(result)
                if failed.model not in entries:
                    raise
                # The others are timed again: what they have was taken beside the one that failed.
                culprit = rows[failed.model]["control_of"] or failed.model
                for name in [n for n in entries if culprit in (n, rows[n]["control_of"])]:
                    del entries[name], rows[name]
                self._fail(result, culprit, failed)
        self.publish(result)

    def _check(self, model, result, entries):
        """Load and run one model; where only the delegate refuses it, as well without."""
        name = model["name"]
        kernels = kernels_of(model, self.job)
        try:
            answer = self._attempt(dict(self.job, job="check", models=[model]))
        except WorkerError as failed:
            if failed.model is None:  # no runtime, no time: so for all
                raise
            said = failed.reason
            refused = kernels == "default" and ("prepare" in said or "delegate" in said.lower())
            if self.job.get("fallback") and refused:
                other = row_name(name, "without delegate", self._names(result))
                plain = dict(model, name=other, kernels="builtin", fallback_of=name)
                self._check(plain, result, entries)
                if other in entries:
                    failed.reason = (
                        f"{said.rstrip('.')}. The builtin kernels run it: see {other!r}."
                    )
            self._fail(result, name, failed)
            return
        result["conditions"] = result["conditions"] or answer["conditions"]
        result["models"][name] = dict(
            answer["models"][name],
            of=model.get("fallback_of") or name,
            fallback_of=model.get("fallback_of"),
            control_of=None,
            kernels=kernels,
            times_ms=[],
        )
        entries[name] = model

    def _names(self, result):
        """Return the names that are taken."""
        return {*result["models"], *(model["name"] for model in self.job["models"])}

    def _fail(self, result, name, failed):
        result["failures"].append({"name": name, "stage": failed.stage, "message": failed.reason})

    def _peek(self, result):
        """Publish the times that a worker which still runs, or died, has written down."""
        written = read_json(os.path.join(self.folder, "times.json"))
        if written and any(written["models"].values()):
            self._keep_times(result, written)
            self.publish(result)

    def _keep_times(self, result, answer):
        for name, found in answer["models"].items():
            result["models"][name].update(found)
        result["conditions"] = answer.get("conditions") or result["conditions"]

    def _attempt(self, job, tick=lambda: None) -> dict:
        """Return a worker's answer, or raise `WorkerError` with what is known of its end."""
        for name in ("answer.json", "times.json", "beat"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.folder, name))
        beat = Beat(os.path.join(self.folder, "beat"))
        path = os.path.join(self.folder, "work.json")
        write_json(path, job)
        with open(os.path.join(self.folder, "words.txt"), "w+b") as words:
            try:
                worker = subprocess.Popen(
                    [*self.command, "work", path], stdin=subprocess.PIPE, stdout=words, stderr=words
                )
            except OSError as error:
                raise WorkerError(
                    f"{self.command[0]!r} must be a Python that starts. Received: "
                    f"{error.strerror}. Name another with `python`.",
                    "start",
                    None,
                ) from None
            try:
                reason = self._watch(worker, beat, tick)
            finally:
                worker.kill()
                worker.communicate()
            words.seek(max(0, words.seek(0, os.SEEK_END) - 8000))
            said = words.read()
        stage, place, _ = beat.read()
        answer = read_json(os.path.join(self.folder, "answer.json"))
        if reason is None:
            ended = f"{_ending(worker.returncode)}: {last_words(said)}"
            reason = answer["error"] if answer else ended
        if reason:
            name = job["models"][place - 1]["name"] if place else None
            raise WorkerError(reason, STAGES[stage], name)
        return answer

    def _watch(self, worker, beat, tick):
        """Wait for a worker to end; return why it had to be stopped, or None."""
        done = threading.Event()
        threading.Thread(target=lambda: (worker.wait(), done.set()), daemon=True).start()
        last, since, ticked = None, time.monotonic(), time.monotonic()
        while not done.wait(0.5):
            now = time.monotonic()
            if beat.read() != last:
                last, since = beat.read(), now
            if now - since > self.timeout_s:
                return f"took longer than {self.timeout_s:g} s"
            if now > self.end:
                beat.tell("time")
                return f"the whole job took longer than {self.job['limit_s']:g} s"
            if self.gone():
                beat.tell("time")
                return "the host has gone away"
            if now - ticked > 5:
                ticked = now
                tick()
        return None


def _ending(code):
    """Say in words how a process ended."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"the runtime was killed by {name}{memory}"
    return f"it left with status {code} and no answer"


def last_words(said: bytes) -> str:
    """Return the last lines that a process wrote, without the chatter."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("INFO", "WARNING"))]
    return " / ".join(lines[-3:]) or "it said nothing"
