"""Inception-ResNet-v2, with one module of each kind."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import models
from keras_se.models.inception_resnet_v2 import creation_order


@pytest.fixture(scope="module")
def model():
    network = models.find("se_inception_resnet_v2")
    rows = tuple(dataclasses.replace(row, repeat=1) for row in network.rows)
    short = dataclasses.replace(network, rows=rows)
    return models.build(short, input_shape=(96, 96, 3), width=0.25, include_top=False)


def test_modules_have_the_channels_of_the_figures_at_a_quarter_of_the_width(model):
    # 5b: 96 + 64 + 96 + 64; 6a: 384 + 384 + 320; 7a: 384 + 288 + 320 + 1088.
    for name, channels in (("mixed_5b", 320), ("mixed_6a", 1088), ("mixed_7a", 2080)):
        assert model.get_layer(f"{name}_concat").output.shape[-1] == channels // 4
    assert model.output.shape[-1] == 1536 // 4


def test_sizes_are_those_without_padding_where_it_strides(model):
    # 96 -> 47 -> 45 -> pool 22 -> 20 -> pool 9, then 6a and 7a: floor((n - 3) / 2) + 1.
    for name, side in (("mixed_5b", 9), ("mixed_6a", 4), ("mixed_7a", 1)):
        assert model.get_layer(f"{name}_concat").output.shape[1] == side


@pytest.mark.parametrize(("name", "scale"), [("block35", 0.17), ("block17", 0.1), ("block8", 0.2)])
def test_a_branch_is_scaled_before_it_is_added(model, name, scale):
    add = model.get_layer(f"{name}_add")
    before, branch = add.input[0], model.get_layer(f"{name}_se").output
    x = np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3)).astype("float32")
    a, b, total = keras.Model(model.input, [before, branch, add.output])(x)
    np.testing.assert_allclose(total, np.asarray(a) + scale * np.asarray(b), rtol=1e-5, atol=1e-5)


def test_the_last_module_is_added_as_it_is_and_has_no_activation(model):
    names = [layer.name for layer in model.layers]
    assert "block8_last_add" in names
    assert not {"block8_last_scale", "block8_last_out"} & set(names)


def test_the_code_numbers_203_convolutions():
    names = creation_order(models.find("inception_resnet_v2"))
    # The stem, 5b, ten block35, 6a, twenty block17, 7a, ten block8.
    assert len(names) == 5 + 7 + 10 * 6 + 4 + 20 * 4 + 7 + 10 * 4 == 203
    assert len(set(names)) == 203
    assert names[0] == "stem_1" and names[-1] == "block8_last_2_3"
