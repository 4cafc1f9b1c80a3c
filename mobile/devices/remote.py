"""The near end of a connection to a device: starts the agent's `boot` there and talks to `serve`.

Nothing but one command runs on the device, whose only words are the interpreter's and two numbers:
no name of a file is ever part of a command line.
"""

import contextlib
import hashlib
import json
import pathlib
import queue
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping

from mobile.devices.agent import boot
from mobile.devices.agent.serve import MARK
from mobile.devices.agent.supervisor import last_words
from mobile.devices.archive import archive
from mobile.devices.base import LIMIT_S, AgentError, Answer, checked

_READ = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"
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

    def __init__(
        self, name: str, command: list[str], python, advice: str, timeout_s: float = LIMIT_S
    ):
        self.name, self.command, self.python = name, list(command), str(python)
        self.advice, self.timeout_s = advice, timeout_s

    def run(
        self,
        job: dict,
        files: Mapping[str, bytes],
        update: Callable[[Answer], object] | None = None,
    ) -> Answer:
        """Do a job on the device; see `Device.run`.

        Raises:
            AgentError: The agent reported an error, or the connection failed.
        """
        job = {"limit_s": self.timeout_s, **job}
        start, agent = pathlib.Path(boot.__file__).read_bytes(), archive()
        python = _shell_word(self.python)
        line = f"exec {python} -c {shlex.quote(_READ)} {len(start)} {len(agent)} {python}"
        if shutil.which(self.command[0]) is None:
            raise AgentError(
                f"`{self.command[0]}` must be installed here. Received: no such command. Install "
                f"it (Debian: apt install openssh-client adb).",
                "connect",
            )
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                [*self.command, line],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,  # an interrupt is for us; the device hears of our end
            ) as process,
        ):
            talk = _Talk(process.stdin, start + agent, job, files)
            limit = threading.Timer(job["limit_s"] + 60, process.kill)
            talk.start()
            limit.start()
            try:
                answer, end = self._listen(process.stdout, talk, update)
                if end is None:
                    status = process.wait()
                    said.seek(0)
                    raise self._broken(status, last_words(said.read()), answer, talk.met)
                talk.end()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                if answer is None or "fault" in end:
                    raise AgentError(
                        f"{self.name} must be able to do the job. Received: "
                        f"{end.get('fault', 'no answer')}. Mend that there and start again.",
                        "work on the device",
                        partial=answer,
                    )
                return checked(answer)
            finally:
                limit.cancel()
                process.kill()
                talk.end()

    def _listen(self, stream, talk, update):
        """Return the last answer and what the other end said at its end; None where it did not."""
        answer = None
        for line in stream:
            if not line.startswith(MARK) or not line.endswith(b"\n"):
                continue  # what a login prints, or half a line
            said = json.loads(line[len(MARK) :])
            if "missing" in said:
                talk.missing.put(said["missing"])
                talk.met = True
            elif "result" in said:
                arrays = {} if answer is None else dict(answer.files)
                for name, size in said["files"]:
                    arrays[name] = stream.read(size)
                    if len(arrays[name]) < size:
                        return answer, None
                answer = Answer(said["result"], arrays)
                if update:
                    update(answer)
            else:
                return answer, said
        return answer, None

    def _broken(self, status, words, answer, met):
        """Return the error of a connection that ended too early."""
        words = words.rstrip(".")
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

    def __init__(self, stream, opening, job, files):
        super().__init__(daemon=True)
        self.stream, self.opening, self.job = stream, opening, job
        self.prints = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        self.contents = {self.prints[name]: content for name, content in files.items()}
        self.missing, self.over, self.met = queue.SimpleQueue(), threading.Event(), False

    def run(self) -> None:
        # A stream that breaks is the other thread's to report.
        with contextlib.suppress(OSError, ValueError):
            self._say(self.opening, _line({"job": self.job, "files": self.prints}))
            missing = self.missing.get()
            if missing is not None:
                for sha256 in missing:
                    content = self.contents[sha256]
                    self._say(_line(len(content)), content)
                while not self.over.wait(_ALIVE_S):
                    self._say(b"\n")
        with contextlib.suppress(OSError):
            self.stream.close()

    def end(self) -> None:
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


def _shell_word(path):
    """Return a path as one word of a shell, which puts a home in the place of `~` or `~user`.

    >>> _shell_word("~pi/my venv/bin/python"), _shell_word("$HOME")
    ("~pi/'my venv/bin/python'", "'$HOME'")
    """
    home, _, rest = path.partition("/")
    if rest and re.fullmatch(r"~[\w.-]*", home):
        return f"{home}/{shlex.quote(rest)}"
    return shlex.quote(path)
