"""ResNet, ResNeXt and SENet-154."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import models
from tests.keras_se.models.small import small


def test_caffes_pooling_drops_what_is_over_at_odd_sizes():
    # An image of 65 is 33 after the stem; Caffe pools 3x3 by 2 to ceil((33 - 3) / 2) + 1 = 16.
    model = small("se_resnet18", pool="end", input_shape=(65, 65, 3))
    pool = model.get_layer("pool1_pool")
    assert model.get_layer("conv1_act").output.shape[1] == 33
    assert pool.output.shape[1] == 16
    x = np.random.default_rng(0).uniform(0, 1, (1, 33, 33, 32)).astype("float32")
    after = keras.Model(model.get_layer("pool1_pad").input, pool.output)(x)
    windows = [[x[:, i : i + 3, j : j + 3].max((1, 2)) for j in range(0, 31, 2)] for i in (0, 30)]
    np.testing.assert_array_equal(after[:, 0], np.stack(windows[0], 1))
    np.testing.assert_array_equal(after[:, -1], np.stack(windows[1], 1))


def short(name, **kwargs):
    """The network with one block in each of its rows."""
    network = models.find(name)
    rows = tuple(dataclasses.replace(row, repeat=1) for row in network.rows)
    return models.build(
        dataclasses.replace(network, rows=rows), **{"input_shape": (64, 64, 3)} | kwargs
    )


@pytest.mark.parametrize(
    ("name", "repeats"),
    [
        ("resnet18", (2, 2, 2, 2)),
        ("resnet34", (3, 4, 6, 3)),
        ("resnet50", (3, 4, 6, 3)),
        ("resnet101", (3, 4, 23, 3)),
        ("resnet152", (3, 8, 36, 3)),
        ("resnext50_32x4d", (3, 4, 6, 3)),
        ("senet154", (3, 8, 36, 3)),
    ],
)
def test_the_number_in_the_name_counts_the_layers_with_weights(name, repeats):
    network = models.find(name)
    assert tuple(row.repeat for row in network.rows) == repeats
    convs = 3 if network.bottleneck else 2
    depth = len(network.stem) + convs * sum(repeats) + 1  # stem, blocks, classifier
    told = int("".join(c for c in name.removesuffix("_32x4d") if c.isdigit()))
    assert depth == told


@pytest.mark.parametrize(("name", "outer"), [("resnet18", 64), ("resnet50", 256)])
def test_stages_halve_the_size_and_double_the_channels(name, outer):
    shapes = [shape[1:] for shape in short(name, features_only=True).output_shape]
    expected = [(16 // 2**i, 16 // 2**i, outer * 2**i) for i in range(4)]
    assert shapes == [(32, 32, 64), *expected]


@pytest.mark.parametrize(
    ("name", "widths", "groups", "shortcut"),
    [
        ("resnet50", (64, 64), 1, 1),
        ("resnext50_32x4d", (128, 128), 32, 1),
        ("senet154", (128, 256), 64, 1),  # the first half as wide as the second
    ],
)
def test_blocks_have_the_widths_and_groups_of_the_tables(name, widths, groups, shortcut):
    model = short(name, include_top=False)
    convs = [model.get_layer(f"conv2_block1_{i}_conv") for i in (1, 2)]
    assert tuple(conv.filters for conv in convs) == widths
    assert convs[1].groups == groups
    side = 3 if name == "senet154" else 1
    assert model.get_layer("conv2_block1_shortcut_conv").kernel_size == (shortcut, shortcut)
    assert model.get_layer("conv3_block1_shortcut_conv").kernel_size == (side, side)


def test_senet154_begins_with_three_convolutions_of_3x3():
    model = short("senet154", include_top=False)
    stem = [model.get_layer(f"conv1_{i}_conv") for i in (1, 2, 3)]
    assert [(c.filters, c.kernel_size[0], c.strides[0]) for c in stem] == [
        (64, 3, 2),
        (64, 3, 1),
        (128, 3, 1),
    ]
