"""Blocks built alone, what they should cost, and what reads inside them."""

import inspect

import keras
import numpy as np
import pytest

from keras_se import SEConfig, blocks

# With zero kernels and no bias the gate is sigmoid(0): SE halves whatever it stands on.
HALVING = SEConfig(reduction=4, min_channels=1, use_bias=False)


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def build(function, shape=(6, 6, 8), **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, **options, name="b"))


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def conv_bn_params(kernel, channels, filters, groups=1):
    """Kernel, and BatchNorm's scale and offset."""
    return kernel * kernel * channels // groups * filters + 2 * filters


def randomize(model, seed=1):
    """Random weights and statistics; SE's stay zero, so that it halves."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        norm = isinstance(layer, keras.layers.BatchNormalization)
        low, high = (0.5, 1.5) if norm else (-0.5, 0.5)
        zero = 0 if layer.name.endswith("_se") else 1
        layer.set_weights([zero * rng.uniform(low, high, w.shape) for w in layer.weights])


def twins(function, se, **options):
    """The block with SE, and the same weights without; `tap(x, *names)` reads layers of those."""
    model, plain = build(function, se=se, **options), build(function, **options)
    randomize(model)
    for layer in plain.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())

    def tap(x, *names):
        ends = (plain.get_layer(name).output for name in names)
        return [np.asarray(keras.Model(plain.input, end)(x)) for end in ends]

    def rest(y, start, end):
        return np.asarray(
            keras.Model(plain.get_layer(start).output, plain.get_layer(end).output)(y)
        )

    return model, tap, rest


def relu(x):
    return np.maximum(x, 0)


def close(y, expected):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(y), expected, atol=2e-5, rtol=1e-5)


def names(model):
    return [layer.name for layer in model.layers[1:]]


def assert_refused(block, options, message):
    """The options, beside the least that the block needs, are an error that says `message`."""
    given = {"filters": 8} if "filters" in inspect.signature(block).parameters else {}
    given |= {"skip": None} if block is blocks.unet_decoder else {}
    with pytest.raises((TypeError, ValueError), match=message):
        build(block, **given | options)
