"""What `build` takes and refuses: SE by row and block, sizes, settings; and where SE can stand."""

import keras
import numpy as np
import pytest

from keras_se import PAPER, PRESETS, SEConfig, SqueezeExcite, models
from keras_se.models.base import resolve_se


def small(network, **kwargs):
    return models.build(
        network, **{"input_shape": (48, 48, 3), "classes": 5, "width": 0.5} | kwargs
    )


def se_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]


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


@pytest.mark.parametrize(
    ("arguments", "error", "advice"),
    [
        ({"network": None}, ValueError, "Choose from 'mobilenet_v1'"),
        ({"input_shape": (48, 48)}, ValueError, "pass \\(224, 224, 3\\)"),
        ({"input_shape": 224}, ValueError, "input_shape=224 .* pass \\(224, 224, 3\\)"),
        ({"input_shape": "224"}, ValueError, "pass \\(224, 224, 3\\)"),
        ({"input_shape": (48, 48.5, 3)}, ValueError, "pass \\(224, 224, 3\\)"),
        ({"input_shape": (48, 48, None)}, ValueError, "channels known"),
        ({"input_shape": ()}, ValueError, "pass \\(224, 224, 3\\)"),
        ({"classes": 0}, ValueError, "For the published 1000, leave it out"),
        ({"classes": True}, TypeError, "must be an integer"),
        ({"classes": 2.5}, TypeError, "must be an integer"),
        ({"width": "half"}, TypeError, "width=1.0"),
        ({"width": float("nan")}, ValueError, "width=1.0"),
        ({"width": 0}, ValueError, "width=0.5"),
        ({"depth": 2}, ValueError, "knows padding, output_stride"),
        ({"paddin": "same"}, ValueError, "Did you mean 'padding'"),
        ({"clases": 2}, ValueError, "Did you mean 'classes'"),
        ({"weights": "imagenet"}, ValueError, r"keras_se\.weights\.load\(model, path\)"),
        ({"padding": "valid"}, ValueError, "Choose from 'same', 'symmetric'"),
        ({"output_stride": 7}, ValueError, "must be 8, 16 or 32"),
        ({"output_stride": True}, ValueError, "must be 8, 16 or 32"),
        ({"network": "resnet18", "stride_in": "2x2"}, ValueError, "Choose from '1x1', '3x3'"),
        ({"network": "resnet18", "pool": "foo"}, ValueError, "Choose from 'symmetric', 'end'"),
        ({"network": "efficientnet_b0", "drop_connect": 2}, ValueError, "For none, pass 0"),
        ({"network": "lraspp", "output_stride": 32}, ValueError, "Settings of a network"),
        ({"include_top": "no"}, TypeError, "include_top=True or include_top=False"),
        ({"features_only": 1}, TypeError, "features_only=True"),
        ({"classifier_activation": "sofmax"}, ValueError, "Did you mean 'softmax'"),
        ({"preprocessing": 3}, ValueError, "1 / 127"),
        ({"preprocessing": "tf"}, ValueError, "1 / 127"),
        ({"preprocessing": (1, 2, 3)}, ValueError, "1 / 127"),
        ({"preprocessing": ((1, 2), 0)}, ValueError, "the image's 3 channels"),
        ({"preprocessing": (float("nan"), 0)}, ValueError, "1 / 127"),
    ],
)
def test_bad_arguments_are_errors_with_advice(arguments, error, advice):
    with pytest.raises(error, match=advice):
        small(**{"network": "mobilenet_v3_small"} | arguments)


def test_a_name_with_a_typo_gets_the_nearest_names_only():
    with pytest.raises(ValueError, match="Did you mean 'mobilenet_v3_small'") as caught:
        models.build("mobilnet_v3_smal")
    assert "vgg" not in str(caught.value)


def test_a_model_may_have_a_name_of_its_own():
    assert small("mobilenet_v3_small").name == "mobilenet_v3_small"
    assert small("mobilenet_v3_small", name="left").name == "left"


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", ["mobilenet_v2", "se_resnet18", "unet"])
def test_channels_first_is_refused_in_one_sentence(channels_first, name):
    with pytest.raises(ValueError, match="Networks are built for images with the channels last"):
        small(name)


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


def test_places_are_the_blocks_of_the_tables():
    rows = models.find("mobilenet_v3_small").rows
    assert [(p.layer, p.channels, p.projected) for p in models.places("mobilenet_v3_small")] == [
        (f"block_{i}_se", row.expanded, row.out) for i, row in enumerate(rows)
    ]
    v2 = models.places("mobilenet_v2")
    # t, c, n of table 2; each block expands its input by t
    table = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    inputs, expected = 32, []
    for row, (t, c, n) in enumerate(table):
        for block in range(n):
            expected.append((row, block, t * inputs, c))
            inputs = c
    assert [(p.row, p.block, p.channels, p.projected) for p in v2] == expected


NO_PROJECTION = ["se_resnet18", "unet", "vgg16_bn", "bn_inception", "shufflenet_v1"]


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v3_small", "se_resnet18", "unet"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("efficientnet_b0", "lraspp")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in NO_PROJECTION[2:]),
    ],
)
def test_se_at_one_place_is_the_layer_that_the_place_names(name):
    found = models.places(name)
    rows = models.find(name).rows
    for place in (found[0], found[len(found) // 2], found[-1]):
        assert (place.projected is None) == (name in NO_PROJECTION)
        for at, channels in (("standard", place.channels), ("projected", place.projected)):
            if channels is None:
                continue
            se = [[None] * getattr(row, "repeat", 1) for row in rows]
            se[place.row][place.block] = SEConfig(placement=at)
            encoder = {"encoder_se": None} if name == "unet" else {}
            model = models.build(name, se, input_shape=(64, 64, 3), include_top=False, **encoder)
            (layer,) = se_layers(model)
            assert (layer.name, layer.output.shape[-1]) == (place.layer, channels)
