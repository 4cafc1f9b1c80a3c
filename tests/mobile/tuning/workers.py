"""Processes that work at a shared study, for tests."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[3]

#: Takes storage, name, folder and seconds a job; each job that is done adds its key to `done`.
WORKER = """
import pathlib, sys, time
from mobile.tuning import shared_trials, trial_storage
trial_storage.HEARTBEAT_S, trial_storage.GRACE_S, shared_trials.POLL_S = 1, 3, 0.2
storage, name, folder, seconds = sys.argv[1:]

def do(key, job):
    (pathlib.Path(folder) / f"begun {key}").touch()
    time.sleep(float(seconds))
    with open(pathlib.Path(folder) / "done", "a") as file:
        file.write(key + chr(10))
    return {"twice": 2 * job["number"]}

with shared_trials.SharedTrials(storage, name) as trials:
    print("ready", flush=True)
    trials.serve(do)
"""


@contextlib.contextmanager
def started(storage, folder, count, seconds=0.0):
    """Start so many workers of the study `test`; they are killed at the end."""
    words = [sys.executable, "-W", "error", "-c", WORKER, str(storage), "test", folder]
    with contextlib.ExitStack() as stack:
        workers = []
        for number in range(count):
            log = stack.enter_context(open(folder / f"stderr {number}", "wb"))
            process = subprocess.Popen(
                [*words, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
            )
            workers.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield workers


def kill_at_work(worker, trials, folder):
    """Kill a worker when it has just begun a job, and return that job's key."""
    before, end = set(folder.glob("begun *")), time.monotonic() + 60
    while time.monotonic() < end:
        for trial in trials._trials():
            key, who = trial.user_attrs["key"], trial.user_attrs.get("worker", "")
            new = folder / f"begun {key}" in set(folder.glob("begun *")) - before
            if trial.state.name == "RUNNING" and who.endswith(f"process {worker.pid}") and new:
                worker.send_signal(signal.SIGKILL)
                return key
        time.sleep(0.01)
    raise AssertionError("the worker began no job in a minute")


def done(folder):
    """The keys of the jobs that were done, sorted: each as often as it was."""
    return sorted((folder / "done").read_text().split())
