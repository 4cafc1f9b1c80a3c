"""Time squeeze-and-excitation at each place of a network, block by block, on a device."""

from __future__ import annotations

import datetime
import functools
import os
import pathlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

import keras_se
from keras_se.config import KINDS, SEConfig
from keras_se.models import Place
from mobile import data as data_room
from mobile import devices
from mobile.benchmarking import advice, statistics
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.settings import Runtime, Schedule, combined
from mobile.benchmarking.timings import Timings
from mobile.progress import bar
from mobile.tflite.artifact import Artifact
from mobile.tuning import isolated_blocks
from mobile.tuning.block_costs import BlockCosts, Check, Cost, name_of, rows_of
from mobile.tuning.copies import reason
from mobile.tuning.profile_plan import Plan
from mobile.tuning.se_profile import Profile
from mobile.tuning.untrained import IMAGES, untrained_file

_NETWORK, _WITHOUT, _EVERYWHERE, _CHECKED = "network", "without", "everywhere", "checked"
_COPIES = 3  # of a whole network: where a file comes to lie in memory can cost it 8 %

#: Rounds: a block takes a fraction of a millisecond.
SCHEDULE = Schedule(runs=400)


def profile(
    network: str,
    se: Any = "default",
    *,
    kinds: Sequence[str] = KINDS,
    places: Sequence[str] | None = None,
    size: int | None = None,
    width: float = 1.0,
    classes: int | None = None,
    target: str = "xnnpack",
    device: str = "local",
    check: int = 10,
    path: str | os.PathLike | None = None,
    resume: bool = True,
    seed: int = 0,
    progress: bool = True,
    schedule: Schedule = SCHEDULE,
    runtime: Runtime | str | None = None,
    **fields: Any,
) -> Profile:
    """Time each variant of SE in each block of a network against the block without, in int8.

    Each block is cut out and converted alone. All its variants, the block without SE and the
    whole SE-free network run in turn; a cost is told over the time of that network, so that costs
    of several runs add up. Blocks that are equal are timed once. What lowering leaves nothing of,
    such as a static gate that fits its neighbour, costs nothing and is not timed. Weights are
    random, with BatchNorm statistics of the inputs: times do not depend on them.

    Then each variant is timed everywhere in the whole network, and the costs of its blocks are
    scaled to that: a block alone finds more of its weights in the cache. At last some random
    configurations are built whole and timed, against which the predictions are held.

    Args:
        network: A name of `keras_se.models.names()`.
        se: The variant whose kind and place are varied: `"default"`, which is the network's own
            (of a network without, `SEConfig()`), an `SEConfig` or the name of a preset.
        kinds: Kinds of SE to time.
        places: Places to time; by default all that the network's blocks have.
        size: Height and width of the image; by default the network's own.
        width: Multiplies the channels.
        classes: Number of classes; by default the published number.
        target: What the files are lowered for, see `mobile.lower`.
        device: As in `mobile.benchmark`, one of them.
        check: How many random configurations to check with; none where nothing costs time.
        path: Where to keep the profile, after each step.
        resume: Whether a profile that is there goes on, with what it has not; else it is replaced.
        seed: Of the weights and the random configurations.
        progress: Whether to show a bar.
        schedule: As in `mobile.benchmark`; by default 400 rounds.
        runtime: As in `mobile.benchmark`, with one number of threads.
        **fields: Fields of both by themselves, such as `runs=200, threads=2`.

    Returns:
        The `Profile`: print it for a table; `predict(se)` looks up the time of a configuration.

    Raises:
        ValueError: A name is not known, or the profile at `path` is of another network, size,
            target, device or runtime.
        RuntimeError: The device is lost, or the SE-free network or a block without SE does not run
            on it. What was timed before is at `path`.
    """
    plan = Plan.of(network, se, kinds, places, size, target, width, classes)
    schedule, runtime = combined(schedule, runtime, fields)
    if not isinstance(runtime.threads, int) or isinstance(device, list | tuple):
        raise ValueError(
            f"A profile is of one device with one number of threads. Received: device={device!r}, "
            f"threads={runtime.threads!r}. Make a profile of each."
        )
    if isinstance(check, bool) or not isinstance(check, int) or check < 0:
        raise ValueError(
            f"`check` must be a number of random configurations. Received: check={check!r}. "
            f"Pass 10, or 0 for none."
        )
    timing = {"device": device, "schedule": schedule, "runtime": runtime}
    return _Profiling(plan, timing, path, resume, seed, progress).run(check)


@dataclass(frozen=True)
class _Group:
    """Blocks that are equal without SE, and so with each variant."""

    places: tuple[Place, ...]
    structure: str
    shape: tuple[int, ...]
    without: dict  # configuration of the block without SE
    variants: dict[SEConfig, tuple[str, dict]]  # to fingerprint and configuration


class _Profiling:
    """One profile in the making."""

    def __init__(self, plan, timing, path, resume, seed, progress):
        self.plan, self.timing, self.seed, self.progress = plan, timing, seed, progress
        self.path = None if path is None else pathlib.Path(path)
        runtime = timing["runtime"]
        place = devices.connect(timing["device"], runtime.python, runtime.benchmark_model)
        wanted = {
            "network": plan.network,
            "input_shape": plan.input_shape,
            "target": plan.target,
            "width": plan.width,
            "classes": plan.classes,
            "device": place.name,
            "threads": runtime.threads,
            "kernels": runtime.kernels,
        }
        self.profile: Any = self._kept(wanted) if resume else None  # a Profile, once there is one

    def _kept(self, wanted):
        """Return the profile to go on with, or None."""
        if self.path is None or not self.path.exists():
            return None
        kept = Profile.load(self.path)
        try:
            kept.require(**wanted)
        except ValueError as error:
            raise ValueError(f"{self.path} is there already: {error} Name another file.") from None
        return kept

    def run(self, check: int) -> Profile:
        """Time what is missing, block by block, then the random configurations."""
        try:
            with bar(f"profile {self.plan.network}", self.progress) as tell:
                tell(None, "building")
                groups = self._groups()
                for number, group in enumerate(groups):
                    words = f"block {number + 1} of {len(groups)}"
                    self._block(group, lambda s, n=number, w=words: tell((n + s) / len(groups), w))
                if not any(c.share for block in self.profile.blocks for c in block.costs):
                    return self.profile
                tell(1.0, "everywhere")
                self._scale()
                for number in range(len(self.profile.checks), check):
                    tell(number / check, f"check {number + 1} of {check}")
                    drawn = self._drawn(random.Random(f"{self.seed} {number}"))
                    self._keep(checks=(*self.profile.checks, self._check(drawn)))
        except KeyboardInterrupt as error:
            said = f"interrupted. {kept}" if (kept := self._said()) else str(error)
            raise KeyboardInterrupt(said) from None
        except RuntimeError as error:
            if kept := self._said():
                error.add_note(kept)
            raise
        return self.profile

    def _said(self):
        """Say where to find what was timed so far."""
        if self.path is None or self.profile is None:
            return ""
        count, all_ = len(self.profile.blocks), len(self.plan.variants)
        return f"{count} of {all_} blocks are in {self.path}; the same command goes on from there."

    def _groups(self):
        """Cut the blocks out of the network without SE, and with each variant everywhere."""
        plan, found, summed = self.plan, {}, {}
        network = self._build(None)
        for place in plan.variants:
            summed[place] = isolated_blocks.is_summed(network, place)
            block = isolated_blocks.isolate(network, place, summed[place])
            key = isolated_blocks.structure(block), plan.variants[place]
            found.setdefault(key, []).append((place, block))
        groups = []
        for (structure, _), members in found.items():
            block = members[0][1]
            shape = block.get_layer("before_0").output.shape[1:]
            places = tuple(place for place, _ in members)
            groups.append(_Group(places, structure, shape, block.get_config(), {}))
        for index in range(max(map(len, plan.variants.values()))):
            network = self._build(index)
            for group in groups:
                place = group.places[0]
                block = isolated_blocks.isolate(network, place, summed[place])
                fingerprint = isolated_blocks.structure(block)
                group.variants[plan.variants[place][index]] = fingerprint, block.get_config()
        return groups

    def _build(self, index):
        plan = self.plan
        return keras_se.models.build(
            plan.network, plan.at(index), plan.input_shape, width=plan.width, include_top=False
        )

    def _block(self, group, tell):
        """Time what is not known of a group of equal blocks."""
        known = self._known(group)
        missing = {se: v for se, v in group.variants.items() if known is None or se not in known}
        if not missing:
            return
        keras.utils.set_random_seed(self.seed)
        without = keras.Model.from_config(group.without)
        usual = isolated_blocks.operations(without, self.plan.target)
        # The file that is loaded first may be slow by some microseconds: the network can bear it.
        files = {_NETWORK: self.network, _WITHOUT: self._convert(without)}
        costs, names = {}, {}
        for number, (se, (fingerprint, config)) in enumerate(missing.items(), 1):
            model = keras.Model.from_config(config)
            nothing = fingerprint == group.structure or (
                se.kind == "static" and isolated_blocks.operations(model, self.plan.target) == usual
            )
            if nothing:
                costs[se] = Cost(se.to_dict(), 0.0, 0.0, 0.0, free=True)
            elif fingerprint not in names:
                names[fingerprint] = name_of(se)
                files[names[fingerprint]] = self._convert(model)
            tell(0.8 * number / len(missing))
        timings = self._timed(files, _WITHOUT, _NETWORK)
        for se, (fingerprint, _) in missing.items():
            if se not in costs:
                costs[se] = _cost(se, timings, names[fingerprint])
        self._add(group, known or {}, costs, timings)

    def _known(self, group):
        """Return what is known of a group, by variant; None where it was never timed."""
        kept = {} if self.profile is None else self.profile.by_place
        found = [kept.get((place.row, place.block)) for place in group.places]
        if any(one is None or one.structure != group.structure for one in found):
            return None
        return found[0].by_config  # pyright: ignore[reportOptionalMemberAccess]

    def _add(self, group, known, costs, timings):
        """Put a group's costs into the profile, and keep it."""
        control = timings.control
        scale = timings[_WITHOUT].median_ms / timings[_NETWORK].median_ms
        noise = control and ((control.low - 1) * scale, (control.high - 1) * scale)
        told = known | costs
        made = {
            place: BlockCosts(
                row=place.row,
                block=place.block,
                name=place.layer.removesuffix("_se"),
                shape=group.shape,
                structure=group.structure,
                network_ms=timings[_NETWORK].median_ms,
                time_ms=timings[_WITHOUT].median_ms,
                control=noise,
                costs=tuple(told[se] for se in sorted(told, key=self.plan.rank(place))),
                notes=advice.find(timings),
            )
            for place in group.places
        }
        if self.profile is None:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            plan, conditions = self.plan, timings.conditions
            self.profile = Profile(
                network=plan.network,
                input_shape=plan.input_shape,
                target=plan.target,
                conditions=conditions,
                width=plan.width,
                classes=plan.classes,
                created=now,
            )
        blocks = {(b.row, b.block): b for b in self.profile.blocks}
        blocks |= {(b.row, b.block): b for b in made.values()}
        self._keep(blocks=tuple(blocks[key] for key in sorted(blocks)))

    def _keep(self, **changes):
        self.profile = replace(self.profile, **changes)
        if self.path is not None:
            self.profile.save(self.path)

    def _scale(self):
        """Time each variant everywhere in the whole network: blocks alone run a little faster."""
        known = {name for check in self.profile.everywhere for name in check.variants}
        for index in range(max(map(len, self.plan.variants.values()))):
            chosen = {place: each[index] for place, each in self.plan.variants.items()}
            costly = {p: se for p, se in chosen.items() if self._costs(p).get(se)}
            if costly and not known & {name_of(se) for se in costly.values()}:
                check = self._check(self.plan.configuration(costly), _EVERYWHERE)
                self._keep(everywhere=(*self.profile.everywhere, check))
        told = [replace(c, predicted=self.profile.share(c.configs)) for c in self.profile.checks]
        self._keep(checks=tuple(told))

    def _costs(self, place):
        """Return the shares of a block's variants that cost time."""
        costs = self.profile.by_place[place.row, place.block].costs
        return {cost.config: cost.share for cost in costs if cost.share}

    def _check(self, configuration, name=_CHECKED) -> Check:
        """Time a configuration beside the network without SE."""
        copies = {_NETWORK: self.network, name: self._whole(configuration)}
        files = {f"{each} {n}": file for n in range(_COPIES) for each, file in copies.items()}
        timings = self._timed(files, *files, control=False)
        times = {
            each: sorted(timings[f"{each} {n}"].median_ms for n in range(_COPIES))
            for each in copies
        }
        least, usual, most = times[_NETWORK]
        low, measured, high = (time / usual - 1 for time in times[name])
        return Check(
            se=rows_of(configuration),
            predicted=self.profile.share(configuration),
            measured=measured,
            low=low,
            high=high,
            noise=(most - least) / usual,
        )

    def _drawn(self, draw):
        """Draw a configuration: of each block none, or a variant that costs, but not all none."""
        able = {p: list(known) for p in self.plan.variants if (known := self._costs(p))}
        must = draw.choice(list(able))
        return self.plan.configuration(
            {p: draw.choice(able[p]) for p in able if draw.random() < 0.5 or p is must}
        )

    @functools.cached_property
    def network(self) -> Artifact:
        """The file of the network without SE."""
        return self._whole(None)

    def _whole(self, se):
        keras.utils.set_random_seed(self.seed)
        plan = self.plan
        model = keras_se.models.build(
            plan.network, se, plan.input_shape, plan.classes, plan.width, classifier_activation=None
        )
        images = data_room.load_images(None, plan.input_shape[0], IMAGES, self.seed)
        return untrained_file(model, images, plan.target)

    def _convert(self, model):
        return untrained_file(model, isolated_blocks.inputs_for(model), self.plan.target)

    def _timed(self, files, *needed, control=True) -> Timings:
        """Time files in turn; the first of those `needed` is the one that ratios are to."""
        timing = {**self.timing, "control": control}
        timings: Any = benchmark(files, reference=needed[0], **timing)
        for name in needed:
            if name not in timings:
                raise RuntimeError(
                    f"The network, and each of its blocks without SE, must run on the device. "
                    f"Received: {reason(timings, name)} Choose another target or runtime."
                )
        if self.profile and (apart := self.profile.conditions.differences(timings.conditions)):
            raise ValueError(
                f"One profile is of one device and runtime. Received: {'; '.join(apart)}, those of "
                f"{self.path} first. Name another file."
            )
        return timings


def _cost(se, timings, name):
    if name not in timings:
        return Cost(se.to_dict(), None, reason=reason(timings, name))
    return Cost(se.to_dict(), *_added(timings, name))


def _added(timings, name):
    """Return what a file takes more than the block without SE, over the network, and interval.

    The block without SE is the mean of its two copies: each lies elsewhere in memory.
    """
    copies = [m for m in timings.models if _WITHOUT in (m.name, m.control_of)]
    without = np.mean([copy.times_ms for copy in copies], axis=0)
    return statistics.added_share(timings[name].times_ms, without, timings[_NETWORK].times_ms)
