"""The int8 files of a network: calibrated alone, trained on, and which of the two is kept.

Training on labels moves a network away from its float twin, which may help or harm, and a short
training may do worse than none. So both files are made, and the better one is kept: that which
agrees more with the float network on training images that neither has seen, of two that agree
alike the one with the smaller mean difference. Test images decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile.conversion.agreement import Agreement
from mobile.data import DataSet
from mobile.pipeline import training
from mobile.pipeline.options import Options
from mobile.reporting.results import Epoch
from mobile.tflite import Artifact

if TYPE_CHECKING:
    import keras

CALIBRATED, TRAINED = "calibrated", "trained"
_MOST_APART = 256


@dataclass(frozen=True)
class Int8:
    """The int8 files that were made, by name, and the one that is kept.

    Attributes:
        files: `calibrated`, and `trained` where there were epochs.
        apart: What each file agrees in with the float network, on images set apart.
        kept: The name of the better one.
        aware: The quantisation-aware model of that one.
        epochs: The quantisation-aware training.
    """

    files: dict[str, Artifact]
    apart: dict[str, Agreement]
    kept: str
    aware: Any
    epochs: tuple[Epoch, ...] = ()


def make(
    model: keras.Model,
    lowered: keras.Model,
    images: DataSet,
    options: Options,
    watch: Callable[[int, int, int, float, float], None] | None = None,
) -> Int8:
    """Make the int8 files of a network, and choose.

    Args:
        model: The trained float network.
        lowered: The same, lowered.
        images: A `DataSet`; of its test part nothing is read.
        options: Those of the run.
        watch: As in `mobile.train`.
    """
    import mobile

    calibration, rest, apart = split(len(images.x_train), options.calibration_images, options.seed)
    seen = images.x_train[calibration]
    ranges = mobile.calibrate(lowered, seen, method=options.method, progress=False)
    aware = mobile.quantize_aware(
        lowered, seen, ranges=ranges, engine=options.engine, target=options.target
    )
    files, weights, epochs = {CALIBRATED: mobile.convert(aware)}, aware.get_weights(), ()
    if options.qat_epochs:
        epochs = training.train(
            aware,
            images.x_train[rest],
            images.y_train[rest],
            **options.aware_training(),
            watch=watch,
        )
        files[TRAINED] = mobile.convert(aware)
    unseen = images.x_train[apart]
    judged = {name: mobile.verify(model, file, unseen) for name, file in files.items()}
    kept = better(judged)
    if epochs and kept == CALIBRATED:
        aware.set_weights(weights)
    return Int8(files, judged, kept, aware, epochs)


def better(judged: dict[str, Agreement]) -> str:
    """Return the name of what agrees most; of those that agree alike, of the least difference."""
    return max(judged, key=lambda name: (judged[name].top1_agreement, -judged[name].mean_abs))


def split(count: int, calibration: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw images to calibrate on, images to train on, and images set apart from both.

    A fifth, 256 at most, is set apart; those to calibrate on are among those to train on.

    Returns:
        Three arrays of indices, each in order.

    >>> [len(part) for part in split(1000, 256, seed=0)]
    [256, 800, 200]
    """
    apart = min(max(count // 5, 1), _MOST_APART)
    order = np.random.default_rng(seed).permutation(count)
    rest = order[: max(count - apart, 1)]
    parts = rest[:calibration], rest, order[-apart:]
    return np.sort(parts[0]), np.sort(parts[1]), np.sort(parts[2])
