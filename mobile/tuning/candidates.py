"""One network with one configuration of squeeze-and-excitation, trained alone and put into int8."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import keras_se
from keras_se.models.base import Network, resolve_se
from mobile.conversion.converter import convert
from mobile.conversion.verification import verify
from mobile.data import DataSet
from mobile.pipeline import keras_files, training
from mobile.pipeline.options import Options
from mobile.record import Count, Record
from mobile.reporting.results import Epoch
from mobile.tuning.block_costs import Rows, configuration_of, rows_of
from mobile.tuning.finalists import Trained

_LEAST, _MOST = 32, 5000  # images set apart to choose by
_PART = 0.2  # of the training images


@dataclass(frozen=True)
class Candidate(Record):
    """What is trained: a network's squeeze-and-excitation and width.

    Args:
        name: What tables and files call it.
        se: What each block of each row holds.
        width: Multiplies the channels.
    """

    name: str
    se: Rows
    width: float = 1.0

    @classmethod
    def of(cls, name: str, network: str | Network, se: Any, width: float = 1.0) -> Candidate:
        """Make one from what `keras_se.models.build` takes as `se`."""
        return cls(name, rows_of(resolve_se(keras_se.models.find(network), se)), width)


@dataclass(frozen=True)
class Made(Record):
    """What came of a candidate that was trained with one seed.

    Args:
        trained: The accuracies.
        params: Trainable parameters.
        macs: Multiply-adds of one image.
        epochs: The training.
        files: Names of what was written, by `float` and `int8`.
    """

    trained: Trained
    params: Count
    macs: Count
    epochs: tuple[Epoch, ...]
    files: dict[str, str]


def set_apart(images: DataSet, seed: int = 0) -> tuple[DataSet, DataSet]:
    """Split off a fifth of the training images, 5,000 at most, by which networks are chosen.

    Returns:
        The data set with the rest to train on, and the same with those set apart as its test part.

    Raises:
        ValueError: There are too few.
    """
    count = len(images.x_train)
    apart = min(int(_PART * count), _MOST)
    if apart < _LEAST:
        raise ValueError(
            f"Networks are told apart by a fifth of the training images, at least {_LEAST}. "
            f"Received: {count} training images in {images.name!r}, a fifth of which is {apart}. "
            f"Pass {5 * _LEAST} or more; thousands tell more."
        )
    order = np.random.default_rng(seed).permutation(count)
    chosen, rest = np.sort(order[:apart]), np.sort(order[apart:])
    x, y = images.x_train, images.y_train
    trained = dataclasses.replace(images, x_train=x[rest], y_train=y[rest])
    return trained, dataclasses.replace(trained, x_test=x[chosen], y_test=y[chosen])


def train_candidate(
    candidate: Candidate,
    network: str | Network,
    images: DataSet,
    options: Options,
    folder: str | os.PathLike,
    watch: Callable[[int, int, int, float, float], None] | None = None,
) -> Made:
    """Train a candidate from random weights, convert it to int8, judge both.

    A part of the training images is set apart, on which the int8 file is judged too. Ranges are
    found on others of them; nothing is trained after quantisation.

    Args:
        candidate: What to train.
        network: The network it is a candidate of.
        images: What to train and to test on.
        options: Those of the float training, of the conversion, and the seed; the rest of a run's
            is not read.
        folder: Where to write `NAME-SEED.keras` and `NAME-SEED.tflite`.
        watch: As in `mobile.train`.
    """
    seed = options.seed
    images, apart = set_apart(images)
    keras.utils.set_random_seed(seed)
    model = keras_se.models.build(
        network,
        configuration_of(candidate.se),
        images.x_train.shape[1:],
        classes=len(images.classes),
        width=candidate.width,
        classifier_activation=None,
    )
    epochs = training.train(
        model, images.x_train, images.y_train, **options.float_training(), watch=watch
    )
    order = np.random.default_rng(seed).permutation(len(images.x_train))
    seen = images.x_train[np.sort(order[: options.calibration_images])]
    artifact = convert(
        model, calibration=seen, target=options.target, method=options.method
    ).with_classes(images.classes)
    tested, chosen = (verify(model, artifact, d.x_test, d.y_test) for d in (images, apart))
    accuracy: Any = tested.accuracy
    by: Any = chosen.accuracy
    stem = pathlib.Path(folder) / f"{candidate.name.replace(' ', '_')}-{seed}"
    files = {"float": stem.with_suffix(".keras"), "int8": stem.with_suffix(".tflite")}
    keras_files.save(model, files["float"], images.classes)
    artifact.save(files["int8"])
    counted = keras_se.complexity(model)
    return Made(
        trained=Trained(
            seed=seed,
            float_accuracy=accuracy[tested.reference],
            int8_accuracy=accuracy[tested.candidate],
            validation_accuracy=by[chosen.candidate],
        ),
        params=counted.trainable_params,
        macs=counted.macs,
        epochs=epochs,
        files={form: path.name for form, path in files.items()},
    )
