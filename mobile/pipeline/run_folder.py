"""Files of a run: its folder while it is unfinished, models, and results."""

import json
import os
import shutil
import time
from pathlib import Path

from mobile.pipeline.options import Options
from mobile.record import write_file

STATE = "state.json"


class Store:
    """The folder of a run while it is unfinished, and the stages that are finished in it."""

    def __init__(self, final: Path, options: Options, overwrite: bool, resume: bool):
        self.final, self.overwrite = final, overwrite
        self.folder = final.with_name(final.name + ".unfinished")
        self.options = options.to_dict()
        self.state = {"options": self.options, "stages": {}, "seconds": {}}
        if final.exists() and not overwrite:
            raise ValueError(
                f"The output folder must be new. Received: {final}, which holds "
                f"{'another run' if (final / 'results.json').exists() else 'something else'}. "
                f"Pass --name for another one, or --overwrite to replace it."
            )
        if final.exists() and not (final / "results.json").exists() and any(final.iterdir()):
            raise ValueError(
                f"Only a run may be overwritten. Received: {final}, which holds no results.json. "
                f"Pass --name for another folder."
            )
        if resume:
            self._read()
        elif self.folder.exists() and not overwrite:
            raise ValueError(
                f"The output folder must be new. Received: {self.folder}, an unfinished run. "
                f"Pass --resume to go on with it, or --overwrite to start again."
            )

    @property
    def seconds(self) -> dict:
        """Wall-clock time of each stage."""
        return dict(self.state["seconds"])

    def stage(self, title, progress, work, steps=False):
        """Do a stage and keep what it returns, or return what was kept."""
        if title in self.state["stages"]:
            progress.note(f"{title}: done before")
            return self.state["stages"][title]
        start = time.perf_counter()
        with progress.stage(title, steps) as watch:
            found = work(watch)
        self.state["stages"][title] = json.loads(json.dumps(found))
        self.state["seconds"][title] = round(time.perf_counter() - start, 3)
        write_file(self.folder / STATE, json.dumps(self.state))
        return self.state["stages"][title]

    def __enter__(self):
        if self.overwrite and self.folder.exists() and not self.state["stages"]:
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self.folder / STATE, json.dumps(self.state))
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            (self.folder / STATE).unlink()
            if self.final.exists():
                shutil.rmtree(self.final)
            os.replace(self.folder, self.final)
        elif not self.state["stages"]:
            shutil.rmtree(self.folder)  # nothing was finished: leave nothing
        elif issubclass(kind, KeyboardInterrupt):
            done = ", ".join(self.state["stages"])
            raise KeyboardInterrupt(
                f"interrupted; finished and kept in {self.folder}: {done}. "
                f"Go on with the same command and --resume."
            ) from None
        return False

    def _read(self):
        if not (self.folder / STATE).exists():
            raise ValueError(
                f"There must be an unfinished run to resume. Received: {self.folder}, which "
                f"{'holds none' if self.folder.exists() else 'does not exist'}. "
                f"Leave out --resume."
            )
        self.state = json.loads((self.folder / STATE).read_text())
        old, new = self.state["options"], self.options
        differing = [f"{k}={old.get(k)!r}" for k in new if old.get(k) != new[k]]
        if differing:
            raise ValueError(
                f"A run must go on with the options it began with. In {self.folder} they were: "
                f"{', '.join(differing)}. Pass these, or start again with --overwrite."
            )
