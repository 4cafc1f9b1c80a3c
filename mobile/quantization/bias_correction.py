"""Take the mean error of each channel out of the convolutions' biases.

Quantisation shifts the mean of a channel where its inputs are rounded one way, as a nearly
constant channel behind a large kernel is. One walk through the float and the quantised model
side by side sees each shift after those before it were mended.

Source:
    Nagel et al., 2019, arXiv:1906.04721, section 4.2, with means from images.
"""

from __future__ import annotations

import keras
import numpy as np

from keras_se.graph import Ref, trace
from mobile.quantization import keras_engine, scheme


def correct_bias(model, ranges, images, count=64):
    """A copy of a lowered model with biases that make up for its quantisation.

        bias += mean over images and places of (float output - quantised output)

    Convolutions with a fused ReLU stay as they are: their mean says nothing of the shift before.

    Args:
        model: A lowered model with one input.
        ranges: Its ranges.
        images: Images as in training.
        count: How many of them to use, spread evenly.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    batch = keras.ops.convert_to_tensor(np.asarray(images[chosen], np.float32))
    quantized = keras_engine.quantize(model, ranges)
    truths = _run(model, batch)
    for layer, outputs in _run(quantized, batch):
        if hasattr(layer, "on_grid") and scheme.activation_of(layer) == "linear":
            truth = next(values[0] for known, values in truths if known.name == layer.name)
            shift = _mean(truth) - _mean(outputs[0])
            layer.bias.assign_add(shift)
            outputs[0] = outputs[0] + keras.ops.convert_to_tensor(shift, outputs[0].dtype)
    return keras_engine.strip(quantized)[0]


def _run(model, batch):
    """Run a model layer by layer, letting go of what is no longer read.

    Yields each layer and the list of its outputs, in which the caller may replace values.
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
        values.update(zip(node.outputs, outputs, strict=True))
        for ref in node.inputs:
            left[ref] -= 1
            if not left[ref]:
                del values[ref]


def _mean(values):
    values = keras.ops.convert_to_numpy(keras.ops.cast(values, "float32"))
    return values.reshape(-1, values.shape[-1]).mean(axis=0)
