"""What quantising each layer costs: when it alone is quantised, and when it alone is left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_se.rebuild import rebuild
from mobile.progress import track
from mobile.quantization import calibration_images, classes, engines, keras_engine, range_plan
from mobile.record import Record, table


@dataclass(frozen=True)
class LayerCost(Record):
    """One layer's part in the error.

    The layer's kernel and output are quantised together. Signal-to-noise is that of the model's
    outputs before a last softmax, in decibels: 6 dB are one bit. Agreement is the share of images
    with the float model's top-1, accuracy the share with the label's.
    """

    layer: str
    alone_db: float
    alone_agreement: float
    without_db: float
    without_agreement: float
    alone_accuracy: float | None = None
    without_accuracy: float | None = None


@dataclass(frozen=True)
class Sensitivity(Record):
    """The cost of each layer; `all_db` and `all_agreement` are those of the whole int8 model.

    `with only` is the float model with that layer alone quantised: low is bad. `without` is the
    int8 model with that layer alone in float: high says that it is worth leaving out.
    """

    layers: tuple[LayerCost, ...]
    all_db: float
    all_agreement: float
    images: int
    all_accuracy: float | None = None
    float_accuracy: float | None = None

    def worst(self, count: int = 10) -> tuple[LayerCost, ...]:
        """The layers whose quantisation alone costs most, worst first."""
        return tuple(sorted(self.layers, key=lambda cost: cost.alone_db)[:count])

    def __str__(self):
        shares = ["agreement", "top-1"]
        header = ["layer", "with only, dB", *shares, "without, dB", *shares]
        rows = [[c.layer, c.alone_db, c.alone_agreement, c.alone_accuracy] for c in self.layers]
        for row, c in zip(rows, self.layers, strict=True):
            row += [c.without_db, c.without_agreement, c.without_accuracy]
        rows.append(["all layers", self.all_db, self.all_agreement, self.all_accuracy, "", "", ""])
        rows.append(["none", "", "", self.float_accuracy, "", "", ""])
        if self.float_accuracy is None:  # there were no labels
            header, *rows = ([*row[:3], *row[4:6]] for row in [header, *rows[:-1]])
        return table(header, rows)


def sensitivity(
    model: keras.Model,
    images: Any,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    layers: Collection[str] | None = None,
    target: str = "xnnpack",
    labels: Any = None,
    progress: bool = True,
) -> Sensitivity:
    """Say what each layer costs in accuracy when it alone is quantised, and when it alone is not.

    Args:
        model: Any functional Keras model, or a quantisation-aware one.
        images: Images to compare outputs on, in any form that `mobile.calibrate` takes; 32 to 128
            do.
        ranges: Of the lowered model; by default they are calibrated on `images`.
        layers: Names of layers of the lowered model to look at; all with a range by default.
        target: What the model is lowered for.
        labels: Class number of each image, for top-1 accuracy besides agreement.
        progress: Whether to show a progress bar.

    Returns:
        A `Sensitivity`.
    """
    images = calibration_images.reusable(images)
    if not keras_engine.is_quantized(model):
        given = None if ranges else images
        model = engines.quantize_aware(model, given, ranges=ranges, target=target, correction=False)
    elif ranges is not None or target != "xnnpack":
        raise ValueError(
            "A quantisation-aware model has its ranges and its target. Received: "
            f"{'`ranges`' if ranges is not None else f'target={target!r}'} with {model.name!r}. "
            "Leave that out, or pass the float model."
        )
    images = calibration_images.spread(model, images)
    switched = _Switched(model)
    names = [name for name in switched.names if layers is None or name in layers]
    unknown = set(layers or ()) - set(switched.names)
    if unknown:
        raise ValueError(
            f"`layers` must name layers with a range. Received: {sorted(unknown)}. Known are "
            f"{', '.join(switched.names[:8])}, ...: print the Ranges for all."
        )
    truth = switched.outputs(images, set())
    if labels is not None:
        labels = classes.checked_labels(labels, truth)
    everything = set(switched.names)

    def cost(quantized) -> tuple[float, float, float | None]:
        outputs = switched.outputs(images, quantized)
        ratio, same = _cost(truth, outputs)
        return ratio, same, right(outputs)

    def right(outputs):
        return None if labels is None else classes.accuracy(classes.classes_of(outputs), labels)

    rows = []
    for name in track(names, "Layers", progress):
        (alone, same, found), (without, others, left) = cost({name}), cost(everything - {name})
        rows.append(LayerCost(name, alone, same, without, others, found, left))
    ratio, same, found = cost(everything)
    return Sensitivity(tuple(rows), ratio, same, len(truth), found, right(truth))


class _Switched:
    """A quantisation-aware model in which each layer's quantisation is an input, 0 or 1."""

    def __init__(self, model):
        import tensorflow as tf

        found = [x for x in model.layers if isinstance(x, keras_engine.FakeQuantize)]
        self.names = [layer.rounded for layer in found]
        self._switches = tf.Variable(tf.ones(len(found)), trainable=False)
        index = {name: i for i, name in enumerate(self.names)}
        lowered = range_plan.lowered_names(model)

        def clone(layer):
            config = layer.get_config()
            name = lowered[layer.name]
            if isinstance(layer, keras_engine.FakeQuantize):
                return _switchable(type(layer), self._switches, index[name]).from_config(config)
            if hasattr(layer, "on_grid"):
                at = index.get(name)
                return _switchable(type(layer), self._switches, at).from_config(config)
            return type(layer).from_config(config)

        copy = rebuild(model, clone)
        before = keras_engine.last_layer(copy)
        is_softmax = isinstance(before, keras.layers.Softmax)
        output = before.input if is_softmax else copy.outputs[0]
        part = keras.Model(copy.inputs, output)
        self._function = tf.function(part, reduce_retracing=True, autograph=False)

    def outputs(
        self, images: list[np.ndarray], quantized: Collection[str], batch_size: int = 16
    ) -> np.ndarray:
        """The model's first output with only the layers named in `quantized` quantised."""
        self._switches.assign([float(name in quantized) for name in self.names])
        starts = range(0, len(images[0]), batch_size)
        parts = [[column[i : i + batch_size] for column in images] for i in starts]
        return np.concatenate([self._function(part, training=False).numpy() for part in parts])


def _switchable(kind, switches, index):
    """A subclass of a quantising layer that computes in float where its switch is 0."""

    class Switchable(kind):
        def call(self, inputs, **kwargs):
            rounded = super().call(inputs, **kwargs)
            return inputs + switches[index] * (rounded - inputs)

        def on_grid(self, kernel, bias):
            rounded = super().on_grid(kernel, bias)
            return kernel if index is None else kernel + switches[index] * (rounded - kernel)

    if kind is keras_engine.FakeQuantize:
        del Switchable.on_grid
    else:
        del Switchable.call
    return Switchable


def _cost(truth, outputs):
    """Signal-to-noise in dB, and the share of equal top-1."""
    noise = float(np.square(outputs - truth).sum())
    ratio = 10 * np.log10(float(np.square(truth).sum()) / max(noise, 1e-12))
    same = classes.classes_of(outputs) == classes.classes_of(truth)
    return min(float(ratio), 120.0), float(same.mean())
