"""Start a network from trained weights, also where its squeeze-and-excitation is another one.

A network with other gates than its weights were trained with computes nonsense at first. So the
gates that the weights do have are run on some images, and what they do on average stands in: as
the bias of the new gates, as a static gate, or, in a network without, in the kernel of the
convolution behind.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_se import weights
from keras_se.graph import trace
from keras_se.layers import (
    ConcurrentSqueezeExcite,
    SpatialSqueezeExcite,
    SqueezeExcite,
    StaticSqueezeExcite,
)
from mobile.pipeline import batch_norms

_SE = (SqueezeExcite, SpatialSqueezeExcite, ConcurrentSqueezeExcite, StaticSqueezeExcite)
_INVERSE = {
    "sigmoid": lambda gate: np.log(gate / (1 - gate)),
    "hard_sigmoid": lambda gate: 6 * gate - 3,  # of relu6(x + 3) / 6
}


def start_from(
    model: keras.Model,
    path: str | Path,
    donor: keras.Model,
    images: np.ndarray,
    source: str | None = None,
) -> tuple[str, ...]:
    """Load weights into `donor`, and give `model` all that the two have in common.

    Args:
        model: The network to start; its layers are named as the donor's.
        path: A weights file that `keras_se.weights.load` reads.
        donor: The same network with the squeeze-and-excitation that the file has.
        images: Training images, some hundred: batch statistics and gates are taken from them.
        source: As in `keras_se.weights.load`.

    Returns:
        Names of the layers that start fresh.
    """
    weights.load(donor, path, transfer=True, source=source)
    batch_norms.recenter_batch_norms(donor, images)
    return inherit(model, donor, images)


def inherit(model: keras.Model, donor: keras.Model, images: np.ndarray) -> tuple[str, ...]:
    """Copy every layer of the same name and shapes, and the average of gates that differ.

    Returns:
        Names of the layers that keep the weights they had.
    """
    given = {layer.name: layer for layer in donor.layers if layer.weights}
    fresh = []
    for layer in model.layers:
        if not layer.weights or isinstance(layer, _SE):
            continue
        if _shapes(layer) == _shapes(given.get(layer.name)):
            layer.set_weights(given[layer.name].get_weights())
        else:
            fresh.append(layer.name)
    own: dict[str, Any] = {layer.name: layer for layer in model.layers}
    for call, behind, gate in _mean_gates(donor, images):
        layer: Any = own.get(call.path)
        if isinstance(layer, _SE) and layer.get_config() == call.operation.get_config():
            layer.set_weights(call.operation.get_weights())
        elif isinstance(layer, SqueezeExcite) and layer.gate in _INVERSE and layer.use_bias:
            kernel, _ = layer.expand.get_weights()
            bias = _INVERSE[layer.gate](np.clip(gate, 0.02, 0.98))
            layer.expand.set_weights([0 * kernel, bias])
        elif isinstance(layer, StaticSqueezeExcite):
            layer.set_constant_gate(gate)
        elif layer is None and behind in own:
            kernel, *rest = own[behind].get_weights()
            own[behind].set_weights([kernel * gate[:, None], *rest])  # (..., inputs, outputs)
        else:
            fresh.append(call.path)
    return tuple(fresh)


def _shapes(layer):
    return None if layer is None else [tuple(w.shape) for w in layer.weights]


def _mean_gates(donor, images, batch=32):
    """List each SE call, the convolution that reads it, and its best constant gate by channel.

    The constant that comes closest to the gate on the images: sum(x * y) / sum(x * x).
    """
    calls = trace(donor).nodes
    gated = [call for call in calls if isinstance(call.operation, _SE)]
    if not gated:
        return []
    readers = {id(t): call.path for call in calls for t in call.inputs}
    tensors = [t for call in gated for t in (call.operation.input, call.operation.output)]
    probe = keras.Model(donor.inputs, tensors)
    sums = [np.zeros((2, call.operation.output.shape[-1])) for call in gated]
    for start in range(0, len(images), batch):
        values = probe.predict_on_batch(np.asarray(images[start : start + batch], np.float32))
        for total, x, y in zip(sums, values[::2], values[1::2], strict=True):
            total += [np.sum(x * y, axis=(0, 1, 2)), np.sum(x * x, axis=(0, 1, 2))]
    gates = [total[0] / np.maximum(total[1], 1e-12) for total in sums]
    return [
        (call, readers.get(id(call.outputs[0])), gate)
        for call, gate in zip(gated, gates, strict=True)
    ]
