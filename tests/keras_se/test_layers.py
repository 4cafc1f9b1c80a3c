"""The layers compute what papers write: formulas in NumPy, other people's layers, tutorials."""

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_se
from keras_se import ConcurrentSqueezeExcite, SEConfig, SpatialSqueezeExcite, SqueezeExcite

GATES = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}
ACTIVATIONS = {"relu": GATES["relu"], "silu": lambda x: x * GATES["sigmoid"](x)}


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


shapes = st.tuples(
    st.integers(1, 3),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 40),
).map(lambda parts: (parts[0], *parts[1], parts[2]))  # sequences, images, volumes


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


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=shapes, gate=st.sampled_from(list(GATES)), use_bias=st.booleans())
def test_sse_is_the_formula(shape, gate, use_bias):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 2, shape).astype("float32")
    layer = SpatialSqueezeExcite(gate=gate, use_bias=use_bias)
    layer.build(shape)
    weights, x64 = randomize(layer, rng), x.astype("float64")
    assert_close(layer(x), x64 * spatial_gate(x64, weights, gate))


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


@pytest.mark.parametrize("kind", ["cse", "sse", "scse", "static"])
@pytest.mark.parametrize(
    "shape",
    # Squeezed to 4 of 16 channels: no size tells these from the positions, nor the axes apart.
    [(2, 16, 9), (2, 16, 5, 6), (2, 16, 3, 4, 5), (2, 16, 4, 4), (2, 16, 16, 16)],
)
@pytest.mark.parametrize("pool", ["avg", None])
def test_channels_first_is_channels_last_transposed(kind, shape, pool):
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype("float32")
    config = SEConfig(kind, reduction=4, min_channels=1, pool=pool, aggregate="concat")
    first, last = (config.layer(data_format=f"channels_{end}") for end in ("first", "last"))
    first.build(shape)
    first.set_weights([rng.normal(0, 0.7, w.shape) for w in first.weights])
    last.build(np.moveaxis(x, 1, -1).shape)
    last.set_weights(first.get_weights())
    expected = keras.ops.convert_to_numpy(last(np.moveaxis(x, 1, -1)))
    assert_close(first(x), np.moveaxis(expected, -1, 1))
    assert first.compute_output_shape(shape)[1] == expected.shape[-1]


@pytest.mark.parametrize(
    ("gate", "factor"), [("sigmoid", 0.5), ("hard_sigmoid", 0.5), ("tanh", 0), ("relu", 0)]
)
@pytest.mark.parametrize("kind", ["cse", "sse", "static"])
def test_gate_of_zero_weights_is_the_gate_of_zero(kind, gate, factor):
    x = np.random.default_rng(4).normal(size=(2, 5, 5, 16)).astype("float32")
    layer = SEConfig(kind, gate=gate).layer(kernel_initializer="zeros")
    np.testing.assert_array_equal(layer(x), factor * x)


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
    assert count(SpatialSqueezeExcite(), 64) == 64 + 1
    assert count(SpatialSqueezeExcite(use_bias=False), 64) == 64
    assert count(ConcurrentSqueezeExcite(2), 64) == (64 * 32 + 32) + (32 * 64 + 64) + (64 + 1)


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


def test_sublayers_with_kernels_of_equal_shape_start_different():
    initializer = keras.initializers.HeNormal()
    layer = SqueezeExcite(1, kernel_initializer=initializer)
    layer.build((None, 4, 4, 16))
    reduce, expand = layer.get_weights()[::2]
    assert reduce.shape == expand.shape
    assert np.any(reduce != expand)
