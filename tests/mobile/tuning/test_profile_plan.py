"""Which variants of SE a profile is to time, and how a configuration of them is written."""

import dataclasses

import pytest

import keras_se
from keras_se import MOBILENET_V3, SEConfig, models
from mobile.tuning.profile_plan import Plan

NETWORK = "mobilenet_v3_small"
EXPANDED = dataclasses.replace(MOBILENET_V3, placement="expanded")


def plan(se="default", kinds=("cse",), places=("expanded",), size=None):
    return Plan.of(NETWORK, se, kinds, places, size, "xnnpack")


@pytest.mark.parametrize(
    ("se", "place", "expected"),
    [
        ("default", "standard", EXPANDED),  # "standard" is the expanded tensor
        (SEConfig(reduction=8), "projected", SEConfig(reduction=8, placement="projected")),
        ("paper", "projected", dataclasses.replace(keras_se.PAPER, placement="projected")),
    ],
)
def test_the_variants_start_from_the_networks_own_or_a_given_one(se, place, expected):
    assert set(plan(se, places=[place]).variants.values()) == {(expected,)}


def test_every_block_has_each_kind_at_each_place_once():
    # "standard" and "expanded" are one place.
    made = plan(kinds=("cse", "scse"), places=("standard", "expanded", "projected"))
    assert list(made.variants) == list(models.places(NETWORK))
    for variants in made.variants.values():
        assert [(se.kind, se.placement) for se in variants] == [
            (kind, place) for place in ("expanded", "projected") for kind in ("cse", "scse")
        ]


def test_a_configuration_is_one_that_build_takes():
    made = plan(size=32)
    rows = [len(row) for row in made.at(None)]
    assert rows == [1] * 11  # the rows of the paper's table 2
    third = list(made.variants)[2]
    chosen = made.configuration({third: EXPANDED})
    assert [row for row in chosen if row != [None]] == [[EXPANDED]] and chosen[2] == [EXPANDED]
    assert made.at(0) == [[EXPANDED]] * 11
    model = models.build(NETWORK, chosen, made.input_shape, include_top=False)
    assert [x.name for x in model.layers if isinstance(x, keras_se.SqueezeExcite)] == [third.layer]


def test_variants_are_ranked_as_they_were_asked_for():
    made = plan(kinds=("scse", "cse"))
    place = next(iter(made.variants))
    scse, cse = made.variants[place]
    assert sorted([SEConfig(reduction=2), cse, scse], key=made.rank(place)) == [
        scse, cse, SEConfig(reduction=2)
    ]  # fmt: skip


def test_a_network_without_places_for_se_is_refused(monkeypatch):
    monkeypatch.setattr(models, "places", lambda network: ())
    with pytest.raises(ValueError, match=rf"'{NETWORK}'.*no block"):
        plan()
