"""The device's cache: files that came, by their SHA-256, for the next time.

What another user could have put there is not trusted, and only what has a name of ours is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Container

ANDROID = "/data/local/tmp"  # where Python does not look for a place
LIMIT_BYTES, LIMIT_DAYS = 1 << 30, 30
_NAME = re.compile(r"[0-9a-f]{64}(\.\w+\.part)?")


def open_cache() -> str | None:
    """Return the folder of the cache, made where it is missing; None if there is no safe place."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # to be ignored, says XDG's Base Directory Specification
        home = os.path.expanduser("~/.cache")
    with contextlib.suppress(OSError):
        os.makedirs(home, mode=0o700, exist_ok=True)
    shared = f"keras-se-{os.getuid()}"
    for base, name in ((home, "keras-se"), (ANDROID, shared), (tempfile.gettempdir(), shared)):
        with contextlib.suppress(OSError):
            return _own(os.path.join(_own(os.path.join(base, name)), "files"))
    return None


def _own(path):
    """Return a folder, made where it is missing, into which no other user can write."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(path)
    if found.st_mode & 0o022:
        os.chmod(path, stat.S_IMODE(found.st_mode) & ~0o022)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(path)
    return path


def fetch(cache: str, sha256: str) -> bytes | None:
    """Return the content of that fingerprint; None if the cache does not have it whole."""
    try:
        path = os.path.join(cache, sha256)
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            content = file.read()
            if hashlib.sha256(content).hexdigest() != sha256:
                return None
            os.utime(handle)
    except OSError:
        return None
    return content


def keep(cache: str, sha256: str, content: bytes) -> None:
    """Put a file into the cache; where there is no room for it, leave nothing of it."""
    with contextlib.suppress(OSError):
        handle, part = tempfile.mkstemp(prefix=f"{sha256}.", suffix=".part", dir=cache)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(part, os.path.join(cache, sha256))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)


def prune(cache: str, used: Container[str]) -> None:
    """Remove what nobody asked for in a month, and the oldest once all is larger than 1 GiB."""
    found = []
    with contextlib.suppress(OSError):  # somebody may have removed the whole cache since
        for entry in os.scandir(cache):
            with contextlib.suppress(OSError):
                said = entry.stat(follow_symlinks=False)
                if _NAME.fullmatch(entry.name) and stat.S_ISREG(said.st_mode):
                    found.append((said.st_mtime, said.st_size, entry.name))
    total, now = 0, time.time()
    for changed, size, name in sorted(found, reverse=True):
        total += size
        old = now - changed > LIMIT_DAYS * 86400
        if name not in used and (old or total > LIMIT_BYTES):
            with contextlib.suppress(OSError):  # another job was quicker, or it is not to go
                os.unlink(os.path.join(cache, name))
