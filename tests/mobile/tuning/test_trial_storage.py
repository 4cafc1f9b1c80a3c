"""The database of trials: how it is named, what it says when it fails, and a real PostgreSQL."""

import glob
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import pytest

from mobile.tuning import shared_trials, trial_storage
from mobile.tuning.shared_trials import SharedTrials
from tests.mobile.tuning.workers import done, kill_at_work, started

BINARIES = "/usr/lib/postgresql/*/bin"  # where Debian puts them


class Server:
    """A PostgreSQL of its own, which listens on a socket in its folder."""

    def __init__(self, folder, binaries, user):
        self.folder, self.binaries, self.user = folder, binaries, user
        self.url = f"postgresql+psycopg://test:secret@/postgres?host={folder}"
        self.run("initdb", "-D", f"{folder}/data", "-U", "test", "-A", "trust", "--no-sync")

    def run(self, command, *words):
        identity = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        line = [f"{self.binaries}/{command}", *words]
        # The server keeps what is open when it starts: a pipe would never end.
        with open(f"{self.folder}/log", "ab") as log:
            subprocess.run(
                line, stdout=log, stderr=log, check=True, timeout=60, cwd=self.folder, **identity
            )

    def start(self):
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        words = ("-w", "-D", f"{self.folder}/data", "-l", f"{self.folder}/server", "-o", options)
        self.run("pg_ctl", "start", *words)

    def stop(self):
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", f"{self.folder}/data")


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="psycopg is not there: pip install 'psycopg[binary]'")
    found = shutil.which("initdb")
    places = [os.path.dirname(os.path.realpath(found))] if found else sorted(glob.glob(BINARIES))
    if not places:
        pytest.skip("PostgreSQL is not there: apt install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses root
    folder = tempfile.mkdtemp(prefix="trials-", dir="/tmp")  # a socket's path must be short
    try:
        if user:
            shutil.chown(folder, user, user)
        server = Server(folder, places[-1], user)
        server.start()
    except (OSError, LookupError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder)
        pytest.skip(f"PostgreSQL does not run here: {error}")
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trial_storage, "HEARTBEAT_S", 1)
    monkeypatch.setattr(trial_storage, "GRACE_S", 3)
    monkeypatch.setattr(shared_trials, "POLL_S", 0.1)


@pytest.mark.debian
def test_postgresql_two_workers_one_killed_half_way_nothing_lost_nothing_twice(
    server, quick, tmp_path
):
    with (
        SharedTrials(server.url, "test") as trials,
        started(server.url, tmp_path, 2, seconds=0.5) as workers,
    ):
        trials.add({f"job{n:02}": {"number": n} for n in range(12)})
        while len(trials.results()) < 6:
            time.sleep(0.1)
        held = kill_at_work(workers[0], trials, tmp_path)
        while len(trials.results()) < 12:
            assert workers[1].poll() is None
            time.sleep(0.1)
        trials.finish()
        assert (workers[0].wait(20), workers[1].wait(20)) == (-signal.SIGKILL, 0)
        ended = [t.state.name for t in trials._trials() if t.user_attrs["key"] == held]
        assert ended == ["FAIL", "COMPLETE"]
        assert trials.results() == {f"job{n:02}": {"twice": 2 * n} for n in range(12)}
        assert trials.failures() == {}
    assert done(tmp_path) == [f"job{n:02}" for n in range(12)]
    assert [(tmp_path / f"stderr {n}").read_text() for n in range(2)] == ["", ""]


@pytest.mark.debian
def test_postgresql_started_anew_in_the_middle_of_a_job_loses_nothing(server, quick, capfd):
    did = []

    def do(key, job):
        did.append(key)
        if key == "b":
            server.stop()
            time.sleep(1.5)  # a heartbeat finds nobody
            server.start()
        return job

    with SharedTrials(server.url, "restarted") as trials:
        trials.add({"a": {}, "b": {}, "c": {}})
        trials.work(do)
        assert sorted(trials.results()) == did == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.debian
def test_postgresql_that_stays_away_is_one_error_and_what_was_done_is_kept(
    server, quick, monkeypatch
):
    monkeypatch.setattr(shared_trials, "PATIENCE_S", 1)

    def do(key, job):
        if key == "b":
            server.stop()
        return job

    with SharedTrials(server.url, "away") as trials:
        trials.add({"a": {}, "b": {}, "c": {}})
        try:
            with pytest.raises(RuntimeError, match="database of the trials must answer") as caught:
                trials.work(do)
            assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
            with pytest.raises(RuntimeError, match="database of the trials must answer"):
                SharedTrials(server.url, "away")
        finally:
            server.start()
        assert list(trials.results()) == ["a"]
        trials.work(lambda key, job: job)
        assert sorted(trials.results()) == ["a", "b", "c"]


@pytest.mark.debian
def test_postgresql_of_several_processes_that_open_it_new_at_once(server, quick, tmp_path):
    server.run("psql", "-h", server.folder, "-U", "test", "-c", "create database fresh", "postgres")
    url = server.url.replace("/postgres?", "/fresh?")
    with started(url, tmp_path, 3) as workers:
        assert [worker.stdout.readline() for worker in workers] == [b"ready\n"] * 3
        with SharedTrials(url, "test") as trials:
            trials.add({f"job{n:02}": {"number": n} for n in range(30)})
            trials.finish()
            assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert done(tmp_path) == [f"job{n:02}" for n in range(30)]


@pytest.mark.parametrize("name", ["trials.db", "a b.db", "{x}.db", "100%25.db", "what?#.db"])
def test_file_of_any_name_holds_the_trials(tmp_path, name):
    with SharedTrials(tmp_path / "new" / name, "test") as trials:
        trials.add({"a": {}})
        assert str(tmp_path / "new" / name) in trials.place
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    with SharedTrials(str(tmp_path / "new" / name), "test") as trials:
        assert list(trials._jobs()) == ["a"]


@pytest.mark.parametrize(
    "url",
    ["redis://host/0", "nosuch+driver://host/x", "journal://file", "://x", "sqlite+nosuch://x"],
)
def test_url_of_no_database_of_optuna_is_refused(url):
    with pytest.raises(ValueError, match="in a database that Optuna knows"):
        SharedTrials(url, "test")


def test_driver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"psycopg.*pip install 'psycopg\[binary\]'") as caught:
        SharedTrials("postgresql+psycopg://me:secret@host/x", "test")
    assert "secret" not in str(caught.value)


def test_optuna_that_is_not_installed_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-se\[tune\]'"):
        SharedTrials(tmp_path / "trials.db", "test")


def test_server_that_is_not_there_is_one_error_without_the_password():
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://me:secret@127.0.0.1:1/x"  # nothing listens on port 1
    with pytest.raises(RuntimeError, match=r"refused.*See that it runs") as caught:
        SharedTrials(url, "test")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_file_that_is_no_database_is_one_error(tmp_path):
    path = tmp_path / "trials.db"
    path.write_bytes(b"GIF89a" * 1000)
    with pytest.raises(RuntimeError, match="file is not a database"):
        SharedTrials(path, "test")
    assert path.read_bytes() == b"GIF89a" * 1000


def test_two_processes_cannot_both_read_before_one_writes(tmp_path):
    """Else both would find that a trial waits, and take it. The second one waits as it reads."""
    url = trial_storage.url_of(tmp_path / "trials.db")
    first, second = (trial_storage.open_storage(url) for _ in range(2))
    second.engine.dispose()
    with first.engine.begin() as reader:
        reader.exec_driver_sql("select * from studies").fetchall()
        with second.engine.connect() as other:
            other.connection.driver_connection.execute("pragma busy_timeout = 100")
            with pytest.raises(trial_storage.storage_errors(), match="locked"):
                other.exec_driver_sql("select * from studies")
    for storage in (first, second):
        storage.engine.dispose()


def test_quiet_is_over_where_it_ends_also_after_an_error():
    optuna = trial_storage.imported()
    loggers = [logging.getLogger(name) for name in ("optuna", "alembic")]
    before = [logger.level for logger in loggers]
    with pytest.raises(ZeroDivisionError), trial_storage.quiet_optuna():
        assert not loggers[0].isEnabledFor(logging.ERROR)
        warnings.warn("new", optuna.exceptions.ExperimentalWarning, stacklevel=1)
        raise ZeroDivisionError
    assert [logger.level for logger in loggers] == before
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        warnings.warn("new", optuna.exceptions.ExperimentalWarning, stacklevel=1)
