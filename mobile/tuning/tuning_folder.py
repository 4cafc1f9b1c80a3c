"""The folder of a tuning: one process at a time, always the same tuning, gone on with."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from mobile.record import write_file

#: What it holds.
OPTIONS, PROFILE, SUPERNET, TRIALS = "options.json", "profile.json", "supernet.npz", "trials.db"
WIDENING = "widening.json"
RECORD, PICTURE, NETWORKS = "tuning.json", "tuning.png", "networks"


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Hold the folder of a tuning, which one process at a time writes."""
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise ValueError(
            f"A tuning's folder must be used by one `tune` at a time. Received: {folder}, which "
            f"another is writing now. Help it with `keras-se tune --worker`, or name another."
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_options(folder: pathlib.Path, kept: dict[str, Any]) -> None:
    """Raise unless the folder is of this tuning; a new one is said to be."""
    path = folder / OPTIONS
    kept = json.loads(json.dumps(kept))
    if not path.exists():
        write_file(path, json.dumps(kept, indent=1) + "\n")
        return
    try:
        there = json.loads(path.read_text())
        apart = [f"{name}={there.get(name)!r}" for name in kept if there.get(name) != kept[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} must be what a tuning wrote. Received: {error}.") from None
    if apart:
        raise ValueError(
            f"A tuning must go on with what it began with. In {folder} that was: "
            f"{'; '.join(apart)}. Name another folder."
        )


def study(path: pathlib.Path, name: str) -> Any:
    """Return Optuna's study of a search, in a file."""
    from mobile.tuning import trial_storage

    optuna = trial_storage.imported()
    with trial_storage.quiet_optuna():
        return optuna.create_study(
            storage=trial_storage.open_storage(trial_storage.url_of(path)),
            study_name=name,
            load_if_exists=True,
        )
