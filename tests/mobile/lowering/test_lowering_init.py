"""Whole models, lowered: equal for every target, refused with advice, all else left alone."""

import keras
import numpy as np
import pytest

import mobile
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


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Plain(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match=r"keras.Model\(x, my_model.call\(x\)\)"):
        lower(Plain())
    with pytest.raises(TypeError, match=r"Received: builtins\.str"):
        lower("model.keras")


def test_a_sequential_without_a_shape_is_told_to_begin_with_one():
    with pytest.raises(TypeError, match=r"Begin it with keras\.Input"):
        mobile.lower(keras.Sequential([L.Conv2D(4, 3)]))
