"""Work that any number of processes on any number of machines share through a study of Optuna."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mobile.record import printable
from mobile.tuning import trial_storage
from mobile.tuning.trial_storage import quiet_optuna

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PATIENCE_S = 60  # how long a database may be away
POLL_S = 2  # how often one that waits looks for work
_DEATHS = 3  # of workers at one job, after which it is the job that is to blame

Do = Callable[[str, dict[str, Any]], dict[str, Any]]
Tell = Callable[..., None]


class SharedTrials:
    """Jobs by key, each done once, by whichever process comes first.

    Each job is a trial of Optuna, and its result an attribute of that trial. A process that works
    sends heartbeats to the database; the job of one that was killed, or whose machine is gone, is
    taken up by another after a minute of silence, that of one that was interrupted at once.

        with SharedTrials("trials.db", "tune") as trials:
            trials.add({"a": {"seed": 0}, "b": {"seed": 1}})
            trials.work(train)  # while others call `serve`
            trials.results()

    Args:
        storage: Path of an SQLite file, for processes on one machine, or the URL of a database.
        name: Of the study in it, which is made where it is missing.
        of: What the study is of, as JSON takes it: one that is there must be of the same. None for
            a worker, which takes any.

    Raises:
        ValueError: The study is of something else or another program's, or the URL is of no
            database that Optuna knows.
        ImportError: Optuna or the database's driver is not installed.
        RuntimeError: The database does not answer.
    """

    def __init__(self, storage: str | pathlib.Path, name: str, of: Mapping | None = None):
        optuna = trial_storage.imported()
        self.name, self._url = name, trial_storage.url_of(storage)
        self._storage = trial_storage.open_storage(self._url)
        self._errors = trial_storage.storage_errors()
        try:
            with quiet_optuna():
                self._study = optuna.create_study(
                    storage=self._storage,
                    sampler=optuna.samplers.RandomSampler(),
                    pruner=optuna.pruners.NopPruner(),
                    study_name=name,
                    load_if_exists=True,
                )
            self._check(of)
        except self._errors as error:
            self.close()
            raise trial_storage.broken(error, self._url) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def add(self, jobs: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the jobs that are not there yet. One that failed is tried again.

        Args:
            jobs: Key to all that a worker must know, as JSON takes it.

        Raises:
            ValueError: Another job has that key.
        """
        wanted = {key: _through_json(f"Job {key!r}", job) for key, job in jobs.items()}
        known = self._patiently(self._jobs)
        for key, job in wanted.items():
            if key in known and known[key].job != job:
                raise ValueError(
                    f"A key must stand for one job. Received: {key!r}, which in study "
                    f"{self.name!r} of {self.place} is {_short(known[key].job)}, not "
                    f"{_short(job)}. Name another study."
                )
        for key, job in wanted.items():
            if key not in known or known[key].failed:
                self._patiently(lambda key=key, job=job: self._enqueue(key, job))
        self._patiently(lambda: self._study.set_user_attr("over", False))

    def work(self, do: Do, tell: Tell | None = None) -> None:
        """Do jobs until all that were added are finished, here or elsewhere.

        A job that raises an exception is one that failed, and stops no other.

        Args:
            do: Called with key and job; returns the result, as JSON takes it.
            tell: Called with the share that is finished and words, as `mobile.progress.bar` gives
                it.

        Raises:
            RuntimeError: The database went away or is full.
        """
        self._loop(do, tell, lambda jobs: all(job.finished for job in jobs))

    def serve(self, do: Do, tell: Tell | None = None) -> None:
        """Do jobs until the process that adds them says that it is over; see `work`."""

        def over(jobs):
            return self._study.user_attrs.get("over") and all(job.finished for job in jobs)

        self._loop(do, tell, over)

    def finish(self) -> None:
        """Say that no more jobs will come: `serve` returns."""
        self._patiently(lambda: self._study.set_user_attr("over", True))

    def results(self) -> dict[str, dict[str, Any]]:
        """Return key to result of the jobs that are done."""
        jobs = self._patiently(self._jobs)
        return {key: job.result for key, job in jobs.items() if job.result is not None}

    def failures(self) -> dict[str, str]:
        """Return key to what was said of the jobs that failed."""
        jobs = self._patiently(self._jobs)
        return {key: job.error for key, job in jobs.items() if job.failed and job.error}

    @property
    def of(self) -> dict[str, Any] | None:
        """What the study is of; None while no one has said."""
        return self._patiently(lambda: self._study.user_attrs.get("of"))

    @property
    def place(self) -> str:
        """The database, without its password."""
        return trial_storage.shown(self._url)

    def _check(self, of):
        attributes = self._study.user_attrs
        strange = [t for t in self._trials() if "key" not in t.user_attrs]
        if any(t.params or t.state.name == "COMPLETE" for t in strange):
            raise ValueError(
                f"A study must be one of this program. Received: {self.name!r} in {self.place}, "
                f"whose trials are another's. Name another study."
            )
        if of is None:
            return
        of = _through_json("`of`", of)
        if "of" not in attributes:
            self._study.set_user_attr("of", of)
            attributes = self._study.user_attrs  # another may have come first
        there = attributes["of"]
        if there != of:
            apart = [
                f"{name} {_short(there.get(name))}, not {_short(of.get(name))}"
                for name in sorted(there.keys() | of.keys())
                if there.get(name) != of.get(name)
            ]
            raise ValueError(
                f"A study must be of one search space with one set of options. Received: "
                f"{self.name!r} in {self.place}, which has {'; '.join(apart)}. Name another study "
                f"or another folder."
            )

    def _loop(self, do, tell, over):
        tell = tell or (lambda share=None, words="": None)
        try:
            while True:
                jobs = self._patiently(self._tended, tell)
                done = sum(job.finished for job in jobs)
                running = sum(job.running for job in jobs)
                share = done / len(jobs) if jobs else None
                words = f"{done} of {len(jobs)} jobs, {running} under way"
                tell(share, words if jobs else "waiting for jobs")
                if self._patiently(lambda jobs=jobs: over(jobs), tell):
                    return
                if any(job.waiting for job in jobs):
                    self._patiently(lambda: self._do_one(do, tell), tell)
                else:
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            with quiet_optuna(), contextlib.suppress(*self._errors):
                self._tended()  # the job under way is another's to do
            raise

    def _patiently(self, action, tell=None):
        """Return what an action on the database gives; one that is away for long is an error."""
        end = None
        while True:
            try:
                with quiet_optuna():
                    return action()
            except self._errors as error:
                end = end or time.monotonic() + PATIENCE_S
                if time.monotonic() >= end:
                    raise trial_storage.broken(error, self._url) from error
                if tell:
                    tell(None, "the database does not answer")
                time.sleep(POLL_S)
            except KeyError:
                raise RuntimeError(
                    f"A study must stay until it is done. Received: {self.name!r} in {self.place}, "
                    f"which has been deleted. Start again with the same command."
                ) from None

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _jobs(self) -> dict[str, _Job]:
        jobs: dict[str, _Job] = {}
        for trial in self._trials():
            if (key := trial.user_attrs.get("key")) is not None:
                jobs.setdefault(key, _Job(key, trial.user_attrs["job"])).trials.append(trial)
        return jobs

    def _enqueue(self, key, job, state="WAITING", **told):
        optuna = trial_storage.imported()
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[state],
                value=0.0 if state == "COMPLETE" else None,
                user_attrs={"key": key, "job": job, **told},
            )
        )

    def _tended(self) -> list[_Job]:
        """Return the jobs, after those whose worker is gone were put back."""
        optuna = trial_storage.imported()
        optuna.storages.fail_stale_trials(self._study)
        late = datetime.datetime.now() - datetime.timedelta(seconds=trial_storage.GRACE_S)
        for trial in self._trials():
            # Killed between taking a trial and the first heartbeat.
            silent = trial.state.name == "RUNNING" and "worker" not in trial.user_attrs
            if silent and trial.datetime_start and trial.datetime_start < late:
                with contextlib.suppress(ValueError, RuntimeError):  # another was faster
                    self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        jobs = self._jobs()
        for job in jobs.values():
            if job.finished or job.live:
                continue
            if job.deaths < _DEATHS:
                self._enqueue(job.key, job.job)
            else:
                said = f"the process that did it died, {_DEATHS} times"
                self._enqueue(job.key, job.job, "FAIL", error=said)
        return list(self._jobs().values())

    def _do_one(self, do, tell):
        """Take the first trial that waits, if there is one still, and do its job."""
        optuna = trial_storage.imported()
        over = optuna.exceptions.UpdateFinishedTrialError
        unsaved, dead = [], []  # what is done but not in the database; what was taken for dead

        def objective(trial):
            key, job = (trial.user_attrs.get(name) for name in ("key", "job"))
            if key is None:  # another process was faster, and this is a trial that none has asked
                raise optuna.TrialPruned
            try:
                self._storage.record_heartbeat(trial._trial_id)
                trial.set_user_attr("worker", f"{platform.node()}, process {os.getpid()}")
            except over:
                dead.append(trial)
                raise
            if not self._jobs()[key].is_turn_of(trial.number):
                raise optuna.TrialPruned
            try:
                told = {"result": _through_json("A result", do(key, job))}
            except KeyboardInterrupt:
                with contextlib.suppress(over, *self._errors):
                    trial.set_user_attr("stopped", True)
                raise
            except Exception as error:
                told = {"error": f"{type(error).__name__}: {error}"}
            try:
                for name, value in told.items():
                    trial.set_user_attr(name, value)
            except (over, *self._errors):
                unsaved.append((key, job, told))
                raise
            if "error" in told:
                raise _JobError
            return 0.0

        try:
            self._study.optimize(objective, n_trials=1, catch=(_JobError,))
        except (ValueError, UnboundLocalError, *self._errors) as error:
            if isinstance(error, UnboundLocalError):  # Optuna's, where the database is away
                error = error.__context__ or error
            if not (unsaved or dead):  # with these, the trial is over, which is a ValueError
                raise error from None
        for key, job, told in unsaved:
            state = "COMPLETE" if "result" in told else "FAIL"
            self._patiently(lambda k=key, j=job, s=state, t=told: self._enqueue(k, j, s, **t), tell)


class _JobError(Exception):
    """A job failed, and its trial knows why."""


@dataclass
class _Job:
    """All trials of one job, in the order of their numbers."""

    key: str
    job: dict[str, Any]
    trials: list[FrozenTrial] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any] | None:
        """The first result."""
        return next((t.user_attrs["result"] for t in self.trials if "result" in t.user_attrs), None)

    @property
    def error(self) -> str | None:
        """What was said when it failed last."""
        said = [t.user_attrs["error"] for t in self.trials if "error" in t.user_attrs]
        return said[-1] if said else None

    @property
    def live(self) -> list[FrozenTrial]:
        """Trials that wait or run."""
        return [t for t in self.trials if not t.state.is_finished() and "error" not in t.user_attrs]

    @property
    def failed(self) -> bool:
        """Whether it failed, and is not being tried again."""
        return self.result is None and not self.live and self.error is not None

    @property
    def finished(self) -> bool:
        """Whether there is no more to do."""
        return self.result is not None or self.failed

    @property
    def running(self) -> bool:
        """Whether a process does it now."""
        return not self.finished and any(t.state.name == "RUNNING" for t in self.live)

    @property
    def waiting(self) -> bool:
        """Whether a trial of it waits."""
        return any(t.state.name == "WAITING" for t in self.trials)

    @property
    def deaths(self) -> int:
        """How many workers died at it, since it last failed by itself."""
        count = 0
        for trial in self.trials:
            if "error" in trial.user_attrs:
                count = 0
            elif trial.state.name == "FAIL" and "stopped" not in trial.user_attrs:
                count += 1
        return count

    def is_turn_of(self, number: int) -> bool:
        """Whether the trial of that number is to do it: added twice, a job is done once."""
        return self.result is None and self.live[0].number == number


def _through_json(what, value):
    """Return a dictionary as JSON gives it back."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{what} must be a dictionary of plain values. Received: {type(value).__name__}."
        )
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{what} must hold plain values, as JSON takes them. Received: {error}. Write records "
            f"with `to_dict`."
        ) from None


def _short(value):
    said = printable(json.dumps(value))
    return said if len(said) < 80 else f"{said[:77]}..."
