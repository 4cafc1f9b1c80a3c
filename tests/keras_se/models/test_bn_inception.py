"""BN-Inception, row by row of its figure 5."""

import keras
import numpy as np
import pytest

from keras_se import models

# Figure 5, #1x1 + #3x3 + double #3x3 + pool, with 128 pooled channels in 4c and 4d as published;
# the two modules of stride 2 pass on what they are given.
CHANNELS = {
    "3a": 64 + 64 + 96 + 32,
    "3b": 64 + 96 + 96 + 64,
    "3c": 160 + 96 + 320,
    "4a": 224 + 96 + 128 + 128,
    "4b": 192 + 128 + 128 + 128,
    "4c": 160 + 160 + 160 + 128,
    "4d": 96 + 192 + 192 + 128,
    "4e": 192 + 256 + 608,
    "5a": 352 + 320 + 224 + 128,
    "5b": 352 + 320 + 224 + 128,
}


@pytest.fixture(scope="module")
def model():
    return models.build("se_bn_inception", input_shape=(64, 64, 3), include_top=False)


def test_modules_have_the_channels_and_sizes_of_figure_5(model):
    sides = {"3a": 8, "3b": 8, "5a": 2, "5b": 2} | {"3c": 4, "4e": 2}
    for name, channels in CHANNELS.items():
        side = sides.get(name, 4)
        module = model.get_layer(f"inception_{name}_concat")
        assert module.output.shape == (None, side, side, channels)


def test_se_stands_on_each_concatenation(model):
    se = [layer for layer in model.layers if layer.name.endswith("_se")]
    assert [layer.name for layer in se] == [f"inception_{name}_se" for name in CHANNELS]
    assert [layer.output.shape[-1] for layer in se] == list(CHANNELS.values())


def test_an_average_counts_the_zeros_around_the_image(model):
    start, end = (model.get_layer(f"inception_3a_4_1{part}") for part in ("_pad", ""))
    pooled = keras.Model(start.input, end.output)(np.ones((1, 8, 8, 192), "float32"))
    rows = np.array([2, *[3] * 6, 2]) / 3  # of three rows the outermost windows have two
    np.testing.assert_allclose(pooled[0, :, :, 0], np.outer(rows, rows), rtol=1e-6)
