"""This machine."""

import pathlib
import sys
import tempfile

from mobile.devices import agent
from mobile.devices.base import Answer, checked


class LocalDevice:
    """This machine, the agent's workers in processes of their own.

    Args:
        python: Interpreter to run them with; one of another environment gives another runtime.
        timeout_s: How long a job may take, unless it says so itself.
    """

    name = "local"

    def __init__(self, python=sys.executable, timeout_s=1800):
        self.python, self.timeout_s = str(python), timeout_s

    def run(self, job, files, update=None):
        """Do a job in new processes and a new folder, which is gone afterwards.

        Args:
            job: As the agent says.
            files: Name to content of the files that it names.
            update: Called with the `Answer` so far after every step.

        Raises:
            AgentError: The agent reported an error, died, or took too long.
        """
        job = {"limit_s": self.timeout_s, **job}
        with tempfile.TemporaryDirectory(prefix="keras-se-") as folder:
            folder = pathlib.Path(folder)
            for name, content in files.items():
                (folder / name).write_bytes(content)

            def answer(result):
                arrays = (path for path in folder.glob("*.npy") if path.name not in files)
                return Answer(result, {path.name: path.read_bytes() for path in arrays})

            def publish(result):
                if update:
                    update(answer(result))

            command = [self.python, agent.__file__]
            return checked(answer(agent.Supervisor(job, str(folder), command, publish).run()))
