"""The honest rival of SE: the network without SE, widened until it takes as long."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import keras

import keras_se
from keras_se.checks import check_count
from mobile import data as data_room
from mobile.benchmarking.benchmark import benchmark
from mobile.benchmarking.settings import INTERLEAVED, Runtime, Schedule, combined
from mobile.benchmarking.timings import Ratio
from mobile.progress import bar
from mobile.record import Record
from mobile.tflite.artifact import Artifact
from mobile.tflite.content import content_of
from mobile.tuning.copies import copied, ratio_of
from mobile.tuning.untrained import IMAGES, untrained_file

_CLOSE = 0.005  # of the time, that is as good as equal
_COPIES = 5  # of each file: what memory does to one is then a third of what is searched for
_WIDEST = 400  # hundredths of the first width; a file that takes still longer is no rival's
_POWER = 1.5  # of the width, that time goes with, until two are measured


@dataclass(frozen=True)
class MeasuredWidth(Record):
    """The time of the network without SE at one width, over that of the file. 95 % interval."""

    width: float
    time: Ratio


@dataclass(frozen=True)
class Widening(Record):
    """How wide the network without SE is when it takes as long as a file. Prints as a sentence.

    Args:
        network: Name of the network.
        measured: The widths that were measured, in order, from the network's own.
        reason: Why there is no width.
    """

    network: str
    measured: tuple[MeasuredWidth, ...] = ()
    reason: str | None = None

    @property
    def reached(self) -> MeasuredWidth | None:
        """The width whose time is nearest to the file's; None where there is none."""
        if self.reason is not None:
            return None
        return min(self.measured, key=lambda one: abs(math.log(one.time.value)), default=None)

    def __str__(self):
        one = self.reached
        if one is None:
            return f"{self.network} has no wider rival: {self.reason}"
        many = "s" * (len(self.measured) > 1)
        said = (
            f"{self.network} without SE, of width {one.width:.4g}, takes {one.time} times as long "
            f"as the file, the nearest of {len(self.measured)} width{many} measured."
        )
        wider = one.width > self.measured[0].width
        return said if wider else f"{said} It is as slow without being wider."


def widen_to(
    network: str | keras_se.models.Network,
    file: Any,
    *,
    width: float = 1.0,
    target: str = "xnnpack",
    device: str = "local",
    most: int = 6,
    seed: int = 0,
    progress: bool = True,
    schedule: Schedule = INTERLEAVED,
    runtime: Runtime | str | None = None,
    **fields: Any,
) -> Widening:
    """Find the width at which a network without SE takes as long as an int8 file of it with SE.

    Channels go in steps, so that many widths are one network: only networks that differ are
    measured, each beside the file in one interleaved run, several copies of both. The weights are
    random, as times do not depend on them. The next width is that where a straight line through
    what was measured (logarithms of width and time) takes as long as the file.

    Args:
        network: A name of `keras_se.models.names()`, or the record.
        file: The .tflite with SE: an `Artifact`, bytes or a path. It tells size and classes.
        width: What its channels are multiplied with in the file, and by more in its rival.
        target: What it was lowered for.
        device: As in `mobile.benchmark`, one of them.
        most: How many widths to measure.
        seed: Of the weights.
        progress: Whether to show a bar.
        schedule: As in `mobile.benchmark`.
        runtime: As in `mobile.benchmark`, with one number of threads.
        **fields: Fields of both by themselves, such as `runs=400, threads=2`.

    Returns:
        The `Widening`; its `reached` is None for a network that has no widths.

    Raises:
        ValueError: The name is not known, a number is out of range, or the file takes no square RGB
            images.
        RuntimeError: The file or a network does not run on the device.
    """
    found = keras_se.models.find(network)
    check_count("most", most, 1, "For six widths, leave it out.")
    schedule, runtime = combined(schedule, runtime, fields)
    if not isinstance(runtime.threads, int) or isinstance(device, list | tuple):
        raise ValueError(
            f"A width is for one device with one number of threads. Received: device={device!r}, "
            f"threads={runtime.threads!r}. Search on each."
        )
    artifact = Artifact.from_content(content_of(file))
    shape, classes = _read(artifact)
    timing = {"device": device, "schedule": schedule, "runtime": runtime, "control": False}
    images = data_room.load_images(None, shape[0], IMAGES, seed)

    def build(step):
        keras.utils.set_random_seed(seed)
        return keras_se.models.build(
            found,
            None,
            shape,
            classes=classes,
            width=width * step / 100,
            classifier_activation=None,
        )

    @functools.cache
    def structure(step):
        return tuple(tuple(weight.shape) for weight in build(step).weights)

    def measure(step):
        tell(len(known) / most, f"width {width * step / 100:.4g}")
        rival = untrained_file(build(step), images, target)
        files = copied({"rival": [rival] * _COPIES, "file": [artifact] * _COPIES})
        timings: Any = benchmark(files, **timing)
        return ratio_of(timings, "rival", "file")

    with bar(f"widen {found.name}", progress) as tell:
        known: dict[int, Ratio] = {}
        if structure(2 * 100) == structure(100):
            return Widening(found.name, reason="its channels do not depend on `width`.")
        _search(known, measure, structure, most)
    widths = (MeasuredWidth(width * step / 100, ratio) for step, ratio in known.items())
    return Widening(found.name, tuple(widths))


def _read(artifact):
    """Return shape of the image and number of classes of a file."""
    shape = tuple(artifact.inputs[0].shape[1:]) if len(artifact.inputs) == 1 else ()
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3 or shape[0] < 1:
        raise ValueError(
            f"The file to be as slow as must take square RGB images. Received: inputs of shape "
            f"{[tuple(spec.shape) for spec in artifact.inputs]}. Pass the int8 file of the network."
        )
    return shape, artifact.outputs[0].shape[-1]


def _search(
    known: dict[int, Ratio],
    measure: Callable[[int], Ratio],
    structure: Callable[[int], Hashable],
    most: int,
) -> None:
    """Measure widths, in hundredths, until one takes as long as the file or there are no more.

    `known` gets each that was measured. From `below` on to `above` lies what is not known: the
    network at `below` is too fast, that at `above`, if there is any, too slow.
    """
    known[100] = measure(100)
    below, above = 100, _WIDEST + 1
    while len(known) < most and not any(_close(ratio) for ratio in known.values()):
        if known[min(known)].value > 1 or above - below < 2:
            return
        step = min(max(_proposed(known), below + 1), above - 1)
        seen = {structure(each): each for each in known}
        same = seen.get(structure(step))
        if same is None:
            known[step] = measure(step)
        if known[step if same is None else same].value < 1:
            below = max(below, step)
        else:
            above = min(above, step)


def _proposed(known):
    """Return the width that a line through the nearest ones on either side takes to the file."""
    points = sorted((math.log(step), math.log(ratio.value)) for step, ratio in known.items())
    fast = [point for point in points if point[1] < 0]
    slow = [point for point in points if point[1] >= 0]
    x, y = fast[-1]
    pair = (fast[-1], slow[0]) if slow else fast[-2:]
    rise = (pair[-1][1] - pair[0][1]) / (pair[-1][0] - pair[0][0]) if len(pair) > 1 else _POWER
    return round(math.exp(x - y / max(rise, 0.5)))


def _close(ratio):
    return abs(math.log(ratio.value)) <= _CLOSE
