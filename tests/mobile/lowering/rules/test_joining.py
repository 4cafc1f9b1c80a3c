"""What joins several tensors."""

import keras
import pytest

from tests.mobile.lowering.lowered import (
    assert_equal,
    conv,
    kinds,
    model_of,
)

L = keras.layers
ops = keras.ops


def test_maximum_becomes_a_difference_with_relu_and_a_sum():
    lowered = assert_equal(model_of(lambda x: L.Maximum()([conv(x), conv(x)])))
    assert kinds(lowered) == {"Conv2D": 2, "Subtract": 1, "ReLU": 1, "Add": 1}
    assert_equal(model_of(lambda x: L.Minimum()([conv(x), conv(x)])))
    assert_equal(model_of(lambda x: ops.maximum(conv(x), conv(x))))


@pytest.mark.parametrize("kind", [L.Add, L.Average, L.Multiply, L.Concatenate])
def test_one_tensor_joined_is_itself(kind):
    lowered = assert_equal(model_of(lambda x: kind()([conv(x)])))
    assert kinds(lowered) == {"Conv2D": 1}


def test_scales_of_concatenated_channels_are_absorbed_channel_by_channel():
    def body(x):
        a, b = conv(x, 3, activation="relu6"), conv(x, 5)
        return conv(L.Concatenate()([a * (1 / 6), L.Activation("hard_silu")(b)]), 2, 3)

    assert "Rescaling" not in kinds(assert_equal(model_of(body)))


def test_scales_of_concatenated_channels_that_nothing_absorbs_become_one_convolution():
    def body(x):
        return L.Concatenate()([conv(x, 3, activation="relu6") * (1 / 6), conv(x, 5)])

    assert kinds(assert_equal(model_of(body))) == {
        "Conv2D": 2, "Concatenate": 1, "DepthwiseConv2D": 1
    }  # fmt: skip
