"""The first words of a connection: a Python runs this text from its standard input.

There follow the agent's archive, and what `serve` reads. All that comes lies in a folder that
only this user can read, and that is removed at the end, however it ends.
"""

import importlib
import os
import shutil
import signal
import sys
import tempfile

ANDROID = "/data/local/tmp"  # where Python does not look for a place


def boot(size: int, python: str) -> int:
    """Take an archive of that many bytes and serve; return the exit status."""
    for name in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, lambda *_: sys.exit(1))
    folder = tempfile.mkdtemp(
        prefix="keras-se-", dir=ANDROID if os.access(ANDROID, os.W_OK) else None
    )
    try:
        archive = os.path.join(folder, "agent.pyz")
        with open(archive, "wb") as file:
            file.write(sys.stdin.buffer.read(size))
        sys.path.insert(0, archive)
        serve = importlib.import_module("agent.serve").serve
        return serve([python, archive], os.path.join(folder, "job"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(boot(int(sys.argv[2]), os.path.expanduser(sys.argv[3])))
