"""Sums are checked against arithmetic written out here, and against Keras' own."""

import json

import keras
import pytest

from keras_se import SEConfig, SqueezeExcite, models
from keras_se.counting import Complexity, complexity
from tests.keras_se.counted import model_of


def test_moving_statistics_are_not_trainable():
    counted = complexity(model_of(keras.layers.BatchNormalization()))
    assert (counted.trainable_params, counted.params) == (2 * 4, 4 * 4)


def test_a_layer_used_twice_counts_its_parameters_once_and_its_work_twice():
    conv = keras.layers.Conv2D(4, 1)
    counted = complexity(model_of(conv, conv))
    assert counted.trainable_params == 4 * 4 + 4
    assert counted.macs == 2 * 8 * 8 * 4 * 4


def test_nested_models_are_opened():
    inner = keras.Sequential([keras.layers.Conv2D(6, 1, name="conv")], name="inner")
    inner.build((None, 8, 8, 4))
    counted = complexity(model_of(inner))
    assert [row.name for row in counted.layers if row.macs] == ["inner/conv"]
    assert counted.macs == 8 * 8 * 4 * 6


def test_counting_leaves_the_model_alone():
    model = models.build("mobilenet_v3_small", input_shape=(32, 32, 3), width=0.5)
    before = json.dumps(model.get_config(), default=str), len(model.layers[3]._inbound_nodes)
    assert complexity(model) == complexity(model)
    after = json.dumps(model.get_config(), default=str), len(model.layers[3]._inbound_nodes)
    assert before == after


def test_counts_agree_with_keras_on_a_network_that_is_not_ours():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35)
    assert complexity(model).params == model.count_params()


def test_stages_sum_to_the_whole():
    counted = complexity(models.build("mobilenet_v3_small", input_shape=(64, 64, 3)))
    assert sum(row.macs for row in counted.by_stage()) == counted.macs
    assert sum(row.params for row in counted.by_stage()) == counted.trainable_params
    assert sum(counted.se_by_stage()) == counted.se_params


def test_record_goes_through_json_and_prints_its_totals():
    counted = complexity(model_of(keras.layers.Conv2D(1000, 3), SEConfig().layer()))
    said = json.loads(json.dumps(counted.to_dict()))
    said["layers"][0]["a later field"] = 1
    assert Complexity.from_dict(said) == counted
    assert f"{counted.macs:,}" in str(counted)
    assert f"{counted.se_params:,}" in counted.table()


def test_a_layer_is_not_a_model():
    with pytest.raises(TypeError, match="functional"):
        complexity(keras.layers.Conv2D(4, 1))


@keras.saving.register_keras_serializable("tests")
class Block(keras.layers.Layer):
    """A layer of one's own with a convolution, SE and a weight in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(6, 3, padding="same", name="conv")
        self.se = SqueezeExcite(2, min_channels=1, name="se")

    def build(self, shape):
        self.gamma = self.add_weight(shape=(6,), name="gamma")
        self.conv.build(shape)
        self.se.build((*shape[:-1], 6))

    def call(self, x):
        return self.gamma * self.se(self.conv(x))


def test_a_layer_of_ones_own_is_counted_by_what_it_consists_of():
    block = Block(name="block")
    counted = complexity(model_of(block, block, shape=(8, 8, 6)))
    conv, se = 9 * 6 * 6, 6 * 3 + 3 * 6
    assert counted.macs == 2 * (64 * conv + se + 64 * 6)
    assert counted.se_macs == 2 * (se + 64 * 6)
    assert counted.se_params == se + 3 + 6
    assert counted.trainable_params == conv + 6 + counted.se_params + 6
    assert not counted.uncounted
    assert {row.name for row in counted.layers if row.params} == {
        "block",
        "block/conv",
        "block/se",
    }


class Foreign(keras.layers.Layer):
    """Computes outside of Keras."""

    def call(self, x):
        raise RuntimeError("not with symbolic tensors")

    def compute_output_shape(self, shape):
        return shape


def test_what_cannot_be_counted_is_named():
    counted = complexity(model_of(Foreign(name="mine"), keras.layers.Dense(2)))
    assert counted.uncounted == ("mine (Foreign)",)
    assert str(counted).endswith("not counted: mine (Foreign)")
    assert counted.macs == 8 * 8 * 4 * 2
    assert Complexity.from_dict(json.loads(json.dumps(counted.to_dict()))) == counted


def test_frozen_layers_keep_their_parameters():
    model = models.build("mobilenet_v3_small", input_shape=(32, 32, 3), width=0.5)
    before = complexity(model)
    model.trainable = False
    assert complexity(model) == before
    frozen = model_of(keras.layers.BatchNormalization(trainable=False), Block(trainable=False))
    assert complexity(frozen).trainable_params == 2 * 4 + (9 * 4 * 6 + 6) + (6 * 3 * 2 + 9) + 6
