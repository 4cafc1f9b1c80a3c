"""What the walk knows of a tensor, by arithmetic on 1x1 convolutions."""

import keras
import numpy as np
import pytest

from mobile.lowering.values import Concat, Linear, Pad, Value

L = keras.layers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 4))  # five pixels of four channels

# Each kind's kernel, as its layer stores it, and what it computes of a pixel.
KINDS = {
    "Conv2D": (L.Conv2D, (1, 1, 4, 6), lambda k: X @ k[0, 0]),
    "Conv2DTranspose": (L.Conv2DTranspose, (1, 1, 6, 4), lambda k: X @ k[0, 0].T),
    "DepthwiseConv2D": (
        L.DepthwiseConv2D,
        (1, 1, 4, 2),
        lambda k: (X[:, :, None] * k[0, 0]).reshape(5, 8),
    ),
}


@pytest.mark.parametrize("by_channel", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scaled_convolution_gives_its_outputs_times_the_gain_plus_the_offset(kind, by_channel):
    layer, shape, outputs = KINDS[kind]
    kernel = RANDOM.normal(size=shape)
    filters = outputs(kernel).shape[1]
    bias = RANDOM.normal(size=filters)
    gain, offset = RANDOM.normal(size=(2, filters)) if by_channel else (-2.5, 0.75)
    linear = Linear(layer, None, kernel, bias, "conv", {})
    scaled = linear.scaled(gain, offset)
    expected = (outputs(kernel) + bias) * gain + offset
    np.testing.assert_allclose(outputs(scaled.kernel) + scaled.bias, expected)
    np.testing.assert_array_equal(linear.kernel, kernel)


@pytest.mark.parametrize(
    ("scale", "commutes"),
    [(2.0, True), (0.0, True), (-1.0, False), ([1.0, 0.0], True), ([1.0, -1.0], False)],
)
def test_only_a_scale_without_negatives_commutes_with_a_relu(scale, commutes):
    x = np.array([-3.0, 5.0])
    after, before = np.maximum(x, 0) * scale, np.maximum(x * scale, 0)
    assert commutes == np.array_equal(after, before)
    assert Value(scale=np.asarray(scale)).commutes == commutes


def test_what_waits_may_be_changed_only_while_nothing_else_reads_it():
    pad = Pad(None, ((1, 1), (1, 1)), "pad")
    assert Value(pending=pad).waiting(Pad) is pad
    assert Value(pending=pad).waiting(Concat) is None
    assert Value(pending=pad, single=False).waiting(Pad) is None
    assert Value(keras.Input((4,)), pending=pad).waiting(Pad) is None  # it is emitted


@pytest.mark.parametrize(("activation", "is_open"), [(None, True), ("relu", False)])
def test_a_convolution_is_open_until_it_has_an_activation(activation, is_open):
    linear = Linear(L.Conv2D, None, np.ones((1, 1, 1, 1)), np.ones(1), "conv", {}, activation)
    assert (Value(pending=linear).open is linear) == is_open
    assert Value(pending=linear, single=False).open is None
