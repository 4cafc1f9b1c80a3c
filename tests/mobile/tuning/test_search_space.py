"""Which configurations a search space has."""

import dataclasses

import numpy as np
import pytest

import keras_se
from keras_se import MOBILENET_V3, SEConfig, models
from mobile.tuning.search_space import SearchSpace

NETWORK = "mobilenet_v3_small"  # 11 rows of one block


def kinds_and_places(block):
    return [None if se is None else (se.kind, se.placement) for se in block]


@pytest.fixture(scope="module")
def space():
    return SearchSpace.of(NETWORK)


def test_each_block_has_none_each_kind_at_each_place_and_one_static_gate(space):
    assert len(space.blocks) == 11
    for block in space.blocks:
        assert kinds_and_places(block) == [
            None,
            ("cse", "projected"),
            ("scse", "projected"),
            ("static", "expanded"),
            ("cse", "expanded"),
            ("scse", "expanded"),
        ]
        assert block[1] == dataclasses.replace(MOBILENET_V3, placement="projected")
    assert space.count == 6**11


@pytest.mark.parametrize(
    ("network", "places", "expected"),
    [
        ("mobilenet_v2", ("projected",), [("static", "projected"), ("cse", "projected")]),
        ("resnet18", None, [("static", "standard"), ("cse", "standard")]),
        ("resnet18", ("pre", "post"), [("static", "pre"), ("cse", "pre"), ("cse", "post")]),
    ],
)
def test_a_static_gate_stands_at_the_standard_place_or_the_first(network, places, expected):
    made = SearchSpace.of(network, kinds=("static", "cse"), places=places)
    assert {tuple(kinds_and_places(block)) for block in made.blocks} == {(None, *expected)}


def test_rows_of_several_blocks_are_counted_along():
    made = SearchSpace.of("mobilenet_v2", kinds=("cse",))
    repeats = [row.repeat for row in models.find("mobilenet_v2").rows]
    assert repeats == [1, 2, 3, 4, 3, 3, 1]  # the paper's table 2
    numbers = (0, 0, 2, *[0] * 14)  # the third block is the second of the second row
    configuration = made.configuration(numbers)
    assert [len(row) for row in configuration] == repeats
    assert configuration[1] == (None, SEConfig(placement="expanded"))
    assert made.numbers(configuration) == numbers
    build = models.build("mobilenet_v2", configuration, (32, 32, 3), width=0.35)
    gates = [x.name for x in build.layers if isinstance(x, keras_se.SqueezeExcite)]
    assert gates == [models.places("mobilenet_v2")[2].layer]


def test_nowhere_and_everywhere(space):
    assert space.nowhere == ((None,),) * 11
    everywhere = space.everywhere(4)
    assert {kinds_and_places(row)[0] for row in everywhere} == {("cse", "expanded")}
    with pytest.raises(ValueError, match=r"a number below 6, .*\[6, 6.*0 is no SE"):
        space.everywhere(6)


def test_a_configuration_is_known_as_build_takes_it(space):
    # The network's own SE stands in all rows but the second and third of the paper's table 2; a
    # static gate is known by its place.
    assert space.numbers("default") == (4, 0, 0, *[4] * 8)
    static = SEConfig(kind="static", reduction=2)
    assert space.numbers([static] * 11) == (3,) * 11
    with pytest.raises(ValueError, match=r"one of the search space.*reduction=2.*in block 0"):
        space.numbers([SEConfig(reduction=2)] * 11)


def test_chance_gives_few_blocks_se_as_often_as_many(space):
    draw = np.random.default_rng(0)
    drawn = [space.numbers(space.random(draw)) for _ in range(1200)]
    counts = np.bincount([np.count_nonzero(each) for each in drawn], minlength=12)
    # Each of the 12 numbers of blocks 100 times; 5 standard deviations are 5 * sqrt(100 * 11/12).
    assert len(counts) == 12 and abs(counts - 100).max() < 48
    # Every block has each of its 5 variants about as often: 1200 / 2 / 5 = 120 times.
    chosen = np.array(
        [[np.sum(np.array(drawn)[:, i] == n) for n in range(1, 6)] for i in range(11)]
    )
    assert abs(chosen - 120).max() < 60
    dense = space.numbers(space.random(draw, dense=True))
    assert all(dense)


def test_neighbours_differ_in_one_block(space):
    start = space.random(np.random.default_rng(1))
    found = [space.numbers(each) for each in space.neighbours(start)]
    assert len(set(found)) == len(found) == 11 * 5
    here = np.array(space.numbers(start))
    assert {int((np.array(each) != here).sum()) for each in found} == {1}


def test_a_space_goes_through_json(space):
    again = SearchSpace.from_json(space.to_json())
    assert again == space and again.blocks == space.blocks
    assert again.fingerprint == space.fingerprint
    assert SearchSpace.of(NETWORK, kinds=("cse",)).fingerprint != space.fingerprint
    assert space.to_dict()["network"] == NETWORK


def test_what_is_no_space_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"kinds=.*Known: cse, sse, scse, static"):
        SearchSpace.of(NETWORK, kinds=("eca",))
    with pytest.raises(ValueError, match="must leave a choice"):
        SearchSpace(NETWORK, (((None,),),) * 11)
    with pytest.raises(ValueError, match=r"\[1, 1.*blocks. Received: \[1, 1\]"):
        SearchSpace(NETWORK, (((None,),),) * 2)
    cse = SEConfig().to_dict()
    for block in ((), (cse,), (None, cse, cse)):
        with pytest.raises(ValueError, match=r"each once.*block 10"):
            SearchSpace(NETWORK, (((None, cse),),) * 10 + ((block,),))
    monkeypatch.setattr(models, "places", lambda network: ())
    with pytest.raises(ValueError, match=r"places for SE.*no block"):
        SearchSpace.of(NETWORK)
