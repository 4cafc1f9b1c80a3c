"""Static squeeze-and-excitation costs nothing once lowered, and where it does, how much."""

import dataclasses
from collections import Counter

import keras
import numpy as np
import pytest

import keras_se
import mobile
from keras_se import blocks, models
from tests.mobile.lowering.lowered import assert_equal, kinds

STATIC = keras_se.SEConfig(kind="static", reduction=4)
RESIDUAL = [
    (blocks.basic_block, {"filters": 8}),
    (blocks.bottleneck_block, {"filters": 8}),
    (blocks.inverted_residual, {"filters": 8}),
    (blocks.shuffle_unit, {"filters": 8, "groups": 2}),
]


def drawn(model, seed=0):
    """The model with random weights, so that no gate is one half everywhere."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, w.shape) if "variance" in w.path else rng.normal(0, 0.3, w.shape)
            for w in model.weights
        ]
    )
    return model


def lowered_pair_of(block, se, options):
    """Two blocks of one shape in a row between convolutions, lowered."""
    x = image = keras.Input((6, 6, 8), name="image")
    x = keras.layers.Conv2D(8, 1)(x)
    for name in ("a", "b"):
        x = block(x, se=se, name=name, **options)
    return assert_equal(drawn(keras.Model(image, keras.layers.Conv2D(4, 1)(x))))


def places(block, options):
    """The placements that a block has."""
    for placement in keras_se.config.PLACEMENTS:
        se = dataclasses.replace(STATIC, placement=placement)
        try:
            block(keras.Input((6, 6, 8)), se=se, name="x", **options)
        except ValueError:
            continue
        yield placement, se


@pytest.mark.parametrize(("block", "options"), RESIDUAL, ids=[b.__name__ for b, _ in RESIDUAL])
def test_it_leaves_no_operator_except_where_the_scaled_tensor_is_read_twice(block, options):
    without = Counter(kinds(lowered_pair_of(block, None, options)))
    for placement, se in places(block, options):
        left = Counter(kinds(lowered_pair_of(block, se, options)))
        assert not without - left
        left -= without
        # What "post" and "identity" scale goes into the branch and past it: for each block
        # whose output, or input, is read by both one depthwise 1x1 stays.
        assert set(left) <= ({"DepthwiseConv2D"} if placement in ("post", "identity") else set())
        assert left["DepthwiseConv2D"] <= 2


@pytest.mark.parametrize(
    "network",
    [
        "mobilenet_v3_small",
        pytest.param("mobilenet_v2", marks=pytest.mark.slow),
        pytest.param("se_shufflenet_v1", marks=pytest.mark.slow),
    ],
)
def test_everywhere_in_a_network_its_files_have_the_operators_of_the_one_without(network):
    def operators(se, scheme):
        model = drawn(models.build(network, se, (32, 32, 3), classes=5, width=0.5))
        images = np.random.default_rng(0).uniform(0, 255, (100, 32, 32, 3)).astype("float32")
        options = {"calibration": images} if scheme == "int8" else {}
        return mobile.convert(model, scheme=scheme, **options).operators

    for scheme in ("float32", "int8"):
        assert operators(STATIC, scheme) == operators(None, scheme)
