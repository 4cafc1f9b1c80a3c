"""The near end of a connection to a device: starts `serving.py` there and talks to it.

Nothing but one command runs on the device, whose only words are the interpreter's and a number: no
name of a file is ever part of a command line.
"""

import contextlib
import hashlib
import json
import pathlib
import queue
import shlex
import shutil
import subprocess
import tempfile
import threading

from mobile.devices import agent, serving
from mobile.devices.base import AgentError, Answer, checked

_BOOT = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"
_ALIVE_S = 10  # how often the other end hears that this one is there


class RemoteDevice:
    """A device on which a command can run, its standard input and output connected to ours.

    Args:
        name: What the user calls it.
        command: Argument list that takes one more, a line for the device's shell.
        python: Interpreter there.
        advice: What to do when the connection fails.
        timeout_s: How long a job may take, unless it says so itself.
    """

    def __init__(self, name, command, python, advice, timeout_s=1800):
        self.name, self.command, self.python = name, list(command), str(python)
        self.advice, self.timeout_s = advice, timeout_s

    def run(self, job, files, update=None):
        """Do a job on the device; the same as `LocalDevice.run`.

        Raises:
            AgentError: As there, and where the connection fails; what came before is in `partial`.
        """
        job = {"limit_s": self.timeout_s, **job}
        files = {**files, "agent.py": pathlib.Path(agent.__file__).read_bytes()}
        source = pathlib.Path(serving.__file__).read_bytes()
        words = [self.python, "-c", _BOOT, str(len(source)), self.python]
        if shutil.which(self.command[0]) is None:
            raise AgentError(
                f"`{self.command[0]}` must be installed here. Received: no such command. Install "
                f"it (Debian: apt install openssh-client adb).",
                "connect",
            )
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                [*self.command, "exec " + shlex.join(words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,  # an interrupt is for us; the device hears of our end
            ) as process,
        ):
            talk = _Talk(process.stdin, source, job, files)
            limit = threading.Timer(job["limit_s"] + 60, process.kill)
            talk.start()
            limit.start()
            try:
                answer, done = self._listen(process.stdout, talk, update)
                if not done:
                    status = process.wait()
                    said.seek(0)
                    raise self._broken(status, agent.last_words(said.read()), answer, talk.met)
                talk.end()
                process.wait(10)
                return checked(answer)
            finally:
                limit.cancel()
                process.kill()
                talk.end()

    def _listen(self, stream, talk, update):
        """Return the last answer and whether the other end said that it is done."""
        answer = None
        for line in stream:
            if not line.startswith(serving.MARK) or not line.endswith(b"\n"):
                continue  # what a login prints, or half a line
            said = json.loads(line[len(serving.MARK) :])
            if "missing" in said:
                talk.missing.put(said["missing"])
                talk.met = True
            elif "result" in said:
                arrays = {} if answer is None else dict(answer.files)
                for name, size in said["files"]:
                    arrays[name] = stream.read(size)
                    if len(arrays[name]) < size:
                        return answer, False
                answer = Answer(said["result"], arrays)
                if update:
                    update(answer)
            elif said.get("done"):
                return answer, True
        return answer, False

    def _broken(self, status, words, answer, met):
        """Return the error of a connection that ended too early."""
        if met:
            return AgentError(
                f"the connection to {self.name} was lost (status {status}: {words}). The job there "
                f"stops by itself. {self.advice}",
                "hear the end of the job",
                partial=answer,
            )
        if status in (126, 127) or (self.python in words and "not found" in words):
            return AgentError(
                f"Python must be on {self.name} under the name {self.python!r}. Received: {words}. "
                f"Name another with `python`.",
                "connect",
            )
        return AgentError(
            f"{self.name} must take a connection and start {self.python!r}. Received: status "
            f"{status}, {words}. {self.advice}",
            "connect",
        )


class _Talk(threading.Thread):
    """Says what the other end must know, then now and then that we are still here."""

    def __init__(self, stream, source, job, files):
        super().__init__(daemon=True)
        self.stream, self.source, self.job = stream, source, job
        self.prints = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        self.contents = {self.prints[name]: content for name, content in files.items()}
        self.missing, self.over, self.met = queue.SimpleQueue(), threading.Event(), False

    def run(self):
        # A stream that breaks is the other thread's to report.
        with contextlib.suppress(OSError, ValueError):
            self._say(self.source, _line({"job": self.job, "files": self.prints}))
            missing = self.missing.get()
            if missing is not None:
                self._say(_line(len(missing)))
                for sha256 in missing:
                    content = self.contents[sha256]
                    self._say(_line({"sha256": sha256, "size": len(content)}), content)
                while not self.over.wait(_ALIVE_S):
                    self._say(b"\n")
        with contextlib.suppress(OSError):
            self.stream.close()

    def end(self):
        """Close the stream, which ends the job there if it has not."""
        self.over.set()
        self.missing.put(None)
        self.join(10)

    def _say(self, *parts):
        for part in parts:
            self.stream.write(part)
        self.stream.flush()


def _line(value):
    return json.dumps(value).encode() + b"\n"
