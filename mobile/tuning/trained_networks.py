"""Networks that are trained alone, here or elsewhere, and timed in one interleaved run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.timings import Timings
from mobile.data import DataSet
from mobile.pipeline.options import Options
from mobile.progress import Progress, Silence, bar
from mobile.tuning.candidates import Candidate, Made
from mobile.tuning.copies import copied, milliseconds, ratio_of, reason
from mobile.tuning.finalists import Finalist, Role
from mobile.tuning.shared_trials import SharedTrials
from mobile.tuning.training_jobs import Trainer, job_of

_COPIES = 3  # of each file, at least, that are timed

#: Key to a candidate and its seed.
Jobs = dict[str, tuple[Candidate, int]]


def jobs_of(candidates: Sequence[Candidate], seeds: Sequence[int]) -> Jobs:
    """Return the trainings of candidates with each seed; all of the first seed come first."""
    return {f"{one.name}, seed {seed}": (one, seed) for seed in seeds for one in candidates}


def train_all(
    jobs: Jobs,
    options: Options,
    images: DataSet,
    folder: pathlib.Path,
    storage: Any,
    of: Mapping[str, Any],
    progress: Progress | Silence,
) -> dict[str, Made]:
    """Do what is not done yet of some trainings, together with any workers.

    Args:
        jobs: What to train.
        options: Of each training.
        images: What to train and to test on.
        folder: Where the networks go; the study bears the name of the folder it is in.
        storage: A database's URL, or a file.
        of: What the study is of.
        progress: What to show.

    Raises:
        RuntimeError: One failed; the others were done all the same. Or the database is lost.
    """
    folder.mkdir(exist_ok=True)
    told = {key: job_of(one, options, seed, folder) for key, (one, seed) in jobs.items()}
    title = f"train {len(told)} networks"
    with SharedTrials(storage, folder.parent.name, of) as shared:
        shared.add(told)
        with bar(title, not isinstance(progress, Silence)) as tell:
            shared.work(Trainer(images), tell)
        found, failed = shared.results(), shared.failures()
        if not failed:
            shared.finish()
    if failed:
        key, said = next(iter(failed.items()))
        raise RuntimeError(
            f"All networks must be trained. {len(failed)} of {len(jobs)} failed; {key}: {said} "
            f"The same command tries them again."
        )
    progress.note(f"{title}: done")
    return {key: Made.from_dict(found[key]) for key in jobs}


def time_all(
    runs: Mapping[str, Sequence[Made]], folder: pathlib.Path, reference: str, timing: dict[str, Any]
) -> Timings:
    """Time the int8 files of networks by name, several copies of each, in one interleaved run."""
    copies = max(_COPIES, *map(len, runs.values()))
    files = {
        name: [folder / each[n % len(each)].files["int8"] for n in range(copies)]
        for name, each in runs.items()
    }
    timings: Any = benchmark(copied(files), reference=f"{reference} 0", **timing)
    return timings


def finalist(
    candidate: Candidate, role: Role, runs: Sequence[Made], timings: Timings, reference: str
) -> Finalist:
    """Return what came of a candidate: its trainings, and its time over that of the reference."""
    told: dict[str, Any] = {}
    try:
        told["time_ms"] = milliseconds(timings, candidate.name)
        if candidate.name != reference:
            told["time"] = ratio_of(timings, candidate.name, reference)
    except RuntimeError:
        told["reason"] = reason(timings, f"{candidate.name} 0")
    return Finalist(
        name=candidate.name,
        role=role,
        configuration=candidate.se,
        width=candidate.width,
        params=runs[0].params,
        macs=runs[0].macs,
        trained=tuple(each.trained for each in runs),
        **told,
    )
