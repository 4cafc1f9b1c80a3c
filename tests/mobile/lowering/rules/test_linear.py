"""Convolutions, dense layers, normalization and constants go into one another."""

import keras
import numpy as np
import pytest

import mobile
from keras_se.layers import ChannelScale
from tests.mobile.lowering.lowered import (
    assert_equal,
    batch_norm,
    conv,
    kinds,
    model_of,
)

L = keras.layers
ops = keras.ops


def test_batch_norm_folds_into_the_convolution_before_it():
    lowered = assert_equal(model_of(lambda x: batch_norm(conv(x, 6, 3, use_bias=False))))
    assert kinds(lowered) == {"Conv2D": 1}


@pytest.mark.parametrize("multiplier", [1, 2])
def test_batch_norm_folds_into_a_depthwise_convolution(multiplier):
    lowered = assert_equal(
        model_of(lambda x: batch_norm(L.DepthwiseConv2D(3, depth_multiplier=multiplier)(x)))
    )
    assert kinds(lowered) == {"DepthwiseConv2D": 1}


def test_batch_norm_folds_into_a_transposed_convolution():
    lowered = assert_equal(
        model_of(lambda x: batch_norm(L.Conv2DTranspose(5, 3, strides=2, padding="same")(x)))
    )
    assert kinds(lowered) == {"Conv2DTranspose": 1}


def test_batch_norm_with_nothing_before_it_becomes_a_depthwise_convolution_with_its_relu():
    def body(x):
        x = L.Add()([conv(x, 4), x])
        return L.ReLU()(batch_norm(x)) * 0.5 + x * 0.25

    lowered = assert_equal(model_of(body))
    assert kinds(lowered)["DepthwiseConv2D"] == 1
    assert "ReLU" not in kinds(lowered)


def test_batch_norm_of_a_flattened_image_goes_into_the_dense_layer():
    lowered = assert_equal(model_of(lambda x: L.Dense(3)(batch_norm(L.Flatten()(conv(x, 2, 3))))))
    assert kinds(lowered)["Conv2D"] == 2


def test_batch_norm_of_a_vector():
    x = keras.Input((6,))
    assert_equal(keras.Model(x, L.Dense(3)(batch_norm(x))))
    assert_equal(keras.Model(x, batch_norm(L.ReLU()(x))))


def test_vectors_go_through_dense_layers():
    x = keras.Input((10,))
    assert_equal(keras.Model(x, L.Dense(3)(L.Dense(8, activation="hard_silu")(x))))


def test_flatten_and_dense_become_one_convolution_over_the_window():
    lowered = assert_equal(model_of(lambda x: L.Dense(7)(L.Flatten()(x)), (5, 4, 3)))
    assert kinds(lowered) == {"Conv2D": 1, "Reshape": 1}
    (layer,) = (layer for layer in lowered.layers if isinstance(layer, L.Conv2D))
    assert layer.kernel_size == (5, 4)


def test_preprocessing_is_one_layer_on_the_input():
    def body(x):
        x = L.Normalization(mean=[0.4, 0.5, 0.6, 0.7], variance=[0.1, 0.2, 0.3, 0.4])(
            L.Rescaling(1 / 255)(x)
        )
        return conv(x, 3, 3, padding="same")

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {"Rescaling": 1, "Conv2D": 1}
    rescaling = lowered.layers[1]
    # (x / 255 - mean) / sqrt(variance), channel by channel
    np.testing.assert_allclose(rescaling.scale, 1 / 255 / np.sqrt([0.1, 0.2, 0.3, 0.4]), rtol=1e-6)
    np.testing.assert_allclose(
        rescaling.offset, -np.array([0.4, 0.5, 0.6, 0.7]) / np.sqrt([0.1, 0.2, 0.3, 0.4]), rtol=1e-6
    )


def test_a_weight_may_stand_on_the_left():
    class Gamma(L.Layer):
        def build(self, shape):
            self.gamma = self.add_weight(shape=(shape[-1],), initializer="random_normal")

        def call(self, x):
            return self.gamma * x + (1.0 - self.gamma)

    assert_equal(model_of(lambda x: conv(Gamma()(conv(x)))))


def test_a_kernel_that_keras_quantised_is_refused_by_name():
    model = keras.Sequential([keras.Input((6,)), L.Dense(4, name="scores")])
    model.layers[0].quantize("int8")
    with pytest.raises(ValueError, match=r"scores.*quantised by Keras.*Lower the float model"):
        mobile.lower(model)


def channel_scale(x, values=(0.5, 0, -1, 2, 1, 1e-3)):
    layer = ChannelScale()
    y = layer(x)
    layer.set_weights([np.resize(values, x.shape[-1])])
    return y


@pytest.mark.parametrize(
    ("body", "operators"),
    [
        (lambda x: channel_scale(conv(x)), {"Conv2D": 1}),
        (
            lambda x: conv(channel_scale(L.DepthwiseConv2D(3, activation="relu")(x))),
            {"DepthwiseConv2D": 1, "Conv2D": 1},
        ),
        (
            lambda x: conv(channel_scale(ops.silu(conv(x)))),
            {"Conv2D": 2, "Activation": 1, "Multiply": 1},
        ),
        (
            lambda x: conv(channel_scale(L.MaxPooling2D()(ops.relu6(conv(x))))),
            {"Conv2D": 2, "MaxPooling2D": 1},
        ),
        (
            lambda x: L.Add()([channel_scale(batch_norm(conv(x, 4))), x]),
            {"Conv2D": 1, "Add": 1},
        ),
        (
            lambda x: L.Dense(3)(channel_scale(L.GlobalAveragePooling2D()(ops.relu(conv(x))))),
            {"Conv2D": 2, "GlobalAveragePooling2D": 1, "Reshape": 1},
        ),
    ],
    ids=["conv", "relu", "swish", "pool", "add", "dense"],
)
def test_constants_of_channels_go_into_their_neighbours_even_zeros_and_negative_ones(
    body, operators
):
    assert kinds(assert_equal(model_of(body))) == operators


@pytest.mark.parametrize("target", ["xnnpack", "builtin"])
@pytest.mark.parametrize("relu", [ops.relu, ops.relu6, ops.hard_silu, L.MaxPooling2D()])
def test_constants_of_channels_before_what_is_not_linear(relu, target):
    def body(x):
        return relu(channel_scale(L.Add()([conv(x, 6), conv(x, 6)])))

    assert_equal(model_of(body), target)


def test_constants_of_channels_that_nothing_takes_are_one_convolution():
    def body(x):
        return L.ReLU()(channel_scale(L.Add()([conv(x, 4), x])))

    assert kinds(assert_equal(model_of(body))) == {"Conv2D": 1, "Add": 1, "DepthwiseConv2D": 1}
