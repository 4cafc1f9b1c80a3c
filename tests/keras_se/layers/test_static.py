"""Static SE: formulas in NumPy, gates that are set, what starts alive."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_se import SEConfig, SqueezeExcite, StaticSqueezeExcite
from tests.keras_se.layers.formulas import ACTIVATIONS, GATES, shapes


def built(layer, channels=16):
    layer.build((None, 4, 5, channels))
    return layer


def random_weights(layer, seed=0):
    """Random weights, as float64: the constant, then kernels as matrices with their biases."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0, 0.7, w.shape) for w in layer.weights])
    convs = []
    for conv in (layer.reduce, layer.expand):
        kernel, *bias = (w.astype("float64") for w in conv.get_weights())
        convs.append((kernel.reshape(kernel.shape[-2:]), bias[0] if bias else 0.0))
    return np.asarray(layer.constant, "float64"), *convs


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=shapes,
    reduction=st.integers(1, 50),
    activation=st.sampled_from(list(ACTIVATIONS)),
    gate=st.sampled_from(list(GATES)),
    use_bias=st.booleans(),
)
def test_static_is_the_formula(shape, reduction, activation, gate, use_bias):
    # arXiv:2304.06345: the gate of a learned vector, the same for every image.
    x = np.random.default_rng(1).normal(0, 2, shape).astype("float32")
    layer = StaticSqueezeExcite(
        reduction, min_channels=1, activation=activation, gate=gate, use_bias=use_bias
    )
    layer.build(shape)
    constant, (k1, b1), (k2, b2) = random_weights(layer)
    expected = GATES[gate](ACTIVATIONS[activation](constant @ k1 + b1) @ k2 + b2)
    np.testing.assert_allclose(layer.constant_gate(), expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(layer(x), x * expected, atol=1e-4, rtol=1e-5)


def test_the_gate_is_that_of_a_dynamic_layer_whose_mean_is_the_constant():
    static, dynamic = built(StaticSqueezeExcite(4)), built(SqueezeExcite(4))
    random_weights(static)
    dynamic.reduce.set_weights(static.reduce.get_weights())
    dynamic.expand.set_weights(static.expand.get_weights())
    ones = np.broadcast_to(static.constant, (1, 4, 5, 16)).astype("float32")
    np.testing.assert_allclose(static(ones), dynamic(ones), rtol=1e-5, atol=1e-6)


def test_parameters_are_those_of_arithmetic():
    # The two convolutions of cSE, and the constant.
    layer = built(StaticSqueezeExcite(4), 64)
    assert layer.count_params() == (64 * 16 + 16) + (16 * 64 + 64) + 64
    assert [weight.path.split("/", 1)[1] for weight in layer.weights] == [
        "constant",
        "reduce/kernel",
        "reduce/bias",
        "expand/kernel",
        "expand/bias",
    ]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_every_unit_starts_alive_and_is_trained(use_bias, seed):
    # With a width of 1 half of all draws of glorot_uniform would be silent for ever.
    keras.utils.set_random_seed(seed)
    layer = StaticSqueezeExcite(min_channels=1, use_bias=use_bias)
    model = keras.Sequential([keras.Input((4, 4, 16)), layer])
    before = layer.get_weights()
    kernel = before[1]
    assert kernel.shape == (1, 1, 16, 1)
    assert 0.1 * kernel.sum() > 0  # what the ReLU is given
    limit = np.sqrt(6 / (16 + 1))  # glorot_uniform still
    assert np.abs(kernel).max() <= limit
    assert (kernel < 0).any()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.random.default_rng(seed).normal(size=(8, 4, 4, 16)).astype("float32")
    model.train_on_batch(x, x * np.linspace(0, 1, 16))
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert np.any(old != new)


def test_training_starts_at_the_gate_of_zero():
    gate = built(StaticSqueezeExcite(), 256).constant_gate()
    np.testing.assert_allclose(gate, 0.5, atol=0.1)


def test_training_finds_the_factors_that_the_target_has():
    keras.utils.set_random_seed(0)
    wanted = np.linspace(0.1, 0.9, 8).astype("float32")
    layer = StaticSqueezeExcite(2)
    model = keras.Sequential([keras.Input((4, 4, 8)), layer])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    x = np.random.default_rng(0).normal(size=(64, 4, 4, 8)).astype("float32")
    for _ in range(300):
        model.train_on_batch(x, x * wanted)
    np.testing.assert_allclose(layer.constant_gate(), wanted, atol=0.01)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize(
    ("gate", "low", "high"), [("sigmoid", 0, 1), ("hard_sigmoid", 0, 1), ("tanh", -1, 1)]
)
def test_a_gate_that_is_set_is_the_gate_that_comes(gate, low, high, activation, use_bias):
    layer = StaticSqueezeExcite(4, gate=gate, activation=activation, use_bias=use_bias)
    built(layer)
    random_weights(layer)
    wanted = np.linspace(low, high, 16)  # both ends too, which are approached
    layer.set_constant_gate(wanted)
    np.testing.assert_allclose(layer.constant_gate(), wanted, atol=1e-5)
    x = np.random.default_rng(2).normal(size=(2, 4, 5, 16)).astype("float32")
    np.testing.assert_allclose(layer(x), x * wanted, atol=1e-4)


def test_gates_beyond_the_ends_are_clipped():
    layer = built(StaticSqueezeExcite(4))
    layer.set_constant_gate(np.repeat([-3.0, 1.7], 8))
    np.testing.assert_allclose(layer.constant_gate(), np.repeat([0.0, 1.0], 8), atol=1e-5)
    assert 0 < layer.constant_gate().min() < layer.constant_gate().max() < 1
    relu = built(StaticSqueezeExcite(4, gate="relu"))
    relu.set_constant_gate(np.repeat([-3.0, 250.0], 8))
    np.testing.assert_allclose(relu.constant_gate(), np.repeat([0.0, 250.0], 8), 1e-5, 1e-5)


def test_a_set_gate_changes_the_last_bias_alone():
    layer = built(StaticSqueezeExcite(4))
    before = layer.get_weights()
    layer.set_constant_gate(np.full(16, 0.25))
    same = [np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True)]
    assert same == [True, True, True, True, False]


def test_weights_move_from_a_dynamic_layer():
    dynamic, static = (
        built(SEConfig(kind, reduction=4).layer(name="se")) for kind in ("cse", "static")
    )
    rng = np.random.default_rng(3)
    dynamic.set_weights([rng.normal(size=w.shape) for w in dynamic.weights])
    x = rng.normal(size=(32, 4, 5, 16)).astype("float32")
    y = keras.ops.convert_to_numpy(dynamic(x))
    gate = np.sum(x * y, axis=(0, 1, 2)) / np.sum(x * x, axis=(0, 1, 2))
    static.reduce.set_weights(dynamic.reduce.get_weights())
    static.expand.set_weights(dynamic.expand.get_weights())
    static.constant.assign(x.mean((0, 1, 2)))
    static.set_constant_gate(gate)
    np.testing.assert_allclose(static.constant_gate(), gate, atol=1e-5)


def test_the_constant_of_a_mixed_layer_is_the_one_it_multiplies_with():
    layer = StaticSqueezeExcite(4, dtype="mixed_float16")
    ones = np.ones((1, 2, 2, 16), "float32")
    y = np.asarray(layer(ones), "float32")
    assert layer.constant_gate().dtype == "float32"
    np.testing.assert_array_equal(y[0, 0, 0], layer.constant_gate())
    assert {weight.dtype for weight in layer.weights} == {"float32"}


def test_what_cannot_be_set_is_refused_with_advice():
    layer = StaticSqueezeExcite(name="se")
    for method in (layer.constant_gate, lambda: layer.set_constant_gate(np.ones(16))):
        with pytest.raises(ValueError, match=r"must be built.*'se'.*layer\.build\(\(None"):
            method()
    built(layer)
    for bad in (0.5, np.full(8, 0.5), np.full((1, 16), 0.5), np.full(16, np.nan)):
        with pytest.raises(ValueError, match=r"one finite number.*'se'.*array of shape \(16,\)"):
            layer.set_constant_gate(bad)
    other = built(StaticSqueezeExcite(gate=keras.activations.softplus))
    with pytest.raises(ValueError, match=r"whose inverse is known.*'sigmoid', 'hard_sigmoid'"):
        other.set_constant_gate(np.full(16, 0.5))
    silent = built(StaticSqueezeExcite(use_bias=False, kernel_initializer="zeros"))
    with pytest.raises(ValueError, match=r"Without a bias.*or make the layer with use_bias=True"):
        silent.set_constant_gate(np.full(16, 0.5))
