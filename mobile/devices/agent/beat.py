"""What a worker is doing, told so that it outlives the worker."""

from __future__ import annotations

import mmap
import os
import struct

STAGES = ("start", "import a runtime", "load", "run", "time")


class Beat:
    """What a worker is doing, in a few bytes of memory that processes share as a file."""

    LAYOUT = struct.Struct("<HHQ")

    def __init__(self, path: str):
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(bytes(self.LAYOUT.size))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), self.LAYOUT.size)
        self.count = 0

    def tell(self, stage: str, model: int = 0) -> None:
        """Note what is tried next: the stage, and the model's place in the job from 1 (0: none)."""
        self.count += 1
        self.LAYOUT.pack_into(self.memory, 0, STAGES.index(stage), model, self.count)

    def read(self) -> tuple[int, int, int]:
        """Return the stage's number, the model's place, and how often was told."""
        return self.LAYOUT.unpack_from(self.memory, 0)
