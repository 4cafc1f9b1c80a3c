"""Counts are checked against arithmetic written out here, and against Keras' own."""

import json

import keras
import pytest

from keras_se import SEConfig, models
from keras_se.counting import Complexity, complexity


def model_of(*layers, shape=(8, 8, 4)):
    x = image = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("layer", "params", "macs"),
    [
        (keras.layers.Conv2D(6, 3), 3 * 3 * 4 * 6 + 6, 6 * 6 * (3 * 3 * 4 * 6)),
        (keras.layers.Conv2D(6, 3, 2, "same"), 3 * 3 * 4 * 6 + 6, 4 * 4 * (3 * 3 * 4 * 6)),
        (keras.layers.Conv2D(8, 1, groups=2), 2 * 8 + 8, 8 * 8 * (2 * 8)),
        (keras.layers.DepthwiseConv2D(3, padding="same"), 9 * 4 + 4, 8 * 8 * (9 * 4)),
        (keras.layers.Conv2DTranspose(2, 2, 2), 4 * 4 * 2 + 2, 8 * 8 * (4 * 4 * 2)),
        (
            keras.layers.SeparableConv2D(6, 3, padding="same"),
            9 * 4 + 4 * 6 + 6,
            8 * 8 * (9 * 4 + 4 * 6),
        ),
        (keras.layers.Dense(3), 4 * 3 + 3, 8 * 8 * 4 * 3),
        (keras.layers.MaxPooling2D(), 0, 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_layer_counts_by_arithmetic(layer, params, macs):
    counted = complexity(model_of(layer))
    assert (counted.trainable_params, counted.macs) == (params, macs)


def test_cse_counts_its_convolutions_once_and_one_mac_a_rescaled_element():
    counted = complexity(model_of(SEConfig(reduction=2, min_channels=1).layer()))
    assert counted.se_params == counted.params == (4 * 2 + 2) + (2 * 4 + 4)
    assert counted.se_macs == counted.macs == 4 * 2 + 2 * 4 + 8 * 8 * 4


def test_sse_counts_a_dot_product_and_a_multiplication_at_each_position():
    counted = complexity(model_of(SEConfig(kind="sse").layer()))
    assert counted.se_macs == 8 * 8 * 4 + 8 * 8 * 4


def test_scse_counts_both_branches():
    counted = complexity(model_of(SEConfig(kind="scse", reduction=2, min_channels=1).layer()))
    assert counted.se_params == (4 * 2 + 2) + (2 * 4 + 4) + (4 + 1)
    assert counted.se_macs == (4 * 2 + 2 * 4 + 8 * 8 * 4) + 2 * 8 * 8 * 4


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
    assert Complexity.from_dict(json.loads(json.dumps(counted.to_dict()))) == counted
    assert f"{counted.macs:,}" in str(counted)
    assert f"{counted.se_params:,}" in counted.table()


def test_unknown_image_size_is_an_error():
    with pytest.raises(ValueError, match=r"input_shape=\(224, 224, 3\)"):
        complexity(model_of(keras.layers.Conv2D(4, 1), shape=(None, None, 3)))


def test_a_layer_is_not_a_model():
    with pytest.raises(TypeError, match="functional"):
        complexity(keras.layers.Conv2D(4, 1))
