"""The far end of a connection: takes a job and its files, gives back the agent's answers.

This text is sent to a Python on the device, which runs it from its standard input; see `remote.py`
for the near end. It needs the standard library of Python 3.9. What follows on standard input:

    a line of JSON   {"job": ..., "files": {name: SHA-256}}, `agent.py` among the files
    a line of JSON   how many files follow that were said to be missing
    of each          a line of JSON {"sha256": ..., "size": ...}, then the content
    anything         at least once a minute; silence or the end stops the job

and on standard output, each line behind a mark, since a login may print what it likes:

    {"missing": [SHA-256, ...]}
    {"result": ..., "files": [[name, size], ...]}, then their contents, after every step
    {"done": true}

The job's folder is removed at the end, however it ends. The files that came are kept by their
fingerprint for the next time.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

MARK = b"keras-se agent "
SILENCE_S = 60
CACHE_BYTES, CACHE_DAYS = 1 << 30, 30
ANDROID = "/data/local/tmp"  # where Python does not look for a place


def serve(python):
    """Do one job; `python` is the interpreter for the agent's workers."""
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(1))
    listen, speak = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout, sys.dont_write_bytecode = sys.stderr, True
    place = ANDROID if os.access(ANDROID, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="keras-se-", dir=place)
    try:
        _serve(python, listen, speak, folder)
    except OSError as error:  # nobody listens any more, or the disk is full
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(python, listen, speak, folder):
    request = json.loads(listen.readline())
    wanted, cache = request["files"], _cache()
    missing = _fetch(cache, wanted, folder)
    _say(speak, {"missing": missing})
    for _ in range(json.loads(listen.readline())):
        header = json.loads(listen.readline())
        handle, path = tempfile.mkstemp(dir=cache)
        with os.fdopen(handle, "wb") as file:
            file.write(listen.read(header["size"]))
        os.replace(path, os.path.join(cache, header["sha256"]))
    damaged = _fetch(cache, wanted, folder)
    if damaged:
        raise OSError(f"files arrived damaged: {damaged}")
    _prune(cache, set(wanted.values()))
    heard = [time.monotonic()]

    def listening():
        while listen.read(1):
            heard[0] = time.monotonic()
        heard[0] = float("-inf")

    threading.Thread(target=listening, daemon=True).start()
    sent = set(wanted)

    def publish(result):
        names = sorted(n for n in os.listdir(folder) if n.endswith(".npy") and n not in sent)
        sizes = [[name, os.path.getsize(os.path.join(folder, name))] for name in names]
        _say(speak, {"result": result, "files": sizes})
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                shutil.copyfileobj(file, speak)
        sent.update(names)
        speak.flush()

    sys.path.insert(0, folder)
    import agent

    command = [python, os.path.join(folder, "agent.py")]
    gone = lambda: time.monotonic() - heard[0] > SILENCE_S  # noqa: E731
    agent.Supervisor(request["job"], folder, command, publish, gone).run()
    _say(speak, {"done": True})


def _say(stream, value):
    stream.write(MARK + json.dumps(value).encode() + b"\n")
    stream.flush()


def _cache():
    """Return the folder of files by fingerprint: the user's cache, or where temporary files go."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (home, ANDROID, tempfile.gettempdir()):
        path = os.path.join(base, "keras-se", "files")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError:
            continue
        if os.access(path, os.W_OK):
            return path
    raise OSError("no folder can be written to")


def _fetch(cache, wanted, folder):
    """Copy files by name from the cache into a folder; return the fingerprints of those missing."""
    missing = set()
    for name, sha256 in wanted.items():
        path, target = os.path.join(cache, sha256), os.path.join(folder, os.path.basename(name))
        try:
            shutil.copyfile(path, target)
            with open(target, "rb") as file:
                if hashlib.sha256(file.read()).hexdigest() != sha256:
                    raise OSError("damaged")
            os.utime(path)
        except OSError:
            missing.add(sha256)
    return sorted(missing)


def _prune(cache, used):
    """Remove what nobody asked for in a month, and the oldest once all is larger than 1 GiB."""
    total, now = 0, time.time()
    for entry in sorted(os.scandir(cache), key=lambda e: -e.stat().st_mtime):
        total += entry.stat().st_size
        age_days = (now - entry.stat().st_mtime) / 86400
        if entry.name not in used and (age_days > CACHE_DAYS or total > CACHE_BYTES):
            os.unlink(entry.path)


if __name__ == "__main__":
    serve(sys.argv[2])
