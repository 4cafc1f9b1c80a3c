"""What holds for every network: it builds, runs, saves, and `se` means what it says."""

import keras
import numpy as np
import pytest

from keras_se import MOBILE, SEConfig, SqueezeExcite, models
from keras_se.complexity import complexity


def small(name, **kwargs):
    return models.build(name, **{"input_shape": (48, 48, 3), "classes": 5, "width": 0.5} | kwargs)


def se_layers(model):
    return [layer for layer in model.layers if isinstance(layer, SqueezeExcite)]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v3_large"])
def test_v3_squeezes_where_tables_1_and_2_say(name):
    rows = models.find(name).rows
    with_se = [f"block_{i}_se" for i, r in enumerate(rows) if r.se]
    assert [layer.name for layer in se_layers(small(name))] == with_se


def test_minimalistic_twin_has_neither_se_nor_hard_swish_nor_5x5():
    model = small("mobilenet_v3_large_minimalistic")
    assert not se_layers(model)
    assert not any(layer.get_config().get("activation") == "hard_silu" for layer in model.layers)
    assert {getattr(layer, "kernel_size", (1, 1))[0] for layer in model.layers} == {1, 3}


def test_se_none_leaves_none():
    assert complexity(small("mobilenet_v3_small", se=None)).se_params == 0


def test_one_config_stands_where_the_paper_has_se():
    model = small("mobilenet_v3_small", se=MOBILE)
    assert len(se_layers(model)) == sum(row.se for row in models.find("mobilenet_v3_small").rows)
    assert {layer.reduction for layer in se_layers(model)} == {32}


def test_a_list_sets_each_stage_so_the_last_may_go_without():
    rows = models.find("mobilenet_v3_small").rows
    model = small("mobilenet_v3_small", se=["default"] * (len(rows) - 1) + [None])
    assert [layer.name for layer in se_layers(model)][-1] == "block_9_se"


@pytest.mark.parametrize(
    ("se", "error", "advice"),
    [
        ("paper", TypeError, "keras_se.PAPER"),
        (0.25, TypeError, "keras_se.PAPER"),
        ([None], ValueError, "11 stages"),
        ([16] * 11, TypeError, "write None"),
    ],
)
def test_bad_se_is_an_error_with_advice(se, error, advice):
    with pytest.raises(error, match=advice):
        small("mobilenet_v3_small", se=se)


@pytest.mark.parametrize(
    ("arguments", "error", "advice"),
    [
        ({"name": "mobilenet"}, ValueError, "mobilenet_v3_small"),
        ({"input_shape": (48, 48)}, ValueError, "pass \\(224, 224, 3\\)"),
        ({"classes": 0}, ValueError, "above 0"),
        ({"width": "half"}, ValueError, "Leave it out"),
        ({"depth": 2}, ValueError, "Leave them out"),
        ({"preprocessing": 3}, ValueError, "1 / 127"),
    ],
)
def test_bad_arguments_are_errors_with_advice(arguments, error, advice):
    with pytest.raises(error, match=advice):
        small(**{"name": "mobilenet_v3_small"} | arguments)


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


def test_features_come_one_a_resolution():
    model = small("mobilenet_v3_large", features_only=True, input_shape=(64, 64, 3))
    assert [shape[1] for shape in model.output_shape] == [32, 16, 8, 4, 2]


def test_output_stride_16_dilates_instead_of_striding():
    model = small("mobilenet_v3_small", include_top=False, output_stride=16)
    assert model.output_shape[1:3] == (3, 3)
    dilated = [x.name for x in model.layers if getattr(x, "dilation_rate", (1, 1)) != (1, 1)]
    assert dilated == [f"block_{i}_2_dwconv" for i in (8, 9, 10)]


def test_symmetric_padding_changes_no_size():
    same, symmetric = (small("mobilenet_v3_small", padding=p) for p in ("same", "symmetric"))
    assert [w.shape for w in same.weights] == [w.shape for w in symmetric.weights]
    assert any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in symmetric.layers)


def test_any_kind_of_se_fits_in_a_network():
    model = small("mobilenet_v3_small", se=SEConfig(kind="scse"))
    assert model(np.zeros((1, 48, 48, 3), "float32")).shape == (1, 5)
