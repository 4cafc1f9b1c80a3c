"""One block of a network as a model of its own, to be converted and timed alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import keras
import numpy as np

from keras_se.graph import Ref, trace
from keras_se.models import Place
from mobile.lowering import lower

_ENDS = 8  # channels before and behind the convolutions around a block


def isolate(model: keras.Model, place: Place, summed: bool) -> keras.Model:
    """Return the block of a network between two 1x1 convolutions.

    What the block owes to its readers, such as the 1/6 of a hard sigmoid gate, so goes where it
    goes in the network.

    Args:
        model: A network of `keras_se.models`; the copy shares its layers.
        place: The block, as `keras_se.models.places` lists it.
        summed: Whether the next block has a shortcut: a sum with another convolution then comes
            before the last one.
    """
    entering, leaving = _ends(model, place)
    images = [
        keras.Input((*x.shape[1:-1], _ENDS), name=f"image_{i}") for i, x in enumerate(entering)
    ]
    before = [
        keras.layers.Conv2D(x.shape[-1], 1, name=f"before_{i}")(image)
        for i, (x, image) in enumerate(zip(entering, images, strict=True))
    ]
    y = keras.Model(entering, leaving)(before)
    if summed:
        next_ = keras.layers.Conv2D(y.shape[-1], 1, name="next")(y)
        y = keras.layers.Add(name="next_add")([y, next_])
    return keras.Model(images, keras.layers.Conv2D(_ENDS, 1, name="behind")(y))


def is_summed(network: keras.Model, place: Place) -> bool:
    """Tell whether a shortcut takes a block's output to a sum, in the network without SE."""
    _, leaving = _ends(network, place)
    sums = [layer for layer in network.layers if isinstance(layer, keras.layers.Add)]
    return any(x is leaving for layer in sums for x in keras.tree.flatten(layer.input))


def _ends(model, place):
    """Return the tensors that a block reads, and the one that it makes."""
    prefix = place.layer.removesuffix("se")
    layers = [layer for layer in model.layers if layer.name.startswith(prefix)]
    made = {id(x) for layer in layers for x in keras.tree.flatten(layer.output)}
    read: dict[int, Any] = {id(x): x for layer in layers for x in keras.tree.flatten(layer.input)}
    entering = [x for x in read.values() if id(x) not in made]
    (leaving,) = (layer.output for layer in layers if id(layer.output) not in read)
    return entering, leaving


def inputs_for(model: keras.Model, count: int = 16) -> list[np.ndarray]:
    """Return noise of mean 0 and deviation 1 for each input, as BatchNorm leaves its outputs."""
    random = np.random.default_rng(0)
    return [random.normal(0, 1, (count, *x.shape[1:])).astype("float32") for x in model.inputs]


def structure(model: keras.Model) -> str:
    """Return a fingerprint of layers, settings and shapes: equal ones take equal time.

    Names do not count, nor do weights.
    """
    graph = trace(model)
    numbers = {ref: i for i, ref in enumerate(graph.inputs)}

    def told(x):
        return f"tensor {numbers[x]}" if isinstance(x, Ref) else repr(x)

    said: list[Any] = [[ref.shape for ref in graph.inputs]]
    for node in graph.nodes:
        numbers |= {ref: len(numbers) + i for i, ref in enumerate(node.outputs)}
        given = keras.tree.map_structure(told, (node.args, node.kwargs))
        config = _nameless(node.operation.get_config())
        said.append([type(node.operation).__name__, config, given])
    text = json.dumps(said, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def _nameless(config):
    """Return a layer's settings without those that change no time."""
    if isinstance(config, dict):
        left = {k: v for k, v in config.items() if k not in ("name", "trainable")}
        return {k: _nameless(v) for k, v in left.items() if "initializer" not in k}
    return [_nameless(v) for v in config] if isinstance(config, list | tuple) else config


def operations(model: keras.Model, target: str) -> Counter[tuple]:
    """Count what is computed once the model is lowered: kinds of layers and their shapes."""
    layers = lower(model, target).layers
    return Counter((type(x).__name__, str(getattr(x.output, "shape", ""))) for x in layers)
