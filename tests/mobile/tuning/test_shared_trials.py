"""Jobs shared by processes: each done once, whoever dies, and nothing of the user's changed."""

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from mobile.tuning import shared_trials, trial_storage
from mobile.tuning.shared_trials import SharedTrials
from tests.mobile.tuning.workers import ROOT, done, kill_at_work, started

JOBS = {"a": {"number": 1}, "b": {"number": 2}, "c": {"number": 3}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(trial_storage, "HEARTBEAT_S", 1)
    monkeypatch.setattr(trial_storage, "GRACE_S", 3)
    monkeypatch.setattr(shared_trials, "POLL_S", 0.1)
    monkeypatch.setattr(shared_trials, "PATIENCE_S", 0.5)
    monkeypatch.setattr(random, "random", lambda: 0.0)  # seconds between five tries of Optuna


@pytest.fixture
def file(tmp_path):
    return tmp_path / "trials.db"


@pytest.fixture
def shared(file):
    """Opens the study `test`, as another process would."""
    with contextlib.ExitStack() as stack:
        yield lambda **more: stack.enter_context(SharedTrials(file, "test", **more))


def twice(key, job):
    return {"twice": 2 * job["number"]}


def counted(folder, seconds=0.0):
    """What the workers do, in this process."""

    def do(key, job):
        time.sleep(seconds)
        with open(folder / "done", "a") as file:
            file.write(f"{key}\n")
        return twice(key, job)

    return do


def states(trials):
    return [trial.state.name for trial in trials._trials()]


def test_jobs_are_done_and_another_process_reads_the_results(shared):
    trials = shared()
    trials.add(JOBS)
    trials.work(twice)
    assert shared().results() == {"a": {"twice": 2}, "b": {"twice": 4}, "c": {"twice": 6}}
    assert shared().failures() == {}


def test_what_is_done_is_not_done_again_and_what_is_new_is(shared):
    trials, did = shared(), []
    trials.add({"a": JOBS["a"]})
    trials.work(twice)
    later = shared()
    later.add(JOBS)
    later.add(JOBS)
    later.work(lambda key, job: did.append(key) or twice(key, job))
    assert did == ["b", "c"]
    assert len(later.results()) == 3


def test_job_that_raises_stops_no_other_and_says_why(shared):
    trials = shared()
    trials.add({"a": {"number": 1}, "b": {"number": 0}, "c": {"number": 4}})
    trials.work(lambda key, job: {"share": 1 / job["number"]})
    assert trials.results() == {"a": {"share": 1.0}, "c": {"share": 0.25}}
    assert trials.failures() == {"b": "ZeroDivisionError: division by zero"}
    assert states(trials) == ["COMPLETE", "FAIL", "COMPLETE"]


def test_job_that_failed_is_tried_again_when_it_is_added_again(shared):
    trials = shared()
    trials.add(JOBS)
    trials.work(lambda key, job: {"share": 1 / (job["number"] - 2)})
    assert list(trials.failures()) == ["b"]
    trials.work(twice)  # which alone changes nothing
    assert list(trials.failures()) == ["b"]
    trials.add(JOBS)
    trials.work(twice)
    assert trials.failures() == {} and trials.results()["b"] == {"twice": 4}


def test_job_that_two_processes_add_at_once_is_done_once(shared):
    first, second, did = shared(), shared(), []
    for trials in (first, second):  # neither saw the other's
        trials._enqueue("a", {"number": 1})
    first.work(lambda key, job: did.append(key) or twice(key, job))
    assert did == ["a"]
    first._do_one(twice, None)  # the other trial of it
    assert states(first) == ["COMPLETE", "PRUNED"]


def test_trial_that_nobody_asked_for_does_not_run(shared):
    trials = shared()
    trials.work(pytest.fail)
    trials._do_one(pytest.fail, None)  # as if another process had been faster
    assert trials.results() == trials.failures() == {}
    shared().add(JOBS)
    trials.work(twice)
    assert len(trials.results()) == 3


def test_interrupt_puts_the_job_back_at_once(shared):
    trials = shared()
    trials.add(JOBS)

    def interrupted(key, job):
        if key == "b":
            raise KeyboardInterrupt
        return twice(key, job)

    for _ in range(4):  # which is nothing that a job is blamed for
        with pytest.raises(KeyboardInterrupt):
            trials.work(interrupted)
    assert sorted(trials.results()) == ["a", "c"]
    assert trials._jobs()["b"].waiting
    shared().work(twice)
    assert len(trials.results()) == 3


def test_killed_workers_job_is_done_by_another_and_none_twice(file, shared, tmp_path):
    trials = shared()
    trials.add({f"job{n}": {"number": n} for n in range(6)})
    with started(file, tmp_path, 2, seconds=0.7) as workers:
        kill_at_work(workers[0], trials, tmp_path)
        trials.work(counted(tmp_path, 0.7))
        trials.finish()
        assert workers[1].wait(20) == 0
    assert done(tmp_path) == [f"job{n}" for n in range(6)]
    assert trials.results() == {f"job{n}": {"twice": 2 * n} for n in range(6)}
    assert trials.failures() == {}


def test_processes_that_start_at_once_on_a_new_file_do_each_job_once(file, shared, tmp_path):
    with started(file, tmp_path, 2) as workers:
        trials = shared()
        trials.add({f"job{n:02}": {"number": n} for n in range(30)})
        trials.work(counted(tmp_path))
        trials.finish()
        assert [worker.wait(20) for worker in workers] == [0, 0]
    assert done(tmp_path) == [f"job{n:02}" for n in range(30)]
    assert all((tmp_path / f"stderr {n}").read_text() == "" for n in range(2))


def test_worker_killed_before_its_first_heartbeat_loses_nothing(shared, monkeypatch):
    trials, other = shared(), shared()
    trials.add({"a": JOBS["a"]})
    with trial_storage.quiet_optuna(), pytest.warns(UserWarning, match="Heartbeat"):
        trials._study.ask()  # it has taken the trial, and is no more
    assert states(trials) == ["RUNNING"]
    monkeypatch.setattr(trial_storage, "GRACE_S", 0)
    other.work(twice)
    assert trials.results() == {"a": {"twice": 2}}


@pytest.mark.slow
def test_job_at_which_three_workers_died_has_failed(shared):
    trials = shared()
    trials.add(JOBS)
    script = (
        "import os, sys\n"
        "from mobile.tuning import shared_trials, trial_storage\n"
        "trial_storage.HEARTBEAT_S, trial_storage.GRACE_S = 1, 1\n"
        "def do(key, job):\n"
        "    return os.abort() if key == 'b' else {}\n"
        "shared_trials.SharedTrials(sys.argv[1], 'test').work(do)\n"
    )
    deaths = 0
    while not trials.failures():
        command = [sys.executable, "-c", script, trials._url]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        deaths += run.returncode == -signal.SIGABRT
        trials._patiently(trials._tended)
        assert deaths <= 3
    assert deaths == 3
    assert trials.failures() == {"b": "the process that did it died, 3 times"}
    assert sorted(trials.results()) == ["a", "c"]


def test_result_of_a_process_taken_for_dead_counts(shared):
    trials, other = shared(), shared()
    trials.add({"a": JOBS["a"]})

    def do(key, job):
        (trial,) = other._trials()
        other._study.tell(trial.number, state=type(trial.state).FAIL)
        return twice(key, job)

    trials.work(do)
    assert trials.results() == {"a": {"twice": 2}}
    other.work(pytest.fail)  # it is done


def test_worker_serves_until_no_more_jobs_will_come(file, shared, tmp_path):
    trials = shared()
    with started(file, tmp_path, 1) as (worker,):
        assert worker.stdout.readline() == b"ready\n"
        for key, job in JOBS.items():
            trials.add({key: job})
            while key not in trials.results():
                time.sleep(0.05)
        assert worker.poll() is None
        trials.finish()
        assert worker.wait(20) == 0
    assert done(tmp_path) == ["a", "b", "c"]


def test_progress_is_told_by_jobs(shared):
    trials, told = shared(), []
    trials.add(JOBS)
    trials.work(twice, lambda share, words: told.append((share, words)))
    assert told[0] == (0.0, "0 of 3 jobs, 0 under way")
    assert told[-1] == (1.0, "3 of 3 jobs, 0 under way")


def test_study_of_another_search_space_is_refused_and_left_alone(file, shared):
    trials = shared(of={"network": "mobilenet_v2", "kinds": ("cse", "scse")})
    trials.add(JOBS)
    shared(of={"network": "mobilenet_v2", "kinds": ["cse", "scse"]})  # the same, from JSON
    with pytest.raises(ValueError, match=r"network \"mobilenet_v2\", not \"ghostnet\"\. Name ano"):
        shared(of={"network": "ghostnet", "kinds": ("cse", "scse")})
    assert shared().of == {"network": "mobilenet_v2", "kinds": ["cse", "scse"]}
    assert len(trials._jobs()) == 3


def test_study_of_another_program_is_refused(file, shared):
    import optuna

    with trial_storage.quiet_optuna():
        storage = f"sqlite:///{file}"
        study = optuna.create_study(storage=storage, study_name="test")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        study._storage._backend.engine.dispose()
    with pytest.raises(ValueError, match="whose trials are another's"):
        shared()


def test_key_stands_for_one_job(shared):
    trials = shared()
    trials.add(JOBS)
    with pytest.raises(ValueError, match=r"is \{\"number\": 1\}, not \{\"number\": 7\}"):
        trials.add({"a": {"number": 7}})


@pytest.mark.parametrize("job", [{"images": object()}, [1, 2]])
def test_job_must_be_plain_values(shared, job):
    trials = shared()
    with pytest.raises(TypeError, match="Job 'a' must"):
        trials.add({"b": {}, "a": job})
    assert not trials._jobs()


def test_result_that_is_no_plain_value_is_a_failure(shared):
    trials = shared()
    trials.add({"a": {}, "b": {}})
    trials.work(lambda key, job: {"found": {1, 2}} if key == "a" else None)
    failures = trials.failures()
    assert "A result must hold plain values" in failures["a"]
    assert "A result must be a dictionary of plain values. Received: NoneType" in failures["b"]


def test_database_that_goes_away_is_one_error_and_what_was_done_is_kept(file, shared):
    trials = shared()
    trials.add(JOBS)

    def vanishing(key, job):
        if key == "b":
            file.rename(file.with_suffix(".away"))
            trials.close()  # or else this process would go on with the file that it has open
        return twice(key, job)

    with pytest.raises(RuntimeError, match=r"must answer, and take what is written\. .*no"):
        trials.work(vanishing)
    trials.close()
    os.replace(file.with_suffix(".away"), file)
    assert shared().results() == {"a": {"twice": 2}}


def test_study_that_is_deleted_is_one_error(shared):
    import optuna

    trials = shared()
    trials.add(JOBS)

    def deleting(key, job):
        with trial_storage.quiet_optuna():
            optuna.delete_study(study_name="test", storage=trials._storage)
        return twice(key, job)

    with pytest.raises(RuntimeError, match=r"'test' in .*, which has been deleted"):
        trials.work(deleting)


def test_full_disk_is_one_error_and_what_was_done_is_kept(shared):
    script = (
        "import os, random, resource, sys\n"
        "random.random = lambda: 0.0\n"
        "from mobile.tuning import shared_trials\n"
        "shared_trials.PATIENCE_S, shared_trials.POLL_S = 0.5, 0.1\n"
        "trials = shared_trials.SharedTrials(sys.argv[1], 'test')\n"
        "def do(key, job):\n"
        "    if key == 'b':\n"
        "        size = os.path.getsize(sys.argv[1])\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "    return {'words': 'x' * 100_000 * job['number']}\n"
        "try: trials.work(do)\n"
        "except RuntimeError as error: print(error)\n"
    )
    trials = shared()
    trials.add(JOBS)
    file = trials._storage.engine.url.database
    run = [sys.executable, "-c", script, file]
    said = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("The database of the trials must answer, and take what is")
    assert said.stdout.count("\n") == 1 and said.stderr == ""
    assert list(trials.results()) == ["a"]
    trials.work(twice)
    assert trials.results() == {"a": {"words": "x" * 100_000}} | {
        key: {"twice": 2 * JOBS[key]["number"]} for key in "bc"
    }


def test_logging_stays_as_the_user_set_it_and_nothing_is_printed(shared, capfd):
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    alembic = logging.getLogger("alembic").level
    try:
        trials = shared()
        trials.add(JOBS)
        trials.work(lambda key, job: {"share": 1 / (job["number"] - 1)})
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(before)
    assert logging.getLogger("alembic").level == alembic
    assert capfd.readouterr() == ("", "")
