"""The papers' ablations of SE on a user's network, images and device."""

from __future__ import annotations

import datetime
import os
import pathlib
from dataclasses import replace
from typing import Any

import keras_se
from keras_se.checks import check_count, check_known
from keras_se.config import SEConfig
from keras_se.models.base import Network
from mobile.data import DataSet
from mobile.pipeline import options as options_room
from mobile.pipeline.options import Options
from mobile.progress import Progress, Silence
from mobile.record import write_file
from mobile.reporting import ablation_plots
from mobile.tuning import tuning_folder
from mobile.tuning.ablation_record import Ablation, Published
from mobile.tuning.block_costs import known_as
from mobile.tuning.candidates import Candidate
from mobile.tuning.profile_plan import bases_of
from mobile.tuning.trained_networks import finalist, jobs_of, time_all, train_all
from mobile.tuning.training_jobs import read

_WITHOUT = "no SE"
RECORD, PICTURE = "ablation.json", "ablation.png"

#: Question to name of a variant to what it changes; the rest is asked of the network.
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "reduction": {str(ratio): {"reduction": ratio} for ratio in (2, 4, 8, 16, 32)},
    "pool": {
        "avg": {"pool": "avg"},
        "max": {"pool": "max"},
        "avg+max": {"pool": "avg+max"},
        "no squeeze": {"pool": None},
    },
    "gate": {gate: {"gate": gate} for gate in ("sigmoid", "hard_sigmoid", "tanh", "relu")},
    "kind": {kind: {"kind": kind} for kind in ("static", "cse", "sse", "scse")},
    "aggregate": {how: {"kind": "scse", "aggregate": how} for how in ("add", "max", "mul")},
}
QUESTIONS = (*CHANGES, "placement", "stages")

_PAPER = "SENet, arXiv:1709.01507v4, SE-ResNet-50, ImageNet"
#: Tables 10 to 16 of the paper; no SE is from table 10.
PUBLISHED = {
    "reduction": Published(
        f"{_PAPER}, table 10",
        {"2": 22.29, "4": 22.25, "8": 22.26, "16": 22.28, "32": 22.72, _WITHOUT: 23.30},
    ),
    "pool": Published(
        f"{_PAPER}, tables 11 and 16",
        {"max": 22.57, "avg": 22.28, "no squeeze": 22.93, _WITHOUT: 23.30},
    ),
    "gate": Published(
        f"{_PAPER}, table 12", {"relu": 23.47, "tanh": 23.00, "sigmoid": 22.28, _WITHOUT: 23.30}
    ),
    "placement": Published(
        f"{_PAPER}, tables 14 and 15",
        {"standard": 22.28, "pre": 22.23, "post": 22.78, "identity": 22.20, "conv3x3": 22.48,
         _WITHOUT: 23.30},
    ),
}  # fmt: skip


def ablate(
    question: str,
    network: str = Options.network,
    data: str | pathlib.Path | DataSet | None = None,
    *,
    folder: str | os.PathLike,
    se: Any = "default",
    seeds: int = 3,
    device: str = "local",
    storage: str | None = None,
    progress: Progress | Silence | None = None,
    **options: Any,
) -> Ablation:
    """Train a network with SE in several variants, and without, and compare accuracy and time.

    Each is trained from scratch with the same seeds, put into int8, and timed with all others in
    one interleaved run. What is done is kept in `folder`: the same call goes on, and workers help
    as in `mobile.tune`.

    Args:
        question: What the variants differ in: `reduction`, `pool`, `gate`, `kind`, `aggregate` (of
            scSE), `placement` (all places that the network's blocks have) or `stages` (SE in one
            row of the network alone).
        network: A name of `keras_se.models.names()`.
        data: Folder of images or a `DataSet`; by default the embedded digits.
        folder: Where to keep networks, record and picture.
        se: The variant that is varied, as in `mobile.profile`.
        seeds: How often each is trained.
        device: As in `mobile.benchmark`, one of them.
        storage: As in `mobile.tune`.
        progress: What to show; by default nothing.
        **options: As in `mobile.tune`.

    Returns:
        The `Ablation`: print it for tables and verdict.

    Raises:
        ValueError: A name is not known, a value is out of range, or `folder` is of something else.
        RuntimeError: A training failed, or the device or database is lost. What was done is kept.
    """
    check_count("seeds", seeds, 1, "Leave it out for three.")
    given, chosen = options_room.decide(data, {**options, "network": network})
    found = keras_se.models.find(network)
    candidates = [
        Candidate.of(name, found, one, chosen.width or 1.0)
        for name, one in variants(question, found, se).items()
    ]
    kept = {"question": question, "options": chosen.to_dict(), "device": device, "seeds": seeds}
    kept["variants"] = [one.to_dict() for one in candidates]
    folder, progress = pathlib.Path(folder), progress or Silence()
    numbers = range(chosen.seed, chosen.seed + seeds)
    with tuning_folder.locked(folder):
        tuning_folder.check_options(folder, kept)
        images = given or read(chosen)
        networks = folder / tuning_folder.NETWORKS
        made = train_all(
            jobs_of(candidates, numbers), chosen, images, networks,
            storage or folder / tuning_folder.TRIALS, kept, progress,
        )  # fmt: skip
        runs = {one.name: [made[f"{one.name}, seed {n}"] for n in numbers] for one in candidates}
        timing = {"device": device, "threads": chosen.threads, "runs": chosen.runs}
        with progress.stage(f"time {len(runs)} networks"):
            timings = time_all(runs, networks, _WITHOUT, timing)
        record = Ablation(
            question=question,
            network=found.name,
            target=chosen.target,
            data=images.name,
            test_images=len(images.x_test),
            conditions=timings.conditions,
            networks=tuple(
                finalist(one, "without" if one.name == _WITHOUT else "variant", runs[one.name],
                         timings, _WITHOUT)
                for one in candidates
            ),
            published=PUBLISHED.get(question),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        record.save(folder / RECORD)
        write_file(folder / PICTURE, ablation_plots.variants(record))
    return record


def variants(question: str, network: Network, se: Any = "default") -> dict[str, Any]:
    """Return name to SE by row and block of each variant, no SE first.

    Raises:
        ValueError: The question or `se` is not known.
    """
    check_known("question", question, QUESTIONS)
    bases = bases_of(network, se)

    def changed(**changes):
        return [[replace(one, **changes) for one in row] for row in bases]

    found: dict[str, Any] = {_WITHOUT: None}
    if question == "stages":
        for number, row in enumerate(bases):
            found[f"row {number}"] = [row if i == number else None for i in range(len(bases))]
        return found | {"all rows": bases}
    where = (known_as(SEConfig(placement=word), network.places) for word in network.places)
    places = {one.placement: {"placement": one.placement} for one in where}
    changes = CHANGES.get(question, places)
    return found | {name: changed(**change) for name, change in changes.items()}
