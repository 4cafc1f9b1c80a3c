"""MobileNetV3 and its minimalistic twins."""

import keras
import pytest

from keras_se import models
from tests.keras_se.models.small import se_layers, small


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


def test_output_stride_16_dilates_instead_of_striding():
    model = small("mobilenet_v3_small", include_top=False, output_stride=16)
    assert model.output_shape[1:3] == (3, 3)
    dilated = [x.name for x in model.layers if getattr(x, "dilation_rate", (1, 1)) != (1, 1)]
    assert dilated == [f"block_{i}_2_dwconv" for i in (8, 9, 10)]


def test_symmetric_padding_changes_no_size():
    same, symmetric = (small("mobilenet_v3_small", padding=p) for p in ("same", "symmetric"))
    assert [w.shape for w in same.weights] == [w.shape for w in symmetric.weights]
    assert any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in symmetric.layers)
