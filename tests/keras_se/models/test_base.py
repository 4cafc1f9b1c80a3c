"""What every network shares: SE by row and block, preprocessing, rounding."""

import keras
import numpy as np
import pytest

from keras_se import MOBILE, PAPER, PRESETS, SEConfig, models
from keras_se.counting import complexity
from keras_se.models.base import resolve_se, round_channels
from tests.keras_se.models.small import se_layers, small


@pytest.mark.parametrize(
    ("se", "error", "advice"),
    [
        (0.25, TypeError, "keras_se.PAPER"),
        ("papre", ValueError, "Did you mean 'paper'"),
        ([None], ValueError, "one entry for each row of 'se_resnet18': 4, of 2, 2, 2, 2 blocks"),
        ([16] * 4, TypeError, r"`se\[0\]` must be .* write None"),
        (
            [None, [PAPER], None, None],
            ValueError,
            r"`se\[1\]` .* each block of that row .*: 2\. Rec",
        ),
        ([None, None, [None, "papre"], None], ValueError, r"`se\[2\]\[1\]`.*'paper'"),
        ([None, None, [None, [PAPER]], None], TypeError, r"`se\[2\]\[1\]`"),
    ],
)
def test_bad_se_is_an_error_that_names_the_row_and_what_it_needs(se, error, advice):
    with pytest.raises(error, match=advice):
        small("se_resnet18", se=se)


def test_presets_have_their_names_here_as_on_the_command_line():
    for name, preset in PRESETS.items():
        rows = resolve_se(models.find("se_resnet18"), name)
        assert rows == ((preset, preset),) * 4
    assert resolve_se(models.find("se_resnet18"), "none") == ((None, None),) * 4


def test_a_row_may_tell_each_of_its_blocks():
    model = small("se_resnet18", se=[None, [None, PAPER], "default", [SEConfig("sse"), "none"]])
    assert {layer.name: type(layer).__name__ for layer in model.layers if "_se" in layer.name} == {
        "conv3_block2_se": "SqueezeExcite",
        "conv4_block1_se": "SqueezeExcite",
        "conv4_block2_se": "SqueezeExcite",
        "conv5_block1_se": "SpatialSqueezeExcite",
    }


def test_rows_of_one_block_take_an_entry_or_a_list_of_one():
    rows = len(models.find("mobilenet_v3_small").rows)
    plain, listed = ([PAPER] * rows, [[PAPER]] * rows)
    network = models.find("mobilenet_v3_small")
    assert resolve_se(network, plain) == resolve_se(network, listed) == ((PAPER,),) * rows


def test_one_config_stands_where_the_paper_has_se():
    model = small("mobilenet_v3_small", se=MOBILE)
    assert len(se_layers(model)) == sum(row.se for row in models.find("mobilenet_v3_small").rows)
    assert {layer.reduction for layer in se_layers(model)} == {32}


def test_a_list_sets_each_stage_so_the_last_may_go_without():
    rows = models.find("mobilenet_v3_small").rows
    model = small("mobilenet_v3_small", se=["default"] * (len(rows) - 1) + [None])
    assert [layer.name for layer in se_layers(model)][-1] == "block_9_se"


def test_se_none_leaves_none():
    assert complexity(small("mobilenet_v3_small", se=None)).se_params == 0


def test_preprocessing_takes_pixels_to_what_the_network_expects():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype("float32")
    with_it = small("mobilenet_v3_small")
    without = small("mobilenet_v3_small", preprocessing=False)
    other = small("mobilenet_v3_small", preprocessing=((1 / 255,) * 3, (-0.5, -0.5, -0.5)))
    without.set_weights(with_it.get_weights())
    other.set_weights(with_it.get_weights())
    assert without.layers[1].name == "conv_conv"
    np.testing.assert_allclose(with_it(pixels), without(pixels / 127.5 - 1), atol=1e-5)
    np.testing.assert_allclose(other(pixels), without(pixels / 255 - 0.5), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 5])
def test_images_without_three_channels_get_the_mean_of_the_colours_constants(channels):
    model = models.build("efficientnet_b0", input_shape=(32, 32, channels), width=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, channels)).astype("float32")
    # ImageNet's colours have means 0.485, 0.456, 0.406 and deviations 0.229, 0.224, 0.225
    scale = np.mean([1 / 0.229, 1 / 0.224, 1 / 0.225]) / 255
    offset = -np.mean([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225])
    found = keras.Model(model.input, model.get_layer("rescaling").output)(pixels)
    np.testing.assert_allclose(found, pixels * scale + offset, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "rounded"),
    # To the nearest 8; up where 8 less would be below 0.9 of it: 18 -> 24, as 16 < 16.2.
    [(1, 8), (11, 16), (18, 24), (30, 32), (33.6, 32), (96 * 0.35, 32), (1280 * 1.4, 1792)],
)
def test_channels_are_rounded_by_the_mobilenet_rule(value, rounded):
    assert round_channels(value) == rounded
    assert rounded >= 0.9 * value
