"""MobileNetV1, row by row of its table 1."""

import pytest

from keras_se import PAPER, models
from keras_se.counting import complexity

# Channels behind each of the thirteen pointwise convolutions, and the image's side over theirs.
CHANNELS = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
STRIDES = (2, 4, 4, 8, 8, *[16] * 6, 32, 32)


def build(name="mobilenet_v1", **kwargs):
    return models.build(name, **{"input_shape": (64, 64, 3), "classes": 10, "width": 0.25} | kwargs)


def test_blocks_have_the_sizes_of_table_1():
    model = build(width=1.0, include_top=False)
    for i, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True), start=1):
        side = 64 // stride
        assert model.get_layer(f"block_{i}_2_conv").output.shape == (None, side, side, channels)
    assert len([layer for layer in model.layers if "dwconv" in layer.name]) == 13


@pytest.mark.parametrize("width", [0.25, 0.3])
def test_channels_of_another_width_are_cut_and_parameters_are_those_of_arithmetic(width):
    stem, *channels = (int(n * width) for n in (32, *CHANNELS))  # 0.3: 9, 19, 38, ...
    total, inside = 9 * 3 * stem + 2 * stem, stem
    for out in channels:
        total += 9 * inside + 2 * inside + inside * out + 2 * out
        inside = out
    assert complexity(build(width=width)).trainable_params == total + inside * 10 + 10


def test_se_stands_behind_each_block():
    model = build("se_mobilenet_v1")
    names = [layer.name for layer in model.layers if layer.name.endswith("_se")]
    assert names == [f"block_{i}_se" for i in range(1, 14)]
    # At a quarter of the width 16 to 256 channels; the paper's SE has 2 * C * max(C // 16, 1).
    added = sum(2 * (c // 4) * max(c // 4 // PAPER.reduction, 1) for c in CHANNELS)
    assert complexity(model).se_params == added
