"""Blocks cut out of networks: what they hold, and which are equal."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_se import MOBILENET_V3, SEConfig, models
from mobile.tuning import isolated_blocks

SHAPE = (64, 64, 3)


def built(network="mobilenet_v3_small", se=None):
    return models.build(network, se, SHAPE, include_top=False)


@pytest.fixture(scope="module")
def places():
    return models.places("mobilenet_v3_small")


@pytest.fixture(scope="module")
def plain():
    return built()


def alone_in(network, place):
    return isolated_blocks.isolate(network, place, summed=True)


def layers_of(model):
    return [layer.name for layer in model.layers if layer.name[:5] == "block"]


def test_a_block_is_what_the_network_has_between_its_neighbours(plain, places):
    alone = alone_in(plain, places[4])
    (inner,) = (layer for layer in alone.layers if isinstance(layer, keras.Model))
    assert layers_of(inner) == [n for n in layers_of(plain) if n.startswith("block_4_")]
    # The network computes the same from what enters the block.
    ends = plain.get_layer("block_3_3_bn").output, plain.get_layer("block_4_add").output
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *SHAPE)).astype("float32")
    entering, leaving = keras.Model(plain.input, ends)(pixels)
    np.testing.assert_array_equal(inner(entering), leaving)


def test_a_sum_stands_behind_a_block_whose_successor_has_a_shortcut(plain, places):
    # By the strides and widths of table 2 of the paper, blocks 2, 4, 5, 7, 9 and 10 have one.
    summed = [isolated_blocks.is_summed(plain, place) for place in places]
    assert summed == [i + 1 in (2, 4, 5, 7, 9, 10) for i in range(11)]
    for behind in (True, False):
        alone = isolated_blocks.isolate(plain, places[0], behind)
        sums = [layer for layer in alone.layers if isinstance(layer, keras.layers.Add)]
        assert len(sums) == behind


def test_several_inputs_come_along():
    unet = models.build("unet", None, SHAPE, include_top=False)
    alone = alone_in(unet, models.places("unet")[0])
    assert len(alone.inputs) == 2
    images = isolated_blocks.inputs_for(alone, 3)
    assert [x.shape for x in images] == [(3, *i.shape[1:]) for i in alone.inputs]


def test_equal_blocks_have_one_fingerprint_whatever_they_are_called():
    network = built("mobilenet_v2")
    places = models.places("mobilenet_v2")
    prints = [
        isolated_blocks.structure(
            isolated_blocks.isolate(network, p, isolated_blocks.is_summed(network, p))
        )
        for p in places
    ]
    equal = [(i, j) for i in range(17) for j in range(i) if prints[i] == prints[j]]
    # Table 2 of the paper repeats 1, 2, 3, 4, 3, 3, 1 times: of a row, the first block strides or
    # widens, and behind the last there is no shortcut. So equal are the second and third of four.
    assert equal == [(8, 7)]


def test_another_kind_or_place_or_width_of_se_has_another_fingerprint(places):
    variants = [
        None,
        MOBILENET_V3,
        dataclasses.replace(MOBILENET_V3, reduction=8),
        dataclasses.replace(MOBILENET_V3, kind="sse"),
        dataclasses.replace(MOBILENET_V3, placement="projected"),
    ]
    prints = [isolated_blocks.structure(alone_in(built(se=[v] * 11), places[4])) for v in variants]
    assert len(set(prints)) == 5


def test_a_place_that_a_block_without_a_sum_has_not_leaves_it_as_it_is(plain, places):
    identity = built(se=[SEConfig(placement="identity")] * 11)
    for place, equal in ((places[0], True), (places[4], False)):
        alone = [alone_in(m, place) for m in (plain, identity)]
        first, second = map(isolated_blocks.structure, alone)
        assert (first == second) is equal


def test_of_a_static_gate_lowering_leaves_nothing_but_beside_a_shortcut(plain, places):
    for placement, free in (("expanded", True), ("projected", True), ("identity", False)):
        model = built(se=[SEConfig(kind="static", placement=placement)] * 11)
        alone = [alone_in(m, places[4]) for m in (plain, model)]
        without, with_ = (isolated_blocks.operations(m, "xnnpack") for m in alone)
        assert (without == with_) is free
