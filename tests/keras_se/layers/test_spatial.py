"""sSE is the formula of its paper."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_se import SpatialSqueezeExcite
from tests.keras_se.layers.formulas import GATES, assert_close, randomize, shapes, spatial_gate


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=shapes, gate=st.sampled_from(list(GATES)), use_bias=st.booleans())
def test_sse_is_the_formula(shape, gate, use_bias):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 2, shape).astype("float32")
    layer = SpatialSqueezeExcite(gate=gate, use_bias=use_bias)
    layer.build(shape)
    weights, x64 = randomize(layer, rng), x.astype("float64")
    assert_close(layer(x), x64 * spatial_gate(x64, weights, gate))


@pytest.mark.parametrize(("use_bias", "params"), [(True, 64 + 1), (False, 64)])
def test_parameters_are_a_weight_a_channel_and_the_bias(use_bias, params):
    layer = SpatialSqueezeExcite(use_bias=use_bias)
    layer.build((None, None, None, 64))
    assert layer.count_params() == params


def test_a_position_that_one_channel_marks_is_kept_and_the_others_halved():
    layer = SpatialSqueezeExcite(kernel_initializer="zeros", use_bias=False)
    layer.build((None, 2, 2, 3))
    layer.reduce.kernel.assign(np.reshape([100.0, 0, 0], (1, 1, 3, 1)))
    x = np.ones((1, 2, 2, 3), "float32")
    x[..., 0] = [[1, 0], [0, 1]]  # sigmoid(100) = 1, sigmoid(0) = 1/2
    expected = x * np.array([[1, 0.5], [0.5, 1]])[..., None]
    np.testing.assert_array_equal(layer(x), expected)
