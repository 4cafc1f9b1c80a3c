"""How much an error in each channel of a tensor counts for the layers that read it.

A range that suits all values of a tensor alike may be poor for the few channels that a large
kernel magnifies. So calibration weighs the error of a channel by what the next convolutions make
of it, in units of what they give: rounding noise of 1 % of a channel's deviation is the same harm
in a small channel as in a large one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_se.layers.base import Tensor
from mobile.quantization.range_plan import WEIGHTED, RangePlan

_MOVES_CHANNELS = {"Permute", "Slice"}
_LEAST = 1e-6  # of the largest mean square: the variance of a channel that hardly varies


def importances(
    model: keras.Model, plan: RangePlan, batch: Sequence[Tensor | np.ndarray]
) -> dict[str, np.ndarray]:
    """By point, the weight of a squared error in each of its channels.

        weight[c] = sum over readers, their outputs o and taps t of kernel[t, c, o]**2 / var[o]

    Products, ReLUs and concatenations pass on what their own readers say. Points that no
    convolution reads, directly or through these, are left out.

    Args:
        model: A lowered model.
        plan: Its plan.
        batch: Its inputs, some images of each: the variances are of these.
    """
    variances = _variances(model, batch)
    readers: dict[str, list[str]] = {name: [] for name in plan.reads}
    for layer, reads in plan.reads.items():
        for read in set(reads):
            readers[read].append(layer)
    known: dict[str, np.ndarray | None] = {}
    for name in reversed(list(plan.reads)):  # readers come before what they read
        channels = model.get_layer(name).output.shape[-1]
        kinds = {type(model.get_layer(reader)).__name__ for reader in readers[name]}
        said = [_said(model, plan, reader, name, variances, known) for reader in readers[name]]
        said = [_as_channels(weights, channels) for weights in said if weights is not None]
        said = [weights for weights in said if weights is not None]
        known[name] = np.sum(said, axis=0) if said and not kinds & _MOVES_CHANNELS else None
    found = {name: known[name] for name in plan.points}
    return {name: weights for name, weights in found.items() if weights is not None}


def _said(model, plan, reader, name, variances, known):
    """What one reader says of the channels of a point, or None."""
    layer = model.get_layer(reader)
    kind = type(layer).__name__
    if kind in WEIGHTED:
        return _of_kernel(layer, variances[reader])
    weights = known.get(reader)
    if weights is None or kind not in ("Multiply", "ReLU", "Concatenate"):
        return None
    if kind != "Concatenate":
        return weights
    parts = plan.reads[reader]
    sizes = [tensor.shape[-1] for tensor in layer.input]
    starts = np.cumsum([0, *sizes])
    cuts = [weights[starts[i] : starts[i + 1]] for i, part in enumerate(parts) if part == name]
    return np.sum(cuts, axis=0) if len({len(cut) for cut in cuts}) == 1 else None


def _as_channels(weights, channels):
    """Weights of what a reshape made of the channels, which stay together; None if they did not."""
    if channels % len(weights) == 0:
        return np.tile(weights, channels // len(weights))
    if len(weights) % channels == 0:
        return weights.reshape(-1, channels).mean(axis=0)
    return None


def _of_kernel(layer, variance):
    squares = np.square(np.asarray(layer.get_weights()[0], np.float64))
    if isinstance(layer, keras.layers.Dense):
        return (squares / variance).sum(axis=-1)
    squares = squares.sum(axis=(0, 1))
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return (squares / variance.reshape(squares.shape)).sum(axis=-1)
    if isinstance(layer, keras.layers.Conv2DTranspose):  # (outputs, inputs)
        return (squares / variance[:, None]).sum(axis=0)
    by_group = (squares / variance).reshape(len(squares), layer.groups, -1).sum(axis=-1)
    return by_group.T.ravel()


def _variances(model: keras.Model, batch) -> Mapping[str, np.ndarray]:
    """The variance of each output channel of each layer with a kernel."""
    import tensorflow as tf

    layers = [layer for layer in model.layers if type(layer).__name__ in WEIGHTED]
    if not layers:
        return {}
    probe = keras.Model(model.inputs, [layer.output for layer in layers])

    @tf.function(autograph=False)
    def moments(batch):
        outputs = keras.tree.flatten(probe(batch[0] if len(batch) == 1 else batch, training=False))
        values = [tf.reshape(tf.cast(y, tf.float32), [-1, y.shape[-1]]) for y in outputs]
        return [tf.nn.moments(v, axes=[0]) for v in values]

    found = {}
    for layer, (mean, variance) in zip(layers, moments(batch), strict=True):
        mean, variance = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
        floor = _LEAST * (np.square(mean) + variance).max() + 1e-30
        found[layer.name] = variance + floor
    return found
