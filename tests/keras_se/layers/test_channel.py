"""cSE is the formula of its paper, and its presets what others compute."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_se
from keras_se import SEConfig, SqueezeExcite
from tests.keras_se.layers.formulas import (
    ACTIVATIONS,
    GATES,
    assert_close,
    channel_gate,
    randomize,
    shapes,
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    shape=shapes,
    reduction=st.one_of(st.integers(1, 50), st.just(2.5)),
    least=st.integers(1, 8),
    pool=st.sampled_from(["avg", "max", "avg+max", None]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    gate=st.sampled_from(list(GATES)),
    use_bias=st.booleans(),
)
def test_cse_is_the_formula(shape, reduction, least, pool, activation, gate, use_bias):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, shape).astype("float32")
    layer = SqueezeExcite(
        reduction,
        min_channels=least,
        pool=pool,
        activation=activation,
        gate=gate,
        use_bias=use_bias,
    )
    layer.build(shape)
    weights = randomize(layer, rng)
    x64 = x.astype("float64")
    assert_close(layer(x), x64 * channel_gate(x64, weights, pool, activation, gate))


def test_hard_sigmoid_is_relu6_over_6_and_reaches_both_ends():
    # tf_keras's clip(0.2 x + 0.5) would give 0.7 at 1, where relu6(4) / 6 is 0.6667.
    layer = SqueezeExcite(1, gate="hard_sigmoid", kernel_initializer="zeros")
    layer.build((1, 1, 1, 4))
    bias = np.array([-3.0, 0.0, 1.0, 3.0])
    layer.expand.bias.assign(bias)
    assert_close(layer(np.ones((1, 1, 1, 4), "float32")), np.array([[[[0, 0.5, 2 / 3, 1]]]]))


def test_parameters_are_those_of_arithmetic():
    # channels * width + width, width * channels + channels.
    def count(layer, channels):
        layer.build((None, None, None, channels))
        return layer.count_params()

    assert count(SqueezeExcite(4), 64) == (64 * 16 + 16) + (16 * 64 + 64)
    assert count(SqueezeExcite(), 64) == (64 * 8 + 8) + (8 * 64 + 64)
    assert count(keras_se.MOBILE.layer(), 480) == (480 * 16 + 16) + (16 * 480 + 480)


def test_tutorial_module_of_64_channels_reduction_3_max_pooling():
    layer = SEConfig(reduction=3, pool="max").layer()
    layer.build((None, 32, 32, 64))
    counts = [sub.count_params() for sub in (layer.reduce, layer.expand)]
    assert counts == [64 * 21 + 21, 21 * 64 + 64] == [1365, 1408]
    assert layer.count_params() == 2773


@pytest.mark.parametrize("reduction", [2, 4, 8, 16])
@pytest.mark.parametrize("channels", [64, 256])
def test_cse_without_bias_has_twice_channels_times_width(channels, reduction):
    layer = SEConfig(reduction=reduction, min_channels=1, use_bias=False).layer()
    layer.build((None, None, None, channels))
    assert layer.count_params() == 2 * channels * (channels // reduction)


def test_paper_adds_its_parameters_stage_by_stage():
    # 2 * N * C * C / 16 for the stages of ResNet-50: arXiv:1709.01507, equation 5.
    added = []
    for blocks, channels in ((3, 256), (4, 512), (6, 1024), (3, 2048)):
        layer = keras_se.PAPER.layer()
        layer.build((None, 7, 7, channels))
        added.append(blocks * layer.count_params())
    assert added == [24576, 131072, 786432, 1572864]


def _middle(model, first, last):
    return keras.Model(model.get_layer(first).input, model.get_layer(last).output)


def test_preset_equals_the_block_inside_keras_applications_mobilenet_v3():
    real = keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=2)
    prefix = "expanded_conv_4_squeeze_excite_"
    block = _middle(real, f"{prefix}avg_pool", f"{prefix}mul")
    _assert_equal_blocks(block, keras_se.MOBILENET_V3.layer())


def test_preset_equals_the_block_inside_keras_applications_efficientnet():
    real = keras.applications.EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=2)
    block = _middle(real, "block2b_se_squeeze", "block2b_se_excite")
    _assert_equal_blocks(block, keras_se.EFFICIENTNET.for_expansion(6).layer())


def _assert_equal_blocks(block, layer):
    rng = np.random.default_rng(5)
    x = rng.normal(0, 3, (2, *block.input.shape[1:])).astype("float32")
    layer.build(x.shape)
    assert [w.shape for w in layer.weights] == [w.shape for w in block.weights]
    randomize(layer, rng)
    block.set_weights(layer.get_weights())
    assert_close(layer(x), keras.ops.convert_to_numpy(block(x)), 1e-6)


def test_preset_equals_the_formula_of_timm():
    # timm/layers/squeeze_excite.py: x * gate(fc2(act(fc1(mean)))), with add_maxpool the squeeze
    # 0.5 * mean + 0.5 * amax; 144 channels at 1/16 give make_divisible(9, 8) = 8.
    for pool in ("avg", "avg+max"):
        rng = np.random.default_rng(6)
        x = rng.normal(size=(2, 6, 5, 144))
        layer = dataclasses.replace(keras_se.TIMM, pool=pool).layer()
        layer.build(x.shape)
        (w1, b1), (w2, b2) = randomize(layer, rng)
        assert w1.shape == (144, 8)
        squeezed = x.mean((1, 2))
        if pool == "avg+max":
            squeezed = 0.5 * squeezed + 0.5 * x.max((1, 2))
        gate = GATES["sigmoid"](np.maximum(squeezed @ w1 + b1, 0) @ w2 + b2)
        assert_close(layer(x.astype("float32")), x * gate[:, None, None])


def test_preset_equals_the_formula_of_torchvision():
    # torchvision/ops/misc.py, SqueezeExcitation: scale_activation(fc2(activation(fc1(avgpool)))).
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 6, 5, 32))
    layer = keras_se.TORCHVISION.layer()
    layer.build(x.shape)
    (w1, b1), (w2, b2) = randomize(layer, rng)
    scale = GATES["sigmoid"](np.maximum(x.mean((1, 2)) @ w1 + b1, 0) @ w2 + b2)
    assert_close(layer(x.astype("float32")), scale[:, None, None] * x)


@pytest.mark.parametrize("pool", ["avg", "max", "avg+max"])
@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_large_activations_do_not_overflow_in_half_precision(pool, dtype):
    # 224 * 224 * 1,000 is far above float16's 65,504. By hand: the squeeze is 1,000; reduced by
    # 64 kernels of 1 / 64,000 it is 1; expanded by 8 kernels of 1 / 8 it is 1; y = x * sigmoid(1).
    layer = SqueezeExcite(16, pool=pool, dtype=dtype)
    layer.build((None, 224, 224, 64))
    kernels = [np.full((1, 1, 64, 8), 1 / 64000), np.full((1, 1, 8, 64), 1 / 8)]
    layer.set_weights([kernels[0], np.zeros(8), kernels[1], np.zeros(64)])
    y = layer(np.full((1, 224, 224, 64), 1000, "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
    tolerance = 2e-2 if "bfloat16" in dtype else 2e-3
    expected = 1000 / (1 + np.exp(-1))
    np.testing.assert_allclose(np.asarray(y, "float32"), expected, rtol=tolerance)
