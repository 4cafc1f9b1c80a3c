"""One network whose blocks hold all their choices of squeeze-and-excitation, trained once.

A configuration of a search space then costs one pass over the validation images.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
from keras import ops

import keras_se
from keras_se.config import SEConfig
from keras_se.layers.base import Shape, Tensor
from mobile.benchmarking.timings import Finite
from mobile.pipeline import training
from mobile.record import Record, Share, write_file
from mobile.reporting.results import Epoch
from mobile.tuning.search_space import SearchSpace

_ROUND = 4  # steps: SE everywhere, nowhere, and twice by chance
_PASS = 250  # images that BatchNorm takes its statistics of in scoring
_LEAST = 32  # of fewer, statistics are noise


@dataclass(frozen=True)
class Score(Record):
    """How well a configuration does in the supernet, over the validation images.

    Args:
        loss: Mean cross-entropy; less noisy than the accuracy.
        accuracy: Share of images whose largest output is the label.
    """

    loss: Finite
    accuracy: Share


class Supernet:
    """A network with every choice of a search space in every block, of which a switch takes one.

    The switches are the model's second input, so that training and scoring are like any other
    model's on every backend and under every distribution strategy. BatchNorm always takes the
    statistics of the batch: moving averages would be of no configuration. All images of a batch
    have one configuration.

    Source:
        One network for many, one configuration a step: Guo et al., 2020, arXiv:1904.00420. The
        sandwich of largest, smallest and two random ones: Yu and Huang, 2019, arXiv:1903.05134,
        who add up the gradients of all four on the same images; here they take a step each, on
        images of their own, so that an epoch costs what one of a plain network does. Added up over
        four batches they learned less in as many epochs (MobileNetV3-Small at width 0.5, 5000
        images of CIFAR-10, 6 epochs: cross-entropy 1.79 without SE, 1.66 in steps of their own),
        and Keras cannot add up under tf.distribute.MirroredStrategy.
    """

    def __init__(self, model: keras.Model, space: SearchSpace, made: dict[str, Any]) -> None:
        self.model, self.space, self._made = model, space, made

    @classmethod
    def build(
        cls,
        space: SearchSpace,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        width: float = 1.0,
        seed: int = 0,
        **settings: Any,
    ) -> Self:
        """Build it with random weights.

        Args:
            space: What each block may have.
            input_shape: As in `keras_se.models.build`.
            classes: As in `keras_se.models.build`.
            width: As in `keras_se.models.build`.
            seed: Of the weights.
            **settings: What else `keras_se.models.build` takes for the network.

        Raises:
            ValueError: As `keras_se.models.build`.
        """
        made = {"input_shape": input_shape, "classes": classes, "width": width, **settings}
        keras.utils.set_random_seed(seed)
        plain = keras_se.models.build(
            space.network, _choices(space), classifier_activation=None, **made
        )
        return cls(_with_switches(plain, _switches(space)), space, made)

    def train(
        self,
        images: Any,
        labels: Any,
        epochs: int,
        batch: int = 32,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.02,
        label_smoothing: float = 0.1,
        augment: str = "none",
        seed: int = 0,
        watch: Callable[[int, int, int, float, float], None] | None = None,
    ) -> tuple[Epoch, ...]:
        """Train it in place, and return a record of each epoch.

        Each batch has a configuration of its own, in turn: SE in every block (of a kind by
        chance), in none, and twice in blocks by chance. An epoch is one pass over the images, of as
        many steps as in `mobile.train`, whose arguments these are.

        Raises:
            ValueError: As `mobile.train`.
        """

        def beside(draw, number):
            place = number % _ROUND
            if place == 1:
                return self._row(self.space.nowhere)
            return self._row(self.space.random(draw, dense=place == 0))

        return training.fit(
            self.model,
            images,
            labels,
            epochs,
            batch=batch,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            augment=augment,
            seed=seed,
            watch=watch,
            beside=beside,
        )

    def score(self, configuration: Any, images: Any, labels: Any) -> Score:
        """Return how well a configuration does on images that it was not trained with.

        Images are mixed, always alike, and taken about 250 at a time, of which BatchNorm takes its
        statistics. Nothing of the supernet changes.

        Args:
            configuration: One of the space, as `keras_se.models.build` takes it.
            images: RGB pixels, `(count, height, width, 3)`.
            labels: Class indices, `(count,)`.

        Raises:
            ValueError: The configuration is none of the space, images or labels do not fit or are
                fewer than 32, or the supernet's answers are no numbers.
        """
        row = self._row(configuration)
        images, labels = np.asarray(images), np.asarray(labels)
        training.check_images(self.model, images, labels, inputs=2)
        if len(images) < _LEAST:
            raise ValueError(
                f"A configuration must be scored on at least {_LEAST} images, some hundreds if "
                f"accuracies are to be told apart: BatchNorm takes their statistics. Received: "
                f"{len(images)}. Pass more validation images."
            )
        order = np.random.default_rng(0).permutation(len(images))
        parts = np.array_split(order, max(round(len(images) / _PASS), 1))
        logits = np.concatenate([self._logits(images[part], row) for part in parts])
        if not np.isfinite(logits).all():
            raise ValueError(
                f"What a supernet answers must be numbers. Received: NaN or infinity of "
                f"{self.space.network!r} for {self.space.numbers(configuration)}. Train it with a "
                f"lower learning rate."
            )
        labels = labels[order]
        right = logits[np.arange(len(labels)), labels]
        top = logits.max(axis=1)
        loss = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - right
        return Score(float(loss.mean()), training.accuracy(logits, labels))

    def save(self, path: str | os.PathLike) -> pathlib.Path:
        """Write its weights, whole or not at all, and what `load` checks that they are of."""
        file = io.BytesIO()
        weights = {f"{i}": weight for i, weight in enumerate(self.model.get_weights())}
        np.savez(file, of=np.array(self._kind()), **weights)
        return write_file(path, file.getvalue())

    def load(self, path: str | os.PathLike) -> None:
        """Take the weights that `save` wrote.

        Raises:
            ValueError: The file is none, or of a supernet of another space or build.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                kind = str(file["of"])
                weights = [file[str(i)] for i in range(len(file.files) - 1)]
        except (OSError, EOFError, KeyError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"A supernet's weights must be a file that Supernet.save wrote. Received: {path}: "
                f"{reason}. Train the supernet anew."
            ) from None
        if kind != self._kind():
            raise ValueError(
                f"A supernet's weights must be of the same network, search space and build. "
                f"Received: {path}, of {_difference(kind, self._kind())}. Build it as it was "
                f"saved, or train another."
            )
        self.model.set_weights(weights)

    def _kind(self):
        """What makes weights fit, as JSON."""
        made = {name: value for name, value in self._made.items() if value is not None}
        return json.dumps({"space": self.space.to_dict(), **made}, sort_keys=True)

    def _row(self, configuration):
        """The switches of a configuration, one a variant of each block."""
        numbers = self.space.numbers(configuration)
        row = [np.arange(1, len(b)) == n for b, n in zip(self.space.blocks, numbers, strict=True)]
        return np.concatenate(row).astype("float32")

    def _logits(self, images, row):
        switches = np.repeat(row[None], len(images), axis=0)
        outputs: Any = self.model((images.astype("float32"), switches), training=False)
        return np.asarray(ops.convert_to_numpy(outputs), "float64")


@dataclass(frozen=True)
class _Choices(SEConfig):
    """What a block of the supernet is given for its SE: several variants, each at its place.

    Args:
        variants: Number of its switch, and the variant.
    """

    variants: tuple[tuple[int, SEConfig], ...] = ()

    def at(self, *places: str) -> Self | None:
        found = tuple((number, se) for number, se in self.variants if se.placement in places)
        return type(self)(variants=found) if found else None

    def layer(self, name: str | None = None, **kwargs: Any) -> keras.layers.Layer:
        place = self.variants[0][1].placement
        return _Switch(self.variants, name=f"{name}_{place}", **kwargs)


class _Switch(keras.layers.Layer):
    """One of several variants of SE, or none, as the switches say; without switches, none.

    All are computed, and all but one multiplied by 0: JAX takes minutes and gigabytes to compile
    the branches of `keras.ops.switch`, and TensorFlow saves little by them.
    """

    def __init__(self, variants: Sequence[tuple[int, SEConfig]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.variants = variants
        self.layers = [se.layer(name=f"{se.kind}_{number}") for number, se in variants]

    def build(self, inputs_shape: Shape, switches_shape: Shape | None = None) -> None:
        for layer in self.layers:
            layer.build(inputs_shape)

    def call(self, inputs: Tensor, switches: Tensor | None = None) -> Tensor:
        if switches is None:
            return inputs

        def where(chosen):  # (batch,) to (batch, 1, 1, 1)
            return ops.reshape(ops.cast(chosen, inputs.dtype), (-1, *[1] * (len(inputs.shape) - 1)))

        taken: Any = ops.take(switches, [number for number, _ in self.variants], axis=1)
        y = ops.multiply(inputs, where(ops.subtract(1.0, ops.sum(taken, axis=1))))
        for i, layer in enumerate(self.layers):
            y = ops.add(y, ops.multiply(layer(inputs), where(taken[:, i])))
        return y

    def compute_output_shape(
        self, inputs_shape: Shape, switches_shape: Shape | None = None
    ) -> Shape:
        return inputs_shape


class _OfTheBatch(keras.layers.BatchNormalization):
    """BatchNorm by the statistics of the batch, in scoring too. Its averages are of no use."""

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.momentum = 1.0  # they stay as they are

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        return super().call(inputs, training=True, mask=mask)


def _choices(space):
    """All choices of each block of each row, as `keras_se.models.build` takes them."""
    numbers, blocks = itertools.count(), []
    for variants in space.blocks:
        found = tuple((next(numbers), se) for se in variants if se is not None)
        if any(se.aggregate == "concat" for _, se in found):
            raise ValueError(
                f"Choices of one block must have equal channels. Received: scSE with "
                f"aggregate='concat', which doubles them, for {space.network!r}. Take 'add', "
                f"'max' or 'mul'."
            )
        blocks.append(_Choices(variants=found) if found else None)
    along = iter(blocks)
    return [[next(along) for _ in row] for row in space.choices]


def _switches(space):
    return sum(len(block) - 1 for block in space.blocks)


def _with_switches(plain, count):
    """The network with a second input that every switch reads, and BatchNorm of the batch alone."""
    switches = keras.Input((count,), name="switches")
    inputs = (plain.inputs[0], switches)

    def clone(layer):
        if isinstance(layer, _Switch):
            return _Switch(layer.variants, name=layer.name)
        normal = type(layer) is keras.layers.BatchNormalization
        return (_OfTheBatch if normal else type(layer)).from_config(layer.get_config())

    def call(layer, *args, **kwargs):
        if isinstance(layer, _Switch):
            return layer(*args, switches=switches)
        return layer(*args, **kwargs)

    return keras.models.clone_model(
        keras.Model(inputs, plain.outputs[0], name=plain.name),
        input_tensors=inputs,
        clone_function=clone,
        call_function=call,
    )


def _difference(theirs, ours):
    """Say in which parts two descriptions differ."""
    try:
        theirs, ours = json.loads(theirs), json.loads(ours)
        apart = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n)]
    except (ValueError, AttributeError):
        return "none"
    told = [n if n == "space" else f"{n} {theirs.get(n)!r}, not {ours.get(n)!r}" for n in apart]
    return f"another {', '.join(told)}"
