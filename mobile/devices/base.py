"""What every device shares: what it can do, its answer, and how it fails."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

LIMIT_S = 1800  # how long a job may take, unless it says so itself


class Device(Protocol):
    """A place where jobs run; any object with these two is one."""

    name: str

    def run(
        self,
        job: dict,
        files: Mapping[str, bytes],
        update: Callable[[Answer], object] | None = None,
    ) -> Answer:
        """Do a job.

        Args:
            job: What to do, as `mobile.devices.agent.job` says.
            files: Name to content of the files that it names.
            update: Called with the `Answer` so far after every step.

        Raises:
            AgentError: The job was not done to its end; what came before is in `partial`.
        """
        ...


class AgentError(RuntimeError):
    """A model failed on the device: `model` is its name, `stage` what was being done.

    `reason` is what the runtime said, or how it died; `partial` the `Answer` so far, or None. The
    result of a partial answer says the same under "error", "stage" and "model".
    """

    def __init__(
        self,
        reason: str,
        stage: str = "start",
        model: str | None = None,
        partial: Answer | None = None,
    ):
        doing = f"to {stage} model {model!r}" if model else f"to {stage}"
        super().__init__(f"The agent failed {doing}: {reason}")
        self.reason, self.stage, self.model = reason, stage, model
        self.partial = partial and partial.with_error(reason, stage, model)


@dataclass(frozen=True)
class Answer:
    """What the agent wrote: its result, and the files beside it by name."""

    result: dict
    files: dict[str, bytes]

    def array(self, name: str) -> np.ndarray:
        """Return one of the arrays that the agent saved."""
        return np.load(io.BytesIO(self.files[name]))

    def with_error(self, reason: str, stage: str, model: str | None) -> Answer:
        """Return the same answer, known to be incomplete."""
        said = {"error": reason, "stage": stage, "model": model}
        return Answer({**self.result, **said}, self.files)


def checked(answer: Answer) -> Answer:
    """Return an answer, or raise what its result says went wrong."""
    result = answer.result
    if result["error"]:
        raise AgentError(result["error"], result["stage"], result["model"], answer)
    return answer
