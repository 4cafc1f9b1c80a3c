"""This machine."""

import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping

from mobile.devices import archive
from mobile.devices.agent.supervisor import Supervisor
from mobile.devices.base import LIMIT_S, Answer, checked


class LocalDevice:
    """This machine, the agent's workers in processes of their own.

    Args:
        python: Interpreter to run them with; one of another environment gives another runtime.
        timeout_s: How long a job may take, unless it says so itself.
    """

    name = "local"

    def __init__(self, python: str | os.PathLike = sys.executable, timeout_s: float = LIMIT_S):
        self.python, self.timeout_s = os.path.expanduser(str(python)), timeout_s

    def run(
        self,
        job: dict,
        files: Mapping[str, bytes],
        update: Callable[[Answer], object] | None = None,
    ) -> Answer:
        """Do a job in new processes and a new folder, which is gone afterwards; see `Device.run`.

        Raises:
            AgentError: The agent reported an error, died, or took too long.
        """
        job = {"limit_s": self.timeout_s, **job}
        with tempfile.TemporaryDirectory(prefix="keras-se-") as place:
            agent, folder = pathlib.Path(place, archive.FILE_NAME), pathlib.Path(place, "job")
            agent.write_bytes(archive.archive())
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)

            def answer(result):
                arrays = (path for path in folder.glob("*.npy") if path.name not in files)
                return Answer(result, {path.name: path.read_bytes() for path in arrays})

            def publish(result):
                if update:
                    update(answer(result))

            command = [self.python, str(agent)]
            return checked(answer(Supervisor(job, str(folder), command, publish).run()))
