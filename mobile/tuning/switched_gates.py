"""A model whose gates are turned into constants and back by name, for trying which may go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from keras_se.gated_blocks import find_gated_blocks
from keras_se.rebuild import rebuild


class SwitchedGates:
    """A copy of a model with a switch at each gate that has constants.

    Args:
        model: The model.
        constants: Name of a gated block to its constants.
        images: What it answers to.
        labels: Their classes, or None.
        batch_size: Images at a time.
    """

    def __init__(
        self,
        model: keras.Model,
        constants: Mapping[str, np.ndarray],
        images: np.ndarray,
        labels: np.ndarray | None = None,
        batch_size: int = 16,
    ) -> None:
        self.images, self.labels, self._batch_size = images, labels, batch_size
        self._switches: dict[str, _Switch] = {}
        blocks = [b for b in find_gated_blocks(model).blocks if b.name in constants]
        calls = {b.place: self._switch(b, constants[b.name]) for b in blocks}
        self._model = rebuild(model, calls=calls)
        self._check_output(model)
        self.truth = self.answers(())
        self._check_truth(model)
        if labels is not None:
            self._check_labels(model, labels)

    def _switch(self, block, constant):
        def call(copy, *args, **kwargs):
            tensors = [t for t in keras.tree.flatten((args, kwargs)) if hasattr(t, "shape")]
            switch = _Switch(constant, block.axis, name=f"{block.name.replace('/', '_')}_switch")
            self._switches[block.name] = switch
            return switch([tensors[block.argument], copy(*args, **kwargs)])

        return call

    def _check_output(self, model):
        shape, count = self._model.outputs[0].shape, len(self._model.outputs)
        if count > 1 or shape[-1] is None or shape[-1] < 2:
            raise ValueError(
                f"The model must have one output, of two or more classes, so that its answers can "
                f"be compared. Received: model {model.name!r} with {count} outputs, the first of "
                f"shape {tuple(shape)}. For another one fold by hand: keras_se.gates, then "
                f"keras_se.fold."
            )

    def _check_truth(self, model):
        if (self.truth < 0).any():
            raise ValueError(
                f"What the model answers must be numbers. Received: NaN for "
                f"{int((self.truth < 0).sum())} of {self.truth.size} answers of model "
                f"{model.name!r}. Look at its weights, and at its dtype policy if that is float16."
            )
        if (self.truth == self.truth.flat[0]).all():
            raise ValueError(
                f"The model must answer otherwise to some images, or agreement proves nothing. "
                f"Received: class {self.truth.flat[0]} for each of {len(self.truth)} by model "
                f"{model.name!r}. Pass images of several classes, scaled as it takes them."
            )

    def _check_labels(self, model, labels):
        classes = self._model.outputs[0].shape[-1]
        if labels.shape != self.truth.shape:
            raise ValueError(
                f"`labels` must be one class for each answer. Received: shape {labels.shape} for "
                f"answers of shape {self.truth.shape} of model {model.name!r}. Of one-hot rows "
                f"pass labels.argmax(axis=-1)."
            )
        known = range(classes) if labels.ndim == 1 else None  # a map may have other values: void
        strange = [x for x in np.unique(labels) if not _is_whole(x) or (known and x not in known)]
        if strange:
            raise ValueError(
                f"`labels` must be the places of classes in the output of the model, whole numbers "
                f"from 0 to {classes - 1}. Received: {strange[0]!r} for model {model.name!r}. "
                f"Of names pass [classes.index(name) for name in names]."
            )

    def answers(self, folded: Collection[str]) -> np.ndarray:
        """The top-1 of each image (each position of it) with the gates named in `folded` fixed."""
        for name, switch in self._switches.items():
            switch.fixed.assign(float(name in folded))
        return self.answers_of(self._model)

    def answers_of(self, model: keras.Model) -> np.ndarray:
        """The same of another model; -1 where it gives NaN."""
        outputs: Any = model.predict(self.images, self._batch_size, verbose=0)  # type: ignore
        outputs = np.asarray(outputs, "float32")
        return np.where(np.isnan(outputs).any(axis=-1), -1, outputs.argmax(axis=-1))

    def agreement(self, answers: np.ndarray) -> float:
        """Share of answers that are the model's own."""
        return float((answers == self.truth).mean())

    def accuracy(self, answers: np.ndarray) -> float | None:
        """Share of answers that are right, but for void places of a map; None without labels."""
        if self.labels is None:
            return None
        known = (self.labels >= 0) & (self.labels < self._model.outputs[0].shape[-1])
        return float((answers == self.labels)[known].mean())


def _is_whole(label):
    return np.issubdtype(type(label), np.number) and float(label).is_integer()


class _Switch(keras.layers.Layer):
    """Its second input, or the first times a constant for each channel: of a block and its gate."""

    def __init__(self, constant, axis, **kwargs):
        super().__init__(**kwargs)
        self.constant, self.axis = constant, axis

    def build(self, input_shape):
        self.fixed = self.add_weight(name="fixed", shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        x, y = inputs
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        scale = keras.ops.cast(self.constant.reshape(shape), x.dtype)
        return keras.ops.where(keras.ops.greater(self.fixed, 0), x * scale, y)

    def compute_output_shape(self, input_shape):
        return input_shape[1]
