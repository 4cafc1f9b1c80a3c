"""Fit anew the kernels that read what folded gates scaled: closed form, no labels, no steps.

A constant in the place of a gate leaves an error in its block. The 1x1 convolution behind can make
up for a part of it, since it mixes the channels: its kernel is the one whose output is nearest to
that of the network with gates.

Source:
    He, Zhang and Sun, 2017, "Channel pruning for accelerating very deep neural networks",
    arXiv:1707.06168, equation 1 with the channels fixed. The ridge is added here.
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np

from keras_se.graph import trace
from keras_se.layers import ChannelScale

_RIDGE = 0.03  # of the energy of each channel, towards the kernel as it was
_MOST, _BATCH = 256, 16  # images in all, and at a time
_MEMORY_BYTES = 5 * 10**8  # what a tensor of them all that is kept may take
_MOST_ROWS, _ROWS = 40_000, 4096  # positions in all, and at a time


def refit_kernels(model: keras.Model, folded: keras.Model, images: np.ndarray) -> tuple[str, ...]:
    """Bring a folded model nearer to the one that it was made of, in place.

        kernel' = argmin |y kernel' - (t - bias)|^2 + 0.03 sum_c |y_c|^2 |kernel'_c - kernel_c|^2

    y is what a 1x1 convolution or dense layer reads in `folded`, t its output in `model`. Each is
    fitted after those before it. Fitted is every such layer, without an activation, that alone
    reads what a constant gate scales, and is called once. Images pass in batches, which wait at
    each layer until it is fitted: what is kept of all images is what is read there.

    Args:
        model: The model with gates.
        folded: What `keras_se.fold` made of it.
        images: Those that the constants are from, or more; 256 at most are taken, spread evenly.

    Returns:
        The paths of the layers that were fitted, in the model's order.
    """
    graph, theirs = trace(folded), trace(model)
    readers = _readers(graph, {node.path for node in theirs.nodes if _scales(node)})
    known = {node.path for node in theirs.nodes}
    readers = [node for node in graph.nodes if node.path in readers & known]
    if not readers:
        return ()
    chosen = _spread(images, _affordable(readers))
    dtype, batches = model.inputs[0].dtype, []
    for start in range(0, len(chosen), _BATCH):
        images = chosen[start : start + _BATCH]
        batches.append((start, len(images), [keras.ops.convert_to_tensor(images, dtype)]))
    truths = {node.path: [] for node in readers}
    for start, count, batch in batches:
        for node, values in theirs.run(batch):
            if node.path in truths:
                rows = _columns(node.operation, values[node.outputs[0]])
                truths[node.path].append(_thinned(rows, start, count, len(chosen)))
    walks = [(start, count, graph.run(batch)) for start, count, batch in batches]
    for reader in readers:
        layer, seen, waiting = reader.operation, [], []
        for start, count, walk in walks:
            values = next(values for node, values in walk if node is reader)
            rows = _columns(layer, values[reader.inputs[0]], getattr(layer, "strides", ()))
            seen.append(_thinned(rows, start, count, len(chosen)))
            waiting.append(values)
        _fit(layer, np.concatenate(seen), np.concatenate(truths.pop(reader.path)))
        for values in waiting:
            values[reader.outputs[0]] = layer(values[reader.inputs[0]])
    return tuple(node.path for node in readers)


def _scales(node):
    return isinstance(node.operation, ChannelScale)


def _readers(graph, before):
    """Paths of the layers that alone read a constant gate which was not there before."""
    uses, calls = graph.uses(), Counter(id(node.operation) for node in graph.nodes)
    scaled = {
        node.outputs[0]
        for node in graph.nodes
        if _scales(node) and node.path not in before and uses[node.outputs[0]] == 1
    }
    return {
        node.path
        for node in graph.nodes
        if scaled.intersection(node.inputs)
        and calls[id(node.operation)] == 1
        and _mixes_channels(node.operation)
    }


def _mixes_channels(layer):
    """Whether a layer is linear, looks at one position at a time, and is a kernel and a bias."""
    if type(layer) in (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D):
        if set(layer.kernel_size) != {1} or layer.groups != 1:
            return False
    elif type(layer) is not keras.layers.Dense:  # a class of the user's may compute otherwise
        return False
    plain = len(layer.weights) == 1 + layer.use_bias  # neither LoRA nor int8
    return plain and layer.activation is keras.activations.linear and not layer.kernel_constraint


def _affordable(readers):
    """How many images may be used: what the readers read must fit into memory."""
    largest = max(np.prod([size or 1 for size in node.inputs[0].shape[1:]]) for node in readers)
    return int(np.clip(_MEMORY_BYTES // (4 * largest), _BATCH, _MOST))


def _spread(images, count):
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)]


def _thinned(rows, start, count, images):
    """Of the rows of a batch of `count` images those that are used, evenly spread over `images`."""
    positions = len(rows) // count
    every = -(-positions * images // _MOST_ROWS)
    return rows[-start * positions % every :: every].copy()  # a view would keep all rows


def _fit(layer, seen, truth):
    """Give a layer the kernel that makes of the rows `seen` what is nearest to the rows `truth`."""
    kernel, *bias = layer.get_weights()
    flat = kernel.reshape(kernel.shape[-2:]).astype("float64")
    truth = truth - bias[0] if bias else truth
    square, product = np.zeros((seen.shape[1],) * 2), np.zeros(flat.shape)
    for start in range(0, len(seen), _ROWS):
        rows = seen[start : start + _ROWS].astype("float64")
        square += rows.T @ rows
        product += rows.T @ truth[start : start + _ROWS]
    energy = np.diag(square)
    if not energy.any():
        return
    ridge = _RIDGE * np.maximum(energy, 1e-6 * energy.mean())
    flat = np.linalg.solve(square + np.diag(ridge), product + ridge[:, None] * flat)
    layer.set_weights([flat.reshape(kernel.shape), *bias])


def _columns(layer, values, strides=()):
    """One column a channel, one row a position: of those that the layer's strides meet."""
    values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(values, "float32")))
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        values = np.moveaxis(values, 1, -1)
    values = values[(slice(None), *(slice(None, None, stride) for stride in strides))]
    return values.reshape(-1, values.shape[-1])
