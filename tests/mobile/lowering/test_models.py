"""Whole models, lowered: their shape, their names, what cannot be lowered, and what stays alone."""

import keras
import numpy as np
import pytest

import mobile
from mobile.lowering import layers as own
from mobile.lowering import lower
from mobile.lowering.targets import TARGETS
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


def test_vectors_go_through_dense_layers():
    x = keras.Input((10,))
    assert_equal(keras.Model(x, L.Dense(3)(L.Dense(8, activation="hard_silu")(x))))


def test_nested_sequential_and_shared_layers_are_flattened():
    inner = keras.Sequential([keras.Input((12, 12, 4)), L.Conv2D(4, 3, padding="same"), L.ReLU()])
    shared = L.Conv2D(4, 1)

    def body(x):
        return shared(inner(shared(inner(x))))

    lowered = assert_equal(model_of(body))
    assert kinds(lowered) == {"Conv2D": 4}
    assert kinds(assert_equal(inner))["Conv2D"] == 1


def test_several_inputs_and_outputs_keep_their_structure():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    y = L.Add()([conv(a), conv(b)])
    model = keras.Model([a, b], {"sum": y, "top": L.GlobalAveragePooling2D()(y)})
    lowered = assert_equal(model)
    assert list(lowered.output) == ["sum", "top"]
    assert [x.name for x in lowered.inputs] == ["a", "b"]


class Scaled(keras.layers.Layer):
    """A user's layer with a weight of its own and a layer inside."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(1,), initializer="random_normal")
        self.inner = L.Conv2D(shape[-1], 3, padding="same")
        self.inner.build(shape)

    def call(self, x):
        return ops.relu(self.inner(x)) * self.gain + x

    def compute_output_shape(self, shape):
        return shape


class Wider(keras.layers.Conv2D):
    """A subclass that changes nothing."""


class Opaque(keras.layers.Layer):
    def call(self, x):
        raise RuntimeError("cannot be read")

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_without_a_rule_is_opened():
    assert_equal(model_of(lambda x: Scaled()(conv(x))))


def test_opening_a_layer_leaves_no_trace_in_it():
    model = model_of(lambda x: Scaled(name="scaled")(conv(x)))
    layer = model.get_layer("scaled")
    before = len(layer._inbound_nodes), len(layer.inner._inbound_nodes), sorted(vars(layer))
    lower(model)
    assert before == (
        len(layer._inbound_nodes), len(layer.inner._inbound_nodes), sorted(vars(layer))
    )  # fmt: skip


def test_a_subclass_that_computes_the_same_has_the_same_rule():
    assert kinds(assert_equal(model_of(Wider(3, 1)))) == {"Conv2D": 1}


def test_a_layer_that_cannot_be_opened_is_named_with_what_to_do():
    with pytest.raises(TypeError, match=r"'opaque.*of class Opaque.*lowering_rule\(Opaque\)"):
        lower(model_of(Opaque(name="opaque")))


def test_an_operation_without_an_equal_is_named():
    with pytest.raises(TypeError, match="Cumsum"):
        lower(model_of(lambda x: ops.cumsum(x, axis=1)))


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Plain(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match=r"keras.Model\(x, my_model.call\(x\)\)"):
        lower(Plain())
    with pytest.raises(TypeError, match=r"Received: builtins\.str"):
        lower("model.keras")


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"xnnpack, xnnpack-x86, .* tflm"):
        lower(model_of(conv), target="gpu9")


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_computes_the_same(target):
    def body(x):
        x = squeeze_excite(L.Activation("hard_silu")(batch_norm(conv(x, 6, 3))))
        x = L.Maximum()([L.AveragePooling2D(2)(x), L.MaxPooling2D(2)(x)])
        return L.GlobalAveragePooling2D()(L.ReLU()(L.UpSampling2D(2)(conv(x))))

    assert_equal(model_of(body), target)


@pytest.mark.parametrize("target", TARGETS)
def test_lowering_a_lowered_model_changes_nothing_more(target):
    def body(x):
        x = squeeze_excite(L.Activation("hard_silu")(batch_norm(conv(x, 6, 3))), gate="sigmoid")
        x = squeeze_excite(conv(L.MaxPooling2D(2)(L.Maximum()([x, conv(x)])), activation="silu"))
        x = L.AveragePooling2D(3, 1, padding="same")(L.UpSampling2D(2)(x))
        return L.Dense(3)(L.GlobalAveragePooling2D()(L.ReLU()(L.Concatenate()([x, conv(x)]))))

    once = assert_equal(model_of(body), target)
    again = assert_equal(once, target)
    assert sorted(layer.name for layer in again.layers) == sorted(x.name for x in once.layers)
    assert kinds(again) == kinds(once)


def test_a_lowered_model_saves_and_loads(tmp_path):
    lowered = lower(model_of(lambda x: L.UpSampling2D(2)(L.Activation("hard_silu")(conv(x)))))
    lowered.save(tmp_path / "lowered.keras")
    loaded = keras.saving.load_model(tmp_path / "lowered.keras")
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 4)).astype("float32")
    np.testing.assert_array_equal(np.asarray(loaded(x)), np.asarray(lowered(x)))


def test_a_model_under_mixed_precision_is_lowered_to_float32():
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    x = keras.Input((8, 8, 3), name="image")
    y = L.Conv2D(4, 3, dtype=policy, name="conv")(x)
    lowered = lower(keras.Model(x, L.ReLU(dtype=policy)(y)))
    assert {layer.compute_dtype for layer in lowered.layers} == {"float32"}


def test_global_state_is_left_alone():
    before = keras.config.dtype_policy().name, keras.config.image_data_format()
    lower(model_of(conv))
    assert (keras.config.dtype_policy().name, keras.config.image_data_format()) == before


def test_lowering_rule_takes_a_layer_class_only():
    with pytest.raises(TypeError, match=r"@mobile\.lowering_rule"):
        mobile.lowering_rule("Conv2D")


def test_own_layers_compute_what_they_say():
    x = np.arange(16.0, dtype="float32").reshape(1, 2, 2, 4)
    np.testing.assert_array_equal(np.asarray(own.Shift(3.0)(x)), x + 3)
    np.testing.assert_array_equal(np.asarray(own.Mean((1, 2))(x))[0, 0, 0], [6, 7, 8, 9])
    np.testing.assert_array_equal(
        np.asarray(own.Slice([0, 1, 2], [None, 2, 3])(x)), x[:, :, 1:2, 2:3]
    )
    np.testing.assert_array_equal(
        np.asarray(own.DepthToSpace(2)(x))[0, :2, :, 0], [[0, 1, 4, 5], [2, 3, 6, 7]]
    )
    np.testing.assert_array_equal(
        np.asarray(own.ScaleMap([[1.0, 2.0], [3.0, 4.0]])(x))[0, 1, 1], x[0, 1, 1] * 4
    )
