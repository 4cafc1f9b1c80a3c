"""Trainings of candidates as jobs that any process on any machine can do."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from mobile import data as data_room
from mobile.data import DataSet
from mobile.pipeline.options import Options
from mobile.progress import Progress, Silence, bar
from mobile.tuning.candidates import Candidate, train_candidate
from mobile.tuning.shared_trials import SharedTrials


class Trainer:
    """Does a job of the study: trains one candidate.

    Args:
        images: What to train on; by default what the first job's options name.
    """

    def __init__(self, images: DataSet | None = None):
        self.images = images

    def __call__(self, key: str, job: dict[str, Any]) -> dict[str, Any]:
        """Return what came of a job that `job_of` wrote."""
        options, folder = Options.from_dict(job["options"]), pathlib.Path(job["folder"])
        if not folder.is_dir():
            raise ValueError(
                f"A worker must see the folder of the tuning. Received: {folder}, which is not "
                f"here. Share it between the machines under one path."
            )
        if self.images is None:
            self.images = read(options)
        candidate = Candidate.from_dict(job["candidate"])
        return train_candidate(candidate, options.network, self.images, options, folder).to_dict()


def job_of(
    candidate: Candidate, options: Options, seed: int, folder: pathlib.Path
) -> dict[str, Any]:
    """Return the job of training a candidate with a seed, all in plain values."""
    return {
        "candidate": candidate.to_dict(),
        "options": dataclasses.replace(options, seed=seed).to_dict(),
        "folder": str(folder.absolute()),
    }


def read(options: Options) -> DataSet:
    """Read the images that options name."""
    return data_room.load(
        options.data, options.size, options.validation_split, options.seed, options.strict
    )


def work(
    storage: str | pathlib.Path, name: str, progress: Progress | Silence | None = None
) -> None:
    """Train networks for a `tune` that runs elsewhere, until it is over.

    Args:
        storage: The `storage` that `tune` was given.
        name: The name of its folder, which this machine must see under the same path.
        progress: What to show; by default nothing.

    Raises:
        ValueError: The images of that tuning were passed to it as a `DataSet`.
        RuntimeError: The database does not answer.
    """
    progress = progress or Silence()
    with (
        SharedTrials(storage, name) as shared,
        bar(f"work for {name}", not isinstance(progress, Silence)) as tell,
    ):
        data = (shared.of or {}).get("options", {}).get("data")
        if isinstance(data, str) and data.startswith("DataSet "):
            raise ValueError(
                f"A worker must be able to read the images. Received: tuning {name!r} of {data}, "
                f"which is in the memory of the process that tunes. Give `tune` a folder of images."
            )
        shared.serve(Trainer(), tell)
