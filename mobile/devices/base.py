"""What every device shares: its answer, and how it fails."""

import io
from dataclasses import dataclass

import numpy as np


class AgentError(RuntimeError):
    """A model failed on the device: `model` is its name, `stage` what was being done.

    `reason` is what the runtime said, or how it died; `partial` the `Answer` so far, or None.
    """

    def __init__(self, reason, stage="start", model=None, partial=None):
        doing = f"to {stage} model {model!r}" if model else f"to {stage}"
        super().__init__(f"The agent failed {doing}: {reason}")
        self.reason, self.stage, self.model, self.partial = reason, stage, model, partial


@dataclass(frozen=True)
class Answer:
    """What the agent wrote: its result, and the files beside it by name."""

    result: dict
    files: dict

    def array(self, name):
        """Return one of the arrays that the agent saved."""
        return np.load(io.BytesIO(self.files[name]))


def checked(answer):
    """Return an answer, or raise what its result says went wrong."""
    result = answer.result
    if result["error"]:
        raise AgentError(result["error"], result["stage"], result["model"], answer)
    return answer
