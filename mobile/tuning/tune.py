"""Which squeeze-and-excitation, where, within a budget of time on a device, and does it pay?"""

from __future__ import annotations

import datetime
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import keras_se
from keras_se.checks import check_count, check_number
from keras_se.models import configuration
from mobile.data import DataSet
from mobile.pipeline import options as options_room
from mobile.pipeline.options import Options
from mobile.progress import Progress, Silence
from mobile.record import write_file
from mobile.reporting import tuning_plots
from mobile.tuning import tuning_folder
from mobile.tuning.block_costs import configuration_of, rows_of
from mobile.tuning.candidates import Candidate, Made, set_apart
from mobile.tuning.finalists import Role
from mobile.tuning.profiling import profile
from mobile.tuning.se_profile import Profile
from mobile.tuning.search import best, search
from mobile.tuning.search_space import KINDS, SearchSpace
from mobile.tuning.supernet import Supernet
from mobile.tuning.trained_networks import finalist, jobs_of, time_all, train_all
from mobile.tuning.training_jobs import read
from mobile.tuning.tuning_folder import (
    NETWORKS,
    PICTURE,
    PROFILE,
    RECORD,
    SUPERNET,
    TRIALS,
    WIDENING,
)
from mobile.tuning.tuning_record import Evaluation, TrainedAlone, Tuning
from mobile.tuning.untrained import IMAGES, untrained_file
from mobile.tuning.widening import Widening, widen_to

_WITHOUT, _EVERYWHERE, _STATIC, _WIDER = "no SE", "SE everywhere", "static everywhere", "wider"
_ROLES: dict[str, Role] = {
    _WITHOUT: "without", _EVERYWHERE: "everywhere", _STATIC: "static", _WIDER: "wider",
}  # fmt: skip


def tune(
    network: str = Options.network,
    data: str | pathlib.Path | DataSet | None = None,
    *,
    folder: str | os.PathLike,
    max_overhead: float | None = None,
    budget_ms: float | None = None,
    se: Any = "default",
    kinds: Sequence[str] = KINDS,
    places: Sequence[str] | None = None,
    device: str = "local",
    trials: int = 100,
    best_of: int = 2,
    alone: int = 8,
    seeds: int = 3,
    supernet_epochs: int | None = None,
    storage: str | None = None,
    costs: str | os.PathLike | None = None,
    progress: Progress | Silence | None = None,
    **options: Any,
) -> Tuning:
    """Find the squeeze-and-excitation that pays, for a network, images, a device and a budget.

    1. `mobile.profile` times each variant in each block on the device.
    2. One network with all choices in all blocks is trained once; a configuration then costs a pass
       over images set apart, and its time is looked up. `search` compares hundreds.
    3. What it found is trained alone, from scratch, several seeds each, and so are the network
       without SE, with SE everywhere, with static SE everywhere, and the one without SE that was
       widened until it takes as long. Some random configurations are trained alone too: does the
       order of step 2 hold?
    4. All int8 files are timed in one interleaved run.

    Everything is kept in `folder`: the same call goes on where it was stopped.

    Args:
        network: A name of `keras_se.models.names()`.
        data: Folder of images or a `DataSet`; by default the embedded digits.
        folder: Where to keep profile, trained networks and the record.
        max_overhead: The most extra time, over that of the network without SE; by default 0.04.
        budget_ms: In its place, the most milliseconds.
        se: The variant whose kind and place are varied, as in `mobile.profile`.
        kinds: Kinds of SE to choose from.
        places: Places to choose from; by default projected and expanded, where there are these.
        device: As in `mobile.benchmark`, one of them.
        trials: How many configurations Optuna's TPE proposes, after a greedy search.
        best_of: How many of the best are trained alone.
        alone: How many random configurations are trained alone.
        seeds: How often each network is trained.
        supernet_epochs: Of the network with all choices; by default four times those of one
            network, as each of its configurations sees a part of the steps.
        storage: URL of a database that Optuna knows, for workers on several machines (`work`),
            which must see `folder`; by default an SQLite file in `folder`.
        costs: A file of `mobile.profile` to use or to write; by default one in `folder`.
        progress: What to show; by default nothing.
        **options: Fields of a run: size, width, epochs, batch, learning_rate, augment, target,
            method, calibration_images, validation_split, strict, threads, runs, seed.

    Returns:
        The `Tuning`: print it for tables and verdict. `folder` holds it as tuning.json and .png,
        and the winner as winner.json (for `keras_se.models.build`), .keras and .tflite.

    Raises:
        ValueError: A value is out of range, the budget is less than the network without SE takes,
            a profile or folder is of something else, or images are too few.
        RuntimeError: The device or the database is lost. What was done is kept.
    """
    for name, value in (("best_of", best_of), ("seeds", seeds)):
        check_count(name, value, 1, "Leave it out for the default.")
    for name, value in (("alone", alone), ("trials", trials)):
        check_count(name, value, 0, "For none, pass 0.")
    if supernet_epochs is not None:
        check_count("supernet_epochs", supernet_epochs, 1, "Leave it out for the default.")
    given, chosen = options_room.decide(data, {**options, "network": network})
    space = SearchSpace.of(network, se, kinds, places)
    kept = {
        "options": chosen.to_dict(),
        "space": space.to_dict(),
        "budget": _budget_asked(max_overhead, budget_ms),
        "supernet_epochs": supernet_epochs or 4 * (chosen.epochs or 0),
        "device": device,
        "counts": {"trials": trials, "best_of": best_of, "alone": alone, "seeds": seeds},
    }
    folder = pathlib.Path(folder)
    with tuning_folder.locked(folder):
        tuning_folder.check_options(folder, kept)
        profiled = {"se": se, "kinds": kinds, "places": places, "path": costs or folder / PROFILE}
        made = _Tuning(folder, chosen, space, given, kept, progress or Silence())
        return made.run(profiled, storage or folder / TRIALS)


class _Tuning:
    """One tuning in the making."""

    def __init__(self, folder, options, space, given, kept, progress):
        self.folder, self.options, self.space = folder, options, space
        self.kept, self.counts, self.progress = kept, kept["counts"], progress
        self.images = given or read(options)
        self.parts = set_apart(self.images)  # now: too few images are said before hours of work
        self.device = kept["device"]
        self.timing = {"device": self.device, "threads": options.threads, "runs": options.runs}
        self.notes: list[str] = []
        now = datetime.datetime.now(datetime.UTC)
        self.created = now.isoformat(timespec="seconds")

    def run(self, profiled: dict[str, Any], storage: Any) -> Tuning:
        costs = self._profile(profiled)
        budget = self._budget(costs)
        evaluations, alone = self._search(costs, budget)
        candidates = self._candidates(evaluations, budget)
        made = self._trained(candidates, alone, storage)
        return self._record(costs, budget, evaluations, alone, candidates, made)

    def _profile(self, profiled) -> Profile:
        options = self.options
        with self.progress.stage("profile the blocks"):
            return profile(
                options.network,
                **profiled,
                size=self.images.size,
                width=options.width,
                classes=len(self.images.classes),
                target=options.target,
                check=0,
                progress=not isinstance(self.progress, Silence),
                device=self.device,
                threads=options.threads,
            )

    def _budget(self, costs):
        """Return the largest share of SE, from what was asked for."""
        asked = self.kept["budget"]
        if "share" in asked:
            return asked["share"]
        share = asked["ms"] / costs.network_ms - 1
        if share < 0:
            raise ValueError(
                f"The budget must be at least what the network takes without SE. Received: "
                f"budget_ms={asked['ms']!r}, where {costs.network} without SE takes "
                f"{costs.network_ms:.3f} ms on {costs.conditions.device}. Take a faster network, "
                f"or a smaller `width` or `size`."
            )
        return share

    def _search(self, costs, budget) -> tuple[tuple[Evaluation, ...], list[Evaluation]]:
        """Train the supernet; compare configurations; and draw those to train alone."""
        trained, apart = self.parts
        supernet = Supernet.build(
            self.space,
            self.images.x_train.shape[1:],
            classes=len(self.images.classes),
            width=self.options.width,
            seed=self.options.seed,
        )
        path = self.folder / SUPERNET
        if path.exists():
            supernet.load(path)
            self.progress.note("supernet: trained before")
        else:
            with self.progress.stage("train the supernet", steps=True) as watch:
                settings = self.options.float_training()
                settings["epochs"] = self.kept["supernet_epochs"]
                supernet.train(trained.x_train, trained.y_train, **settings, watch=watch)
            supernet.save(path)
        study = tuning_folder.study(self.folder / TRIALS, f"{self.folder.name} search")
        with self.progress.stage("compare configurations"):
            found = search(
                lambda se: supernet.score(se, apart.x_test, apart.y_test),
                costs.share,
                self.space,
                budget,
                self.counts["trials"],
                study,
                self.options.seed,
            )
            draw = np.random.default_rng(self.options.seed)
            drawn: dict[Any, Any] = {}
            while len(drawn) < min(self.counts["alone"], self.space.count - 1):
                one = self.space.random(draw)
                drawn[self.space.numbers(one)] = one
            alone = []
            for one in drawn.values():
                score = supernet.score(one, apart.x_test, apart.y_test)
                values = (score.loss, score.accuracy, costs.share(one), "random")
                alone.append(Evaluation(rows_of(one), *values))
        return found, alone

    def _candidates(self, evaluations, budget) -> dict[str, Candidate]:
        """Return what is trained with all seeds, by name."""
        width = self.options.width
        fixed = {
            _WITHOUT: rows_of(self.space.nowhere),
            _EVERYWHERE: self._everywhere("cse"),
            _STATIC: self._everywhere("static"),
        }
        found = {name: Candidate(name, se, width) for name, se in fixed.items() if se}
        taken = [one.se for one in found.values()]
        ranked = best(evaluations, budget, len(evaluations))
        fresh = [each for each in ranked if each.configuration not in taken]
        for number, each in enumerate(fresh[: self.counts["best_of"]], 1):
            name = f"tuned {number}"
            found[name] = Candidate(name, each.configuration, width)
        if not fresh:
            self.notes.append(
                f"Within the budget of {100 * budget:.1f} % no configuration is left to choose."
            )
        elif (rival := self._rival(found["tuned 1"])) is not None:
            found[_WIDER] = Candidate(_WIDER, fixed[_WITHOUT], rival)
        return found

    def _everywhere(self, kind):
        """Return a kind in all blocks, as far from the projected place as can be; None if none."""
        numbers = []
        for block in self.space.blocks:
            able = [n for n, se in enumerate(block) if se is not None and se.kind == kind]
            numbers.append(able[-1] if able else 0)
        return rows_of(self.space.configuration(numbers)) if any(numbers) else None

    def _rival(self, candidate):
        """Return the width at which the network without SE takes as long; None if there is none."""
        path = self.folder / WIDENING
        if path.exists():  # measured anew it may be another, and trained already is this one
            found = Widening.from_json(path.read_bytes())
        else:
            found = self._widened(candidate)
            write_file(path, found.to_json() + "\n")
        self.notes.append(str(found))
        reached = found.reached
        return reached.width if reached and reached.width > self.options.width else None

    def _widened(self, candidate):
        options = self.options
        with self.progress.stage("widen the network without SE"):
            keras.utils.set_random_seed(options.seed)
            model = keras_se.models.build(
                options.network,
                configuration_of(candidate.se),
                self.images.x_train.shape[1:],
                classes=len(self.images.classes),
                width=options.width,
                classifier_activation=None,
            )
            file = untrained_file(model, self.images.x_train[:IMAGES], options.target)
            return widen_to(
                options.network,
                file,
                width=options.width,
                target=options.target,
                progress=not isinstance(self.progress, Silence),
                **self.timing,
            )

    def _trained(self, candidates, alone, storage) -> dict[str, Made]:
        """Train each candidate with each seed, and the random ones with one, here or elsewhere."""
        jobs = jobs_of(list(candidates.values()), self._seeds)
        for number, each in enumerate(alone, 1):
            one = Candidate(f"random {number}", each.configuration, self.options.width)
            jobs[one.name] = (one, self.options.seed)
        folder = self.folder / NETWORKS
        return train_all(jobs, self.options, self.images, folder, storage, self.kept, self.progress)

    @property
    def _seeds(self):
        return range(self.options.seed, self.options.seed + self.counts["seeds"])

    def _record(self, costs, budget, evaluations, alone, candidates, made) -> Tuning:
        """Time all files, and write down what came of it."""
        runs = {name: [made[f"{name}, seed {seed}"] for seed in self._seeds] for name in candidates}
        with self.progress.stage(f"time {len(runs)} networks"):
            timings = time_all(runs, self.folder / NETWORKS, _WITHOUT, self.timing)
        finalists = tuple(
            finalist(one, _ROLES.get(name, "tuned"), runs[name], timings, _WITHOUT)
            for name, one in candidates.items()
        )
        found = Tuning(
            network=costs.network,
            input_shape=costs.input_shape,
            target=costs.target,
            data=self.images.name,
            validation_images=len(self.parts[1].x_test),
            test_images=len(self.images.x_test),
            conditions=timings.conditions,
            budget=budget,
            space=self.space.to_dict(),
            evaluations=evaluations,
            alone=tuple(
                TrainedAlone(
                    each.configuration,
                    each.loss,
                    made[f"random {number}"].trained.validation_accuracy,
                )
                for number, each in enumerate(alone, 1)
            ),
            finalists=finalists,
            notes=tuple(self.notes),
            created=self.created,
        )
        found.save(self.folder / RECORD)
        write_file(self.folder / PICTURE, tuning_plots.tradeoff(found))
        if (winner := found.winner) is not None:
            self._keep(winner, runs[winner.name])
        return found

    def _keep(self, winner, runs):
        """Put the winner beside the record: its configuration, and its best training's files."""
        best_run = max(runs, key=lambda each: each.trained.validation_accuracy)
        text = configuration.to_json(self.options.network, configuration_of(winner.configuration))
        write_file(self.folder / "winner.json", text)
        for form, suffix in (("float", ".keras"), ("int8", ".tflite")):
            source = self.folder / NETWORKS / best_run.files[form]
            write_file(self.folder / f"winner{suffix}", source.read_bytes())


def _budget_asked(max_overhead, budget_ms):
    if budget_ms is None:
        share = 0.04 if max_overhead is None else max_overhead
        check_number("max_overhead", share, 0, 100, "For 4 % more time, pass 0.04.")
        return {"share": float(share)}
    if max_overhead is not None:
        raise ValueError(
            f"A budget must be one of both. Received: max_overhead={max_overhead!r} and "
            f"budget_ms={budget_ms!r}. Leave one out."
        )
    check_number("budget_ms", budget_ms, 0, 1e9, "For one millisecond, pass 1.0.")
    return {"ms": float(budget_ms)}
