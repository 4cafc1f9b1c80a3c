"""The layers that only lowered models have."""

import json

import keras
import numpy as np
import pytest

from mobile.lowering import layers as own

X = np.arange(16.0, dtype="float32").reshape(1, 2, 2, 4)


def test_own_layers_compute_what_they_say():
    np.testing.assert_array_equal(np.asarray(own.Shift(3.0)(X)), X + 3)
    np.testing.assert_array_equal(np.asarray(own.Mean((1, 2))(X))[0, 0, 0], [6, 7, 8, 9])
    np.testing.assert_array_equal(
        np.asarray(own.Slice([0, 1, 2], [None, 2, 3])(X)), X[:, :, 1:2, 2:3]
    )
    np.testing.assert_array_equal(
        np.asarray(own.DepthToSpace(2)(X))[0, :2, :, 0], [[0, 1, 4, 5], [2, 3, 6, 7]]
    )
    np.testing.assert_array_equal(
        np.asarray(own.ScaleMap([[1.0, 2.0], [3.0, 4.0]])(X))[0, 1, 1], X[0, 1, 1] * 4
    )


def test_approximate_gelu_is_the_formula_by_the_tangent():
    x = np.linspace(-4, 4, 41, dtype="float32").reshape(1, -1)
    expected = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(own.ApproximateGelu()(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (own.Shift(-1.5), (2, 2, 4)),
        (own.ScaleMap([[1.0, 2.0], [3.0, 4.0]]), (2, 2, 4)),
        (own.Mean([1, 2]), (1, 1, 4)),
        (own.Slice([0, 1, 0], [None, None, 3]), (2, 1, 3)),
        (own.DepthToSpace(2), (4, 4, 1)),
        (own.ApproximateGelu(), (2, 2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_own_layers_go_through_json_and_tell_their_shape(layer, shape):
    told = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(told)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(X), layer(X))
    assert layer(keras.Input((2, 2, 4))).shape == (None, *shape)
    assert layer(X).shape == (1, *shape)
