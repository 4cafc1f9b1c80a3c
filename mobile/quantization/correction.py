"""Take out of each channel what quantisation does to its mean and its size.

Rounding the input of a convolution shifts a channel where it is rounded one way, as a nearly
constant channel behind a large kernel is, and adds noise where such a kernel magnifies it; ranges
that clip make what they clip smaller. One gain and one bias a channel give it its mean and its
deviation back. Values that the range of the output clips anyway are left out: a bias that mends
those moves others out of the range. One walk through the float and the quantised model side by
side sees each error after those before it were mended.

Source:
    Nagel et al., 2019, arXiv:1906.04721, section 4.2, for the bias. The gain is added here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np

from keras_se.graph import trace
from keras_se.rebuild import rebuild
from mobile.quantization import calibration_images, keras_engine, range_plan

_LARGEST = 1.5
_NOISY = 0.8  # correlation below which a channel is made smaller instead
_ENOUGH = 0.05  # of a channel's values, to fit it by those inside the range
_ROWS = 4096  # whose deviations, in float64, fit a processor's cache
_MOST, _MEMORY_BYTES = 128, 256 * 10**6


def correct(
    model: keras.Model,
    ranges: Mapping[str, tuple[float, float]],
    images: Any,
    count: int | None = None,
    float_layers: Collection[str] = (),
) -> keras.Model:
    """A copy of a lowered model whose convolutions make up for its quantisation.

        gain = std(truth) / std(quantised)  # of a channel, over images and places
        kernel *= gain;  bias = mean(truth) + gain * (bias - mean(quantised))

    Both are of the values before a fused activation whose truth lies inside the range of the
    output. Where their correlation is below 0.8 the gain is multiplied with it, which makes it
    that of a regression: noise is silenced. A gain stays within 0 and 1.5, and moves no kernel
    off its int8 grid, since each channel has a scale of its own.

    Args:
        model: A lowered model.
        ranges: Its ranges.
        images: Images as in training, in any form that `calibrate` takes.
        count: How many of them to use, spread evenly. By default 128, or fewer where a tensor of
            so many would take more than 256 MB.
        float_layers: As in `quantize`.
    """
    batch = calibration_images.spread(model, images, count or _affordable(model))
    batch = [keras.ops.convert_to_tensor(values) for values in batch]
    quantized = keras_engine.quantize(model, ranges, float_layers=float_layers)
    names = range_plan.lowered_names(quantized)
    ends = range_plan.complete(range_plan.read_plan(model), ranges)
    ends = {name: pair for name, pair in ends.items() if name not in float_layers}
    teacher = rebuild(model)
    theirs, ours = _without_activations(teacher), _without_activations(quantized)
    steps, truths = trace(teacher).run(batch), {}
    for node, values in trace(quantized).run(batch):
        layer, ref = node.operation, node.outputs[0]
        if layer.name not in ours:
            continue
        name = names[layer.name]
        while name not in truths:  # the two may take branches in another order
            known, found = next(steps)
            truth = found[known.outputs[0]]
            if known.operation.name in theirs:
                truths[known.operation.name] = truth
                found[known.outputs[0]] = theirs[known.operation.name](truth)
        seen, truth = _columns(values[ref]), _columns(truths.pop(name))
        outputs = _fit(layer, seen, truth, values[ref], ends.get(name, (-np.inf, np.inf)))
        values[ref] = ours[layer.name](outputs)
    for name in ours:
        corrected = teacher.get_layer(names[name])
        corrected.set_weights(quantized.get_layer(name).get_weights())
        corrected.activation = theirs[corrected.name]
    return teacher


def _affordable(model):
    shapes = [tensor.shape[1:] for x in model.layers for tensor in keras.tree.flatten(x.output)]
    largest = max(np.prod([size or 1 for size in shape]) for shape in shapes)
    return int(np.clip(_MEMORY_BYTES // (4 * largest), 16, _MOST))


def _fit(layer, seen, truth, outputs, ends):
    """Bring what is seen to the truth, put that into the layer, and return its new outputs."""
    inside = (truth > ends[0]) & (truth < ends[1])
    inside |= inside.mean(axis=0) < _ENOUGH
    count = inside.sum(axis=0)

    mean, wanted = (
        np.einsum("ij,ij->j", values, inside, dtype=np.float64) / count for values in (seen, truth)
    )
    variance, aim, product = _deviations(seen, truth, inside, mean, wanted) / count
    alive = (variance > 1e-12) & (aim > 1e-12)
    variance, aim = np.where(alive, variance, 1), np.where(alive, aim, 1)
    correlation = np.where(alive, product / np.sqrt(variance * aim), 1)
    gain = np.sqrt(aim / variance) * np.where(correlation < _NOISY, correlation, 1)
    gain = np.clip(gain, 0.0, _LARGEST).astype(np.float32)
    kernel, bias = layer.get_weights()
    if isinstance(layer, keras.layers.Conv2DTranspose):
        kernel = kernel * gain[:, None]
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = kernel * gain.reshape(kernel.shape[2:])
    else:
        kernel = kernel * gain
    layer.set_weights([kernel, wanted + gain * (bias - mean)])
    gain, mean, wanted = (keras.ops.cast(v, outputs.dtype) for v in (gain, mean, wanted))
    return (outputs - mean) * gain + wanted


def _deviations(seen, truth, inside, mean, wanted):
    """Sums of squares of both, and of their product, less their means: some rows at a time."""
    sums = np.zeros((3, len(mean)))
    for start in range(0, len(seen), _ROWS):
        rows = slice(start, start + _ROWS)
        a, b = seen[rows] - mean, truth[rows] - wanted
        pairs = (a, a), (b, b), (a, b)
        sums += [np.einsum("ij,ij,ij->j", *pair, inside[rows]) for pair in pairs]
    return sums


def _without_activations(model):
    """Make the model's convolutions linear; return their activations by name."""
    endings = {}
    for layer in model.layers:
        if type(layer).__name__.removeprefix("Quantized") in range_plan.WEIGHTED:
            endings[layer.name] = layer.activation
            layer.activation = keras.activations.linear
    return endings


def _columns(values):
    """One column a channel, in float32."""
    values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")))
    return values.reshape(-1, values.shape[-1])
