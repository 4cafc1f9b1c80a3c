"""A lowered model computes what the original computes, out of operators that stay delegated."""

from collections import Counter

import keras
import numpy as np
import pytest

import keras_se
import mobile
from keras_se.layers import ChannelScale
from tests.mobile.lowering.lowered import (
    assert_equal,
    batch_norm,
    conv,
    kinds,
    model_of,
    squeeze_excite,
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


def test_a_convolution_that_is_read_twice_is_not_computed_twice():
    def body(x):
        y = conv(x, 6, 3)
        return L.Add()([batch_norm(y), batch_norm(y)])

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {"Conv2D": 1, "DepthwiseConv2D": 2, "Add": 1}


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


@pytest.mark.parametrize("keepdims", [True, False])
def test_a_hard_sigmoid_gate_costs_no_operator_of_its_own(keepdims):
    lowered = assert_equal(model_of(lambda x: conv(squeeze_excite(conv(x), keepdims=keepdims), 3)))
    assert kinds(lowered) == {"Conv2D": 4, "GlobalAveragePooling2D": 1, "Multiply": 1}
    assert Counter(getattr(c.activation, "__name__", "") for c in lowered.layers
                   if isinstance(c, L.Conv2D)) == {"linear": 2, "relu": 1, "relu6": 1}  # fmt: skip


def test_dense_squeeze_excite_becomes_convolutions_without_reshape():
    def body(x):
        x = conv(x, 8)
        s = L.GlobalAveragePooling2D()(x)
        s = L.Dense(8, activation="sigmoid")(L.Dense(2, activation="relu")(s))
        return conv(L.Multiply()([x, L.Reshape((1, 1, 8))(s)]), 3)

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {
        "Conv2D": 4, "GlobalAveragePooling2D": 1, "Activation": 1, "Multiply": 1
    }  # fmt: skip


def test_flatten_and_dense_become_one_convolution_over_the_window():
    lowered = assert_equal(model_of(lambda x: L.Dense(7)(L.Flatten()(x)), (5, 4, 3)))
    assert kinds(lowered) == {"Conv2D": 1, "Reshape": 1}
    (layer,) = (layer for layer in lowered.layers if isinstance(layer, L.Conv2D))
    assert layer.kernel_size == (5, 4)


def test_padding_goes_into_the_convolution_where_same_means_the_same():
    def body(x, padding):
        return conv(L.ZeroPadding2D(padding)(x), 5, 3, strides=2)

    # 12 pixels, stride 2, kernel 3: `same` pads (6 - 1) * 2 + 3 - 12 = 1 pixel, behind.
    assert kinds(assert_equal(model_of(lambda x: body(x, ((0, 1), (0, 1)))))) == {"Conv2D": 1}
    assert "ZeroPadding2D" in kinds(assert_equal(model_of(lambda x: body(x, ((1, 0), (1, 0))))))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "strides"), [(2, 2), (3, 1), (3, 2)])
def test_average_pooling_becomes_a_depthwise_convolution(padding, pool, strides):
    lowered = assert_equal(
        model_of(lambda x: conv(L.AveragePooling2D(pool, strides, padding=padding)(x)))
    )
    assert "AveragePooling2D" not in kinds(lowered)
    assert kinds(lowered)["DepthwiseConv2D"] == 1


def test_maximum_becomes_a_difference_with_relu_and_a_sum():
    lowered = assert_equal(model_of(lambda x: L.Maximum()([conv(x), conv(x)])))
    assert kinds(lowered) == {"Conv2D": 2, "Subtract": 1, "ReLU": 1, "Add": 1}
    assert_equal(model_of(lambda x: L.Minimum()([conv(x), conv(x)])))
    assert_equal(model_of(lambda x: ops.maximum(conv(x), conv(x))))


def test_relu_after_a_concatenation_moves_before_it():
    lowered = assert_equal(
        model_of(lambda x: L.ReLU()(L.Concatenate()([conv(x, 3), batch_norm(conv(x, 5))])))
    )
    assert kinds(lowered) == {"Conv2D": 2, "Concatenate": 1}


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


def test_nearest_upsampling_becomes_copies_moved_into_space():
    lowered = assert_equal(model_of(lambda x: L.UpSampling2D(2)(conv(x))))
    assert kinds(lowered) == {"Conv2D": 1, "Concatenate": 1, "DepthToSpace": 1}


def test_a_concatenation_of_more_tensors_than_the_target_takes_is_done_in_parts():
    def body(x):
        return L.Concatenate()([conv(x, i) for i in range(1, 8)])

    # XNNPACK takes 5 inputs: 5, then that with the other 2.
    assert kinds(assert_equal(model_of(body))) == {"Conv2D": 7, "Concatenate": 2}
    assert kinds(assert_equal(model_of(body), "builtin")) == {"Conv2D": 7, "Concatenate": 1}


def test_narrow_groups_are_put_together_as_the_target_likes():
    model = model_of(lambda x: batch_norm(conv(conv(x, 64), 128, 3, groups=32)))  # 2 channels each
    widths = {}
    for target in ("xnnpack", "xnnpack-amx", "builtin"):
        layers = assert_equal(model, target).layers
        grouped = next(x for x in layers if isinstance(x, L.Conv2D) and x.kernel_size == (3, 3))
        widths[target] = (grouped.groups, grouped.kernel.shape[2])
    # 64 channels: 8 groups of 8, one of 64, or 32 of 2 as they were.
    assert widths == {"xnnpack": (8, 8), "xnnpack-amx": (1, 64), "builtin": (32, 2)}


def test_groups_that_do_not_divide_stay_apart():
    lowered = assert_equal(model_of(lambda x: conv(conv(x, 15), 6, 1, groups=3)))
    assert lowered.layers[-1].groups == 3


def test_relu_after_an_addition_stays_for_the_runtime_to_fuse():
    lowered = assert_equal(model_of(lambda x: L.ReLU()(L.Add()([conv(x, 4), x]))))
    assert kinds(lowered) == {"Conv2D": 1, "Add": 1, "ReLU": 1}


def test_relu_that_nothing_can_take_in_becomes_a_convolution():
    lowered = assert_equal(model_of(lambda x: L.ReLU()(L.MaxPooling2D(2)(conv(x)))))
    assert kinds(lowered) == {"Conv2D": 1, "MaxPooling2D": 1, "DepthwiseConv2D": 1}


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


@pytest.mark.parametrize("body", [
    lambda x: 1 - conv(x),
    lambda x: L.ReLU()(-conv(x)),
    lambda x: L.MaxPooling2D(2)(-1 * conv(x, activation="relu")),
    lambda x: L.ReLU(max_value=4)(conv(x)),
    lambda x: L.ReLU(negative_slope=0.1)(conv(x)),
    lambda x: L.LeakyReLU(0.3)(conv(x)),
    lambda x: L.PReLU("random_normal", shared_axes=[1, 2])(conv(x)),
    lambda x: ops.clip(conv(x), 0, 3),
    lambda x: ops.silu(conv(x)),
    lambda x: L.Activation("gelu")(conv(x)),
    lambda x: ops.tanh(conv(x) / 3),
    lambda x: L.Average()([conv(x), conv(x), conv(x)]),
    lambda x: L.Subtract()([conv(x), x * 0.5 if x.shape[-1] == 6 else conv(x)]),
    lambda x: ops.mean(conv(x), axis=(1, 2)),
    lambda x: L.GlobalMaxPooling2D()(conv(x)),
    lambda x: ops.max(conv(x), axis=(1, 2), keepdims=True),
    lambda x: ops.mean(conv(x), axis=-1, keepdims=True) * 2.0,
    lambda x: conv(x, 8, 3, groups=2),
    L.SeparableConv2D(5, 3, padding="same"),
    lambda x: conv(x, 3, 3, dilation_rate=2),
    lambda x: L.Concatenate()(ops.split(conv(x, 6) * 2.0, 3, axis=-1)[::-1]),
    lambda x: conv(x)[:, 2:8, 1:, :4],
    lambda x: conv(x)[..., 3:],
    lambda x: L.Permute((2, 1, 3))(L.Cropping2D(((1, 2), (0, 3)))(conv(x))),
    lambda x: ops.transpose(ops.reshape(conv(x), (-1, 12, 12, 2, 3)), (0, 1, 2, 4, 3)),
    lambda x: L.UpSampling2D(2, interpolation="bilinear")(conv(x)),
    lambda x: L.Resizing(7, 9)(conv(x)),
    lambda x: ops.pad(conv(x), ((0, 0), (1, 2), (0, 1), (0, 0))),
    lambda x: L.Softmax()(L.Dense(5)(L.GlobalAveragePooling2D()(conv(x)))),
    lambda x: L.Dense(5, activation="softmax")(L.Dropout(0.5)(L.GlobalAveragePooling2D()(x))),
    lambda x: batch_norm(L.Dense(5)(L.GlobalMaxPooling2D()(conv(x)))),
    lambda x: L.Concatenate()([L.GlobalMaxPooling2D()(x), L.GlobalAveragePooling2D()(x)]),
    lambda x: L.Dense(5, activation="relu")(conv(x)),
])  # fmt: skip
@pytest.mark.parametrize("target", ["xnnpack", "ethos-u"])
def test_equal_outputs(body, target):
    assert_equal(model_of(body), target)


def test_a_sequential_model_is_lowered():
    model = keras.Sequential(
        [keras.Input((12, 12, 4)), L.Conv2D(6, 3), L.BatchNormalization(), L.ReLU(), L.Flatten()]
    )
    assert_equal(model)
    built = keras.Sequential([L.Conv2D(6, 3), L.GlobalAveragePooling2D(), L.Dense(3)])
    built.build((None, 12, 12, 4))
    assert_equal(built)


def test_a_layer_used_twice_beside_one_that_has_the_next_name():
    shared, next_one = L.Conv2D(4, 1, name="dense"), L.Conv2D(4, 1, name="dense_1")
    lowered = assert_equal(model_of(lambda x: next_one(shared(shared(x)))))
    assert [layer.name for layer in lowered.layers[1:]] == ["dense", "dense_2", "dense_1"]


def test_a_weight_may_stand_on_the_left():
    class Gamma(L.Layer):
        def build(self, shape):
            self.gamma = self.add_weight(shape=(shape[-1],), initializer="random_normal")

        def call(self, x):
            return self.gamma * x + (1.0 - self.gamma)

    assert_equal(model_of(lambda x: conv(Gamma()(conv(x)))))


def test_batch_norm_of_a_flattened_image_goes_into_the_dense_layer():
    lowered = assert_equal(model_of(lambda x: L.Dense(3)(batch_norm(L.Flatten()(conv(x, 2, 3))))))
    assert kinds(lowered)["Conv2D"] == 2


def test_batch_norm_of_a_vector():
    x = keras.Input((6,))
    assert_equal(keras.Model(x, L.Dense(3)(batch_norm(x))))
    assert_equal(keras.Model(x, batch_norm(L.ReLU()(x))))


@pytest.mark.parametrize("kind", [L.Add, L.Average, L.Multiply, L.Concatenate])
def test_one_tensor_joined_is_itself(kind):
    lowered = assert_equal(model_of(lambda x: kind()([conv(x)])))
    assert kinds(lowered) == {"Conv2D": 1}


def test_a_split_of_the_batch_is_refused():
    image = keras.Input(batch_shape=(2, 4, 4, 3))
    with pytest.raises(ValueError, match=r"axis=0.*Leave the batch whole"):
        mobile.lower(keras.Model(image, ops.split(image, 2, axis=0)))


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


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_a_folded_block_leaves_the_operators_of_a_network_without_it(gate):
    def body(x, se):
        y = L.ReLU()(L.DepthwiseConv2D(3, padding="same")(conv(x)))
        y = squeeze_excite(y, gate) if se else y
        return L.Add()([conv(y, 4), x])

    model = model_of(lambda x: body(x, True))
    images = np.random.default_rng(0).normal(size=(4, 12, 12, 4)).astype("float32")
    (block,) = keras_se.gates(model, images).blocks
    lowered = assert_equal(keras_se.fold(model, {block.name: block.constant}))
    assert kinds(lowered) == kinds(mobile.lower(model_of(lambda x: body(x, False))))


def test_folding_all_gates_of_a_published_network_leaves_no_product_of_theirs():
    model = keras.applications.MobileNetV3Small(weights=None, input_shape=(64, 64, 3))
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    blocks = keras_se.gates(model, images).blocks
    before = kinds(mobile.lower(model))
    after = kinds(mobile.lower(keras_se.fold(model, {b.name: b.constant for b in blocks})))
    gone = {kind: before[kind] - after.get(kind, 0) for kind in before}
    # Of each of the 9: a mean, two convolutions and a product; the last mean is the network's.
    expected = {"GlobalAveragePooling2D": 9, "Conv2D": 2 * 9, "Multiply": 9}
    assert {kind: count for kind, count in gone.items() if count} == expected
    assert after.keys() <= before.keys()
