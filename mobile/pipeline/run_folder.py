"""The folder of a run: one process at a time, whole when it has its name, resumed when not."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobile.pipeline.options import Options
from mobile.progress import Progress, Silence
from mobile.record import write_file

STATE = "state.json"
RESULTS = "results.json"
_REPLACED = "replaced"  # the run of that name that was there, for a moment
_LONGEST = 200  # bytes; file systems take 255, and endings come behind


class Store:
    """The folder of a run while it is unfinished, and the stages that are finished in it.

    As a context it holds a lock: another run of that name, in whatever process, is refused.

    Args:
        final: The folder's path once all is in it; until then `.unfinished` stands behind.
        options: What the run depends on.
        overwrite: Whether to replace a run of that name, finished or not.
        resume: Whether to go on with an unfinished one.

    Raises:
        ValueError: What is there is something else, or is to be kept, or is not to be resumed.
    """

    def __init__(self, final: Path, options: Options, overwrite: bool, resume: bool):
        self.final, self.overwrite, self.resume = final, overwrite, resume
        self.folder = final.with_name(final.name + ".unfinished")
        self.options = options.to_dict()
        self.state = self._look()  # now, before the work, and again with the lock

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock time of each stage."""
        return dict(self.state["seconds"])

    def stage(
        self,
        title: str,
        progress: Progress | Silence,
        work: Callable[[Callable[..., None] | None], Any],
        steps: bool = False,
    ) -> Any:
        """Do a stage and keep what it returns, or return what was kept."""
        if title in self.state["stages"]:
            progress.note(f"{title}: done before")
            return self.state["stages"][title]
        start = time.perf_counter()
        with progress.stage(title, steps) as watch:
            found = work(watch)
        self.state["stages"][title] = json.loads(json.dumps(found))
        self.state["seconds"][title] = round(time.perf_counter() - start, 3)
        write_file(self.folder / STATE, json.dumps(self.state))
        return self.state["stages"][title]

    def __enter__(self) -> Store:
        self._acquire()
        try:
            self.state = self._look()  # another run may have ended since
            if self.folder.exists() and not self.resume:
                shutil.rmtree(self.folder)
            self.folder.mkdir(exist_ok=True)
            write_file(self.folder / STATE, json.dumps(self.state))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind, error, trace) -> bool:
        try:
            if kind is None:
                self._finish()
            elif not self.state["stages"]:
                shutil.rmtree(self.folder)  # nothing was finished: leave nothing
            elif issubclass(kind, KeyboardInterrupt):
                done = ", ".join(self.state["stages"])
                raise KeyboardInterrupt(
                    f"interrupted; finished and kept in {self.folder}: {done}. "
                    f"Go on with the same command and --resume."
                ) from None
        finally:
            self._release()
        return False

    def _finish(self):
        _check_final(self.final, self.overwrite)  # it may have come since
        old = self.folder / _REPLACED
        if self.final.exists():  # moved and not deleted: whatever ends this, one of both is whole
            shutil.rmtree(old, ignore_errors=True)
            os.replace(self.final, old)
        os.replace(self.folder, self.final)
        shutil.rmtree(self.final / _REPLACED, ignore_errors=True)
        (self.final / STATE).unlink()  # last: until then the run can be resumed

    def _acquire(self):
        import filelock

        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.final.with_name(f".{self.final.name}.lock"))
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise ValueError(
                f"A run's folder must be used by one run at a time. Received: {self.final}, which "
                f"another is writing now. Wait until that ends, or pass --name for another one."
            ) from None
        except OSError as error:
            raise ValueError(
                f"The output folder must lie where you may write. Received: {self.final}: "
                f"{error.strerror}. Pass --output for another place."
            ) from None

    def _release(self):
        with contextlib.suppress(OSError):  # a system may keep a file that is open
            os.unlink(self._lock.lock_file)
        self._lock.release()

    def _look(self) -> dict:
        """Check what is there, and return the state to begin with."""
        _check_final(self.final, self.overwrite)
        fresh = {"options": self.options, "stages": {}, "seconds": {}}
        state = _state(self.folder)
        if self.resume:
            return self._resumed(state)
        if state is not None and not self.overwrite:
            raise ValueError(
                f"The output folder must be new. Received: {self.folder}, an unfinished run. "
                f"Pass --resume to go on with it, or --overwrite to start again."
            )
        return fresh

    def _resumed(self, state: dict | None) -> dict:
        if state is None:
            raise ValueError(
                f"There must be an unfinished run to resume. Received: {self.folder}, which "
                f"{'holds none' if self.folder.exists() else 'does not exist'}. "
                f"Leave out --resume."
            )
        old, new = state["options"], self.options
        differing = [f"{k}={old.get(k)!r}" for k in new if old.get(k) != new[k]]
        if differing:
            raise ValueError(
                f"A run must go on with the options it began with. In {self.folder} they were: "
                f"{', '.join(differing)}. Pass these, or start again with --overwrite."
            )
        return state


def folder_of(output: str | Path, name: str) -> Path:
    """The folder of a run of that name.

    Raises:
        ValueError: The name is not that of one folder in `output`.
    """
    is_one = isinstance(name, str) and name == Path(name).name != "" and "\0" not in name
    if not is_one or name == ".." or len(os.fsencode(name)) > _LONGEST:
        shown = repr(name) if len(repr(name)) < 60 else f"{repr(name)[:60]}..."
        raise ValueError(
            f"`name` must be that of one folder, at most {_LONGEST} bytes long. Received: "
            f"name={shown}. Pass another one, and --output for its place."
        )
    return Path(output) / name


def _check_final(folder: Path, overwrite: bool) -> None:
    """Raise unless a run may get that folder: there is none, or it is a run to be replaced."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        kind = "a symbolic link" if folder.is_symlink() else "a file"
        raise ValueError(
            f"The output must be a folder of its own. Received: {folder}, which is {kind}. "
            f"Pass --name for another one, or --output for another place."
        )
    if not folder.exists():
        return
    is_run = _is_run(folder)
    if not overwrite:
        raise ValueError(
            f"The output folder must be new. Received: {folder}, which holds "
            f"{'another run' if is_run else 'something else'}. "
            f"Pass --name for another one{', or --overwrite to replace it' if is_run else ''}."
        )
    if not is_run and any(folder.iterdir()):
        raise ValueError(
            f"Only a run may be overwritten. Received: {folder}, which holds no {RESULTS} of one. "
            f"Pass --name for another folder."
        )


def _is_run(folder: Path) -> bool:
    values = _read(folder / RESULTS)
    return isinstance(values, dict) and {"networks", "timings"} <= set(values)


def _state(folder: Path) -> dict | None:
    """Return the state of an unfinished run; None where there is no folder, or nothing in it."""
    if not folder.is_symlink() and not folder.exists():
        return None
    state = None if folder.is_symlink() else _read(folder / STATE)
    parts = ("options", "stages", "seconds")
    if isinstance(state, dict) and all(isinstance(state.get(part), dict) for part in parts):
        return state
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return None
    raise ValueError(
        f"While it works, a run writes to a folder of its own. Received: {folder}, which is no "
        f"unfinished run, and is left as it is. Move it, or pass --name for another one."
    )


def _read(path: Path):
    """Return parsed JSON, or None where that cannot be had."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
