"""Small models for the tests of lowering, and what holds for each."""

from collections import Counter

import keras
import numpy as np

from mobile.lowering import lower

L = keras.layers
ops = keras.ops


def conv(x, filters=6, size=1, **kwargs):
    kwargs.setdefault("bias_initializer", "random_normal")
    return L.Conv2D(filters, size, **kwargs)(x)


def batch_norm(x, **kwargs):
    normal = keras.initializers.RandomNormal(0.3, 1.0, seed=1)
    positive = keras.initializers.RandomUniform(0.5, 2.0, seed=2)
    return L.BatchNormalization(
        beta_initializer=normal,
        gamma_initializer=normal,
        moving_mean_initializer=normal,
        moving_variance_initializer=positive,
        **kwargs,
    )(x)


def model_of(body, shape=(12, 12, 4)):
    x = keras.Input(shape, name="image")
    return keras.Model(x, body(x))


def assert_equal(model, target="xnnpack", seed=0, tolerance=1e-5):
    """The largest difference, relative to the largest output; the model is left as it was."""
    before = model.to_json(), [w.copy() for w in model.get_weights()]
    lowered = lower(model, target)
    rng = np.random.default_rng(seed)
    x = [rng.normal(0, 2, (3, *i.shape[1:])).astype("float32") for i in model.inputs]
    expected = keras.tree.flatten(model(x if len(x) > 1 else x[0], training=False))
    actual = keras.tree.flatten(lowered(x if len(x) > 1 else x[0], training=False))
    for a, b in zip(expected, actual, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(a).max())
    assert model.to_json() == before[0]
    for a, b in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(a, b)
    return lowered


def kinds(model):
    return dict(Counter(type(layer).__name__ for layer in model.layers if layer.name != "image"))


def squeeze_excite(x, gate="hard_sigmoid", keepdims=True):
    s = L.GlobalAveragePooling2D(keepdims=keepdims)(x)
    if not keepdims:
        s = L.Reshape((1, 1, x.shape[-1]))(s)
    s = conv(s, 2, activation="relu")
    return L.Multiply()([x, conv(s, x.shape[-1], activation=gate)])
