"""The formulas of the papers in NumPy, and what else the tests of layers share."""

import keras
import numpy as np
from hypothesis import strategies as st

KINDS = ("cse", "sse", "scse", "static")
GATES = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}
ACTIVATIONS = {"relu": GATES["relu"], "silu": lambda x: x * GATES["sigmoid"](x)}

shapes = st.tuples(
    st.integers(1, 3),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 40),
).map(lambda parts: (parts[0], *parts[1], parts[2]))  # sequences, images, volumes


def channel_gate(x, weights, pool="avg", activation="relu", gate="sigmoid"):
    """Hu et al., equations 2 and 3, on (batch, ..., channels) in float64."""
    (k1, b1), (k2, b2) = weights
    axes = tuple(range(1, x.ndim - 1))
    squeezed = {
        "avg": lambda: x.mean(axes, keepdims=True),
        "max": lambda: x.max(axes, keepdims=True),
        "avg+max": lambda: (x.mean(axes, keepdims=True) + x.max(axes, keepdims=True)) / 2,
        None: lambda: x,
    }[pool]()
    return GATES[gate](ACTIVATIONS[activation](squeezed @ k1 + b1) @ k2 + b2)


def spatial_gate(x, weights, gate="sigmoid"):
    """Roy et al., section 2.2: one map."""
    ((kernel, bias),) = weights
    return GATES[gate](x @ kernel + bias)


def randomize(layer, rng):
    """Set random weights and return them as float64 (kernel, bias) pairs, kernels as matrices."""
    layer.set_weights([rng.normal(0, 0.7, w.shape) for w in layer.weights])
    weights = [w.astype("float64") for w in layer.get_weights()]
    pairs = list(zip(weights[::2], weights[1::2], strict=True)) if layer.use_bias else None
    pairs = pairs or [(w, 0.0) for w in weights]
    return [(kernel.reshape(kernel.shape[-2:]), bias) for kernel, bias in pairs]


def assert_close(y, expected, tolerance=1e-5):
    y = keras.ops.convert_to_numpy(y)
    assert y.shape == expected.shape
    assert np.max(np.abs(y - expected)) <= tolerance * max(1, np.max(np.abs(expected)))


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def model_of(layer, shape=(None, None, 16)):
    return keras.Sequential([keras.Input(shape), layer])
