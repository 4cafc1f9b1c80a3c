"""The far end of a connection: takes a job and its files, gives back the agent's answers.

`mobile.devices.remote` is the near end. What comes on standard input, behind what `boot` reads:

    a line of JSON   {"job": ..., "files": {name: SHA-256}}
    of each file     that was said to be missing, in that order: a line with its size, its content
    anything         at least once a minute; silence or the end stops the job

and goes to standard output, each line behind a mark, since a login may print what it likes:

    {"missing": [SHA-256, ...]}
    {"result": ..., "files": [[name, size], ...]}, then their contents, after every step
    {"done": true}, or {"fault": ...} where this end cannot go on
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import threading
import time

from . import cache
from .supervisor import Supervisor

MARK = b"keras-se agent "
SILENCE_S = 60


def serve(command: list[str], folder: str) -> int:
    """Do one job in a new folder, with the argument list that starts a worker; return a status."""
    listen, speak = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    try:
        _serve(command, folder, listen, speak)
    except Exception as error:  # nobody listens any more, or the disk is full
        fault = f"{type(error).__name__}: {error}"
        print(fault, file=sys.stderr)
        with contextlib.suppress(OSError):
            _say(speak, {"fault": fault})
        return 1
    return 0


def _serve(command, folder, listen, speak):
    request = json.loads(listen.readline())
    os.mkdir(folder)
    _receive(_checked(request["files"]), folder, listen, speak)
    heard = [time.monotonic()]

    def listening():
        # Not through `listen`: its lock, held when this process ends, would kill it.
        while os.read(listen.fileno(), 1 << 16):
            heard[0] = time.monotonic()
        heard[0] = float("-inf")

    threading.Thread(target=listening, daemon=True).start()
    sent = set(request["files"])

    def publish(result):
        names = sorted(n for n in os.listdir(folder) if n.endswith(".npy") and n not in sent)
        sizes = [[name, os.path.getsize(os.path.join(folder, name))] for name in names]
        _say(speak, {"result": result, "files": sizes})
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                shutil.copyfileobj(file, speak)
        sent.update(names)
        speak.flush()

    gone = lambda: time.monotonic() - heard[0] > SILENCE_S  # noqa: E731
    Supervisor(request["job"], folder, command, publish, gone).run()
    _say(speak, {"done": True})


def _checked(wanted):
    """Return name to fingerprint, or refuse names that are more than names."""
    for name, sha256 in wanted.items():
        if not re.fullmatch(r"\w[\w.-]*", name) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError(
                f"A file must have a plain name and a SHA-256. Received: {name!r}, {sha256!r}."
            )
    return wanted


def _receive(wanted, folder, listen, speak):
    """Put files by name into the folder: those that the cache has, then those that are sent."""
    place, missing = cache.open_cache(), []

    def put(sha256, content):
        for name in wanted:
            if wanted[name] == sha256:
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(content)

    for sha256 in sorted(set(wanted.values())):
        content = cache.fetch(place, sha256) if place else None
        if content is None:
            missing.append(sha256)
        else:
            put(sha256, content)
    _say(speak, {"missing": missing})
    for sha256 in missing:
        content = listen.read(int(listen.readline()))
        if hashlib.sha256(content).hexdigest() != sha256:
            raise OSError(f"a file did not arrive whole: {sha256}")
        put(sha256, content)
        if place:
            cache.keep(place, sha256, content)
    if place:
        cache.prune(place, set(wanted.values()))


def _say(stream, value):
    stream.write(MARK + json.dumps(value).encode() + b"\n")
    stream.flush()
