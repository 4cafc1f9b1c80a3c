"""What is costly to make for a test, kept from run to run."""

import fcntl
import os
import pathlib
import shutil


def made_once(name, make):
    """Return the folder of that name in the user's cache; `make(folder)` fills it the first time.

    Tests in other processes wait until it is whole.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = pathlib.Path(home) / "keras-se" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "whole").touch()
    return folder
