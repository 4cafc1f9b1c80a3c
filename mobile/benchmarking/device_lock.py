"""One timing at a time on a device: two that run at once disturb each other."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

from mobile.record import printable

_NOTE_S = 1  # how long to wait before saying so


@contextlib.contextmanager
def device_lock(device: str) -> Iterator[None]:
    """Hold a device, so that no other timing of this user's on this machine runs on it meanwhile.

    Who comes second waits, and says so on standard error. A thread that holds a device may take it
    once more. A process that dies lets go.

    Args:
        device: Its name, as `mobile.devices.connect` gives it.

    Raises:
        OSError: The folder for temporary files cannot be written.
    """
    import filelock

    lock = filelock.FileLock(_path(device), is_singleton=True)
    try:
        lock.acquire(timeout=_NOTE_S)
    except filelock.Timeout:
        print(f"Waiting: another timing runs on {printable(device)}.", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _path(device):
    """The file that stands for a device. It is the user's own, and so is the temporary folder."""
    user = os.getuid() if hasattr(os, "getuid") else ""  # elsewhere the folder is the user's
    digest = hashlib.sha256(device.encode(errors="surrogatepass")).hexdigest()[:16]
    return pathlib.Path(tempfile.gettempdir(), f"keras-se-device-{user}-{digest}.lock")
