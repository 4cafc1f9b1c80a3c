"""Every operation comes out equal, and squeeze-and-excitation in the operators it should."""

from collections import Counter

import keras
import numpy as np
import pytest

import keras_se
import mobile
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
