"""Where activations go: into the operator before, or what computes the same."""

import keras
import numpy as np
import pytest

import mobile
from tests.mobile.lowering.lowered import (
    assert_equal,
    batch_norm,
    conv,
    kinds,
    model_of,
)

L = keras.layers
ops = keras.ops


def test_hard_swish_becomes_an_addition_with_relu6_and_a_product():
    lowered = assert_equal(model_of(lambda x: conv(L.Activation("hard_silu")(conv(x)), 3)))
    assert kinds(lowered) == {"Conv2D": 2, "Shift": 1, "ReLU": 1, "Multiply": 1}


@pytest.mark.parametrize("body", [
    lambda x: x * (ops.relu6(x + 3) * (1 / 6)),
    lambda x: x * ops.relu6(x + 3.0) / 6,
    lambda x: L.Multiply()([x, L.ReLU(6.0)(L.Rescaling(1.0, 3.0)(x)) / 6]),
    lambda x: L.Multiply()([L.Rescaling(1 / 6)(L.ReLU(max_value=6)(x + 3)), x]),
])  # fmt: skip
def test_hard_swish_is_recognised_however_it_is_spelt(body):
    lowered = assert_equal(model_of(lambda x: conv(body(conv(x)), 3)))
    assert kinds(lowered) == {"Conv2D": 2, "Shift": 1, "ReLU": 1, "Multiply": 1}


def test_relu_after_a_concatenation_moves_before_it():
    lowered = assert_equal(
        model_of(lambda x: L.ReLU()(L.Concatenate()([conv(x, 3), batch_norm(conv(x, 5))])))
    )
    assert kinds(lowered) == {"Conv2D": 2, "Concatenate": 1}


def test_relu_after_an_addition_stays_for_the_runtime_to_fuse():
    lowered = assert_equal(model_of(lambda x: L.ReLU()(L.Add()([conv(x, 4), x]))))
    assert kinds(lowered) == {"Conv2D": 1, "Add": 1, "ReLU": 1}


def test_relu_that_nothing_can_take_in_becomes_a_convolution():
    lowered = assert_equal(model_of(lambda x: L.ReLU()(L.MaxPooling2D(2)(conv(x)))))
    assert kinds(lowered) == {"Conv2D": 1, "MaxPooling2D": 1, "DepthwiseConv2D": 1}


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu_keeps_the_formula_that_was_chosen(approximate):
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, ops.gelu(image, approximate=approximate))
    x = np.linspace(-4, 4, 2 * 8 * 8 * 4, dtype="float32").reshape(2, *(8, 8, 4))
    tanh = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    got = mobile.lower(model).predict(x, verbose=0)
    assert np.abs(got - model.predict(x, verbose=0)).max() < 1e-6
    assert (np.abs(got - tanh).max() < 1e-6) == approximate
