"""The database that holds a study of Optuna, opened so that several processes can share it."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import random
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

INSTALL = "pip install 'keras-se[tune]'"

HEARTBEAT_S = 10  # how often a process says that it lives
GRACE_S = 60  # after which silence its trial is another's to do
_LOCKED_S = 60  # how long a process waits for another to let go of an SQLite file
_OPENINGS = 5  # tries to make the tables, which several processes may do at once


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna and its tools from logging, and from warning of what is experimental.

    Levels of loggers are for the whole process: they are put back.
    """
    experimental = imported().exceptions.ExperimentalWarning
    loggers = [logging.getLogger(name) for name in ("optuna", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", experimental)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def imported() -> Any:
    """Return the package optuna, or raise an ImportError that says what to install."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(f"Sharing trials needs Optuna ({error}). Run `{INSTALL}`.") from None
    return optuna


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what a database raises that is away, full or locked."""
    import sqlalchemy.exc

    return sqlalchemy.exc.SQLAlchemyError, imported().exceptions.StorageInternalError


def url_of(storage: str | pathlib.Path) -> str:
    """Return the URL of a database: that given, or that of an SQLite file.

    >>> url_of("postgresql+psycopg://me@board/trials")
    'postgresql+psycopg://me@board/trials'
    """
    if isinstance(storage, str) and "://" in storage:
        return storage
    import sqlalchemy

    file = pathlib.Path(storage).absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    url = sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()
    return url.replace("{", "{{").replace("}", "}}")  # Optuna puts its version into such


def shown(url: str) -> str:
    """Return a URL without its password; of an SQLite file, its path.

    >>> shown("postgresql+psycopg://me:secret@board/trials")
    'postgresql+psycopg://me:***@board/trials'
    """
    import sqlalchemy

    parts = sqlalchemy.make_url(url)
    if parts.get_backend_name() == "sqlite":
        return (parts.database or "").replace("{{", "{").replace("}}", "}")
    return parts.render_as_string(hide_password=True)


def open_storage(url: str) -> RDBStorage:
    """Open a database, with heartbeats, and make Optuna's tables where they are missing.

    Raises:
        ValueError: The URL is of no database that Optuna knows.
        ImportError: The database's driver is not installed.
        RuntimeError: The database does not answer, or was made by an Optuna that it does not fit.
    """
    import sqlalchemy
    from sqlalchemy import exc

    try:
        on_file = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
    except (exc.ArgumentError, ValueError):
        raise ValueError(
            "Trials must be kept in a database that Optuna knows. Received: a `storage` that is "
            "neither a path nor such a URL. Pass a path for an SQLite file, or such as "
            "postgresql+psycopg://user:password@host/database."
        ) from None
    for attempt in range(1, _OPENINGS + 1):
        try:
            storage = _opened(url, on_file)
            break
        except exc.NoSuchModuleError:
            raise ValueError(
                f"Trials must be kept in a database that Optuna knows. Received: "
                f"storage={shown(url)!r}. Pass a path for an SQLite file, or such as "
                f"postgresql+psycopg://user:password@host/database."
            ) from None
        except ImportError as error:
            raise ImportError(
                f"The database's driver must be installed. Received: {shown(url)!r}, whose driver "
                f"gives: {error.__cause__ or error}. For PostgreSQL: pip install 'psycopg[binary]'."
            ) from None
        except storage_errors() as error:
            # Another process may be making the same tables; a server that is away is away.
            away = isinstance(error, exc.OperationalError) and not on_file
            if away or attempt == _OPENINGS:
                raise broken(error, url) from error
            time.sleep(random.uniform(0.1, 0.5))
    if on_file:
        _one_at_a_time(storage.engine)
    _steadfast(storage)
    return storage


def broken(error: BaseException, url: str) -> RuntimeError:
    """Return the error of a database that is away, full or locked."""
    cause = error.__cause__ or error
    said = " ".join(str(getattr(cause, "orig", None) or cause).split()).rstrip(".")
    return RuntimeError(
        f"The database of the trials must answer, and take what is written. Received: {said}, from "
        f"{shown(url)}. What was finished is in it. See that it runs and has room, then start "
        f"again with the same command."
    )


def _opened(url, on_file) -> RDBStorage:
    # A server may have been started anew since a connection was last used.
    engine = {"connect_args": {"timeout": _LOCKED_S}} if on_file else {"pool_pre_ping": True}
    with quiet_optuna():
        return imported().storages.RDBStorage(
            url, engine_kwargs=engine, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S
        )


def _one_at_a_time(engine):
    """Let each transaction lock an SQLite file from its first read on.

    Else two processes may both read that a trial waits, and both take it. (A server locks its row.)
    """
    from sqlalchemy import event

    engine.dispose()

    @event.listens_for(engine, "connect")
    def _(connection, record):
        connection.isolation_level = None  # Python's module begins no transaction by itself

    @event.listens_for(engine, "begin")
    def _(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _steadfast(storage):
    """Let a heartbeat that cannot be written pass: the next one may get through."""
    record = storage.record_heartbeat

    def try_to_record(trial_id):
        with contextlib.suppress(*storage_errors()):
            record(trial_id)
        storage.remove_session()  # of this thread

    storage.record_heartbeat = try_to_record
