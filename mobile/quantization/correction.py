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

import keras
import numpy as np

from keras_se.graph import Ref, trace
from keras_se.rebuild import rebuild
from mobile.quantization import keras_engine, range_plan

_LARGEST = 1.5
_NOISY = 0.8  # correlation below which a channel is made smaller instead
_ENOUGH = 0.05  # of a channel's values, to fit it by those inside the range
_MOST, _MEMORY_BYTES = 128, 256 * 10**6


def correct(model, ranges, images, count=None, float_layers=()):
    """A copy of a lowered model whose convolutions make up for its quantisation.

        gain = std(truth) / std(quantised)  # of a channel, over images and places
        kernel *= gain;  bias = mean(truth) + gain * (bias - mean(quantised))

    Both are of the values before a fused activation whose truth lies inside the range of the
    output. Where their correlation is below 0.8 the gain is multiplied with it, which makes it
    that of a regression: noise is silenced. A gain stays within 0 and 1.5, and moves no kernel
    off its int8 grid, since each channel has a scale of its own.

    Args:
        model: A lowered model with one input.
        ranges: Its ranges.
        images: Images as in training.
        count: How many of them to use, spread evenly. By default 128, or fewer where a tensor of
            so many would take more than 256 MB.
        float_layers: As in `quantize`.
    """
    count = min(count or _affordable(model), len(images))
    chosen = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
    batch = keras.ops.convert_to_tensor(np.asarray(images[chosen], np.float32))
    quantized = keras_engine.quantize(model, ranges, float_layers=float_layers)
    ends = range_plan.complete(range_plan.read_plan(model), ranges)
    ends = {name: pair for name, pair in ends.items() if name not in float_layers}
    teacher = rebuild(model)
    endings = _without_activations(quantized)
    _without_activations(teacher)
    steps, truths = _run(teacher, batch, endings), {}
    for layer, outputs in _run(quantized, batch, endings):
        if layer.name not in endings:
            continue
        while layer.name not in truths:  # the two may take branches in another order
            known, values = next(steps)
            truths |= {known.name: values[0]} if known.name in endings else {}
        truth = truths.pop(layer.name)
        inside = ends.get(layer.name, (-np.inf, np.inf))
        outputs[0] = _fit(layer, _columns(outputs[0]), _columns(truth), outputs[0], inside)
    for name, activation in endings.items():
        quantized.get_layer(name).activation = activation
    return keras_engine.strip(quantized)[0]


def _affordable(model):
    shapes = [tensor.shape[1:] for x in model.layers for tensor in keras.tree.flatten(x.output)]
    largest = max(np.prod([size or 1 for size in shape]) for shape in shapes)
    return int(np.clip(_MEMORY_BYTES // (4 * largest), 16, _MOST))


def _fit(layer, seen, truth, outputs, ends):
    """Bring what is seen to the truth, put that into the layer, and return its new outputs."""
    inside = (truth > ends[0]) & (truth < ends[1])
    inside |= inside.mean(axis=0) < _ENOUGH
    count = inside.sum(axis=0)

    def average(values):
        return (values * inside).sum(axis=0, dtype=np.float64) / count

    mean, wanted = average(seen), average(truth)
    seen, truth = seen - mean, truth - wanted
    variance, aim = average(np.square(seen)), average(np.square(truth))
    alive = (variance > 1e-12) & (aim > 1e-12)
    variance, aim = np.where(alive, variance, 1), np.where(alive, aim, 1)
    correlation = np.where(alive, average(seen * truth) / np.sqrt(variance * aim), 1)
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


def _without_activations(model):
    """Make the model's convolutions linear; return their activations by name."""
    endings = {}
    for layer in model.layers:
        if type(layer).__name__.removeprefix("Quantized") in range_plan.WEIGHTED:
            endings[layer.name] = layer.activation
            layer.activation = keras.activations.linear
    return endings


def _run(model, batch, endings):
    """Run a model layer by layer, letting go of what is no longer read.

    Yields each layer and the list of its outputs, in which the caller may replace values; what
    `endings` names for a layer is applied to them then.
    """
    graph = trace(model)
    left = graph.uses()
    values = {graph.inputs[0]: batch}

    def value(thing):
        return values[thing] if isinstance(thing, Ref) else thing

    for node in graph.nodes:
        args, kwargs = keras.tree.map_structure(value, (node.args, node.kwargs))
        outputs = keras.tree.flatten(node.operation(*args, **kwargs))
        yield node.operation, outputs
        if node.operation.name in endings:
            outputs[0] = endings[node.operation.name](outputs[0])
        values.update(zip(node.outputs, outputs, strict=True))
        for ref in node.inputs:
            left[ref] -= 1
            if not left[ref]:
                del values[ref]


def _columns(values):
    """One column a channel, in float32."""
    values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
    return values.reshape(-1, values.shape[-1])
