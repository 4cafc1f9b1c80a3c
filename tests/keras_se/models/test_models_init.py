"""What `build` takes and refuses; the places and the figures of a network."""

import dataclasses

import keras
import pytest

from keras_se import SEConfig, models
from tests.keras_se.models.small import se_layers, small


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


def test_features_come_one_a_resolution():
    model = small("mobilenet_v3_large", features_only=True, input_shape=(64, 64, 3))
    assert [shape[1] for shape in model.output_shape] == [32, 16, 8, 4, 2]


def test_networks_do_not_depend_on_each_others_arguments():
    small("mobilenet_v3_small", padding="symmetric", se=None)
    assert models.find("mobilenet_v3_small").settings["padding"] == "same"
    assert se_layers(small("mobilenet_v3_small"))


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


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v1", "mobilenet_v3_small"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in models.names()
            if name not in ("mobilenet_v1", "mobilenet_v3_small")
        ),
    ],
)
def test_the_table_of_figures_is_what_counting_gives(name):
    assert models.describe(name) == models.count(name)


def test_a_network_of_ones_own_is_counted_rather_than_looked_up():
    network = models.find("mobilenet_v3_small")
    shorter = dataclasses.replace(network, rows=network.rows[:3])
    assert models.describe(shorter).params < models.describe(network).params


def test_description_is_what_papers_print():
    described = models.describe("mobilenet_v3_small")
    assert described.params == 2_542_856  # keras.applications' and torchvision's
    assert 0.18 < described.se_params_share < 0.19
    assert described.to_dict()["source"].startswith("arXiv:1905.02244")
