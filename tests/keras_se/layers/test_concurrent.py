"""scSE is both formulas, joined."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_se
from keras_se import ConcurrentSqueezeExcite
from tests.keras_se.layers.formulas import (
    GATES,
    assert_close,
    channel_gate,
    randomize,
    shapes,
    spatial_gate,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=shapes,
    aggregate=st.sampled_from(["add", "max", "mul", "concat"]),
    pool=st.sampled_from(["avg", "max", "avg+max", None]),
    gate=st.sampled_from(list(GATES)),
    use_bias=st.booleans(),
)
def test_scse_is_both_formulas_joined(shape, aggregate, pool, gate, use_bias):
    rng = np.random.default_rng(2)
    x = rng.normal(0, 2, shape).astype("float32")
    layer = ConcurrentSqueezeExcite(
        2, min_channels=1, pool=pool, gate=gate, use_bias=use_bias, aggregate=aggregate
    )
    assert layer.compute_output_shape(shape)[-1] == shape[-1] * (1 + (aggregate == "concat"))
    layer.build(shape)
    weights, x64 = randomize(layer, rng), x.astype("float64")
    channel = x64 * channel_gate(x64, weights[:2], pool, gate=gate)
    spatial = x64 * spatial_gate(x64, weights[2:], gate)
    expected = {
        "add": channel + spatial,
        "max": np.maximum(channel, spatial),
        "mul": channel * spatial,
        "concat": np.concatenate([channel, spatial], -1),
    }[aggregate]
    assert_close(layer(x), expected)


def test_parameters_are_those_of_both_branches():
    layer = ConcurrentSqueezeExcite(2)
    layer.build((None, None, None, 64))
    assert layer.count_params() == (64 * 32 + 32) + (32 * 64 + 64) + (64 + 1)


def test_preset_equals_the_formula_of_segmentation_models():
    # segmentation_models_pytorch/base/modules.py, SCSEModule: x * cSE(x) + x * sSE(x), biased.
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2, 6, 5, 64))
    layer = keras_se.SEGMENTATION_MODELS.layer()
    layer.build(x.shape)
    (w1, b1), (w2, b2), (ws, bs) = randomize(layer, rng)
    assert w1.shape == (64, 4)
    channel = GATES["sigmoid"](np.maximum(x.mean((1, 2)) @ w1 + b1, 0) @ w2 + b2)[:, None, None]
    spatial = GATES["sigmoid"](np.einsum("bhwc,cd->bhwd", x, ws) + bs)
    assert_close(layer(x.astype("float32")), x * channel + x * spatial)


def test_sublayers_have_stable_names():
    layer = ConcurrentSqueezeExcite(name="se")
    layer.build((None, 8, 8, 16))
    assert [weight.path for weight in layer.weights] == [
        "se/channel/reduce/kernel",
        "se/channel/reduce/bias",
        "se/channel/expand/kernel",
        "se/channel/expand/bias",
        "se/spatial/reduce/kernel",
        "se/spatial/reduce/bias",
    ]
