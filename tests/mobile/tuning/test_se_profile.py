"""Looking up what SE costs: arithmetic on a profile written by hand, and what is refused."""

import dataclasses
import json

import pytest

from keras_se import MOBILENET_V3, SEConfig
from mobile.tuning.se_profile import Profile
from tests.mobile.tuning.profiles import CSE, by_hand, check, chosen

NONE = [None] * 11


def test_a_network_takes_the_time_of_the_one_without_se_and_that_of_its_blocks():
    profile = by_hand()
    assert profile.predict(None) == profile.predict(NONE) == 2.0
    # Blocks 0, 2 and 10: 1 % and 3 % expanded, half of 11 % projected, of 2 ms.
    se = chosen(b0=CSE["expanded"], b2=CSE["expanded"], b10=CSE["projected"])
    assert profile.share(se) == pytest.approx(0.01 + 0.03 + 0.055)
    assert profile.predict(se) == pytest.approx(2.0 * (1 + 0.01 + 0.03 + 0.055))


def test_se_is_told_as_build_takes_it():
    profile = by_hand()
    # Projected in all blocks: half of 1 + 2 + ... + 11 %.
    everywhere = [CSE["projected"]] * 11
    assert profile.share(everywhere) == pytest.approx(0.66 / 2)
    by_block = [[each] for each in everywhere]
    assert profile.share(by_block) == pytest.approx(0.66 / 2)
    # The network's own SE, by name, in block 0: the standard place is the expanded tensor.
    assert MOBILENET_V3.placement == "standard"
    assert profile.share(chosen(b0="mobilenet_v3", b1="default")) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("se", "said"),
    [
        (
            chosen(b1=SEConfig(reduction=2)),
            r"reduction=2.*block 0 of row 1.*Run `keras-se profile`",
        ),
        (chosen(b1=dataclasses.replace(CSE["expanded"], kind="sse")), "kind='sse'.*cse expanded"),
        (chosen(b5=CSE["expanded"]), "cse expanded in block 0 of row 5.*out of memory"),
    ],
)
def test_a_variant_that_was_not_timed_is_refused(se, said):
    with pytest.raises(ValueError, match=said):
        by_hand().predict(se)


def test_a_block_that_was_not_reached_is_refused():
    part = by_hand()
    part = dataclasses.replace(part, blocks=part.blocks[:4])
    assert part.share(chosen(b3=CSE["expanded"])) == pytest.approx(0.04)
    with pytest.raises(ValueError, match=r"block 0 of row 4 of 'mobilenet_v3_small'.*it goes on"):
        part.share(chosen(b4=CSE["expanded"]))


OTHERS = {
    "network": "mobilenet_v2",
    "input_shape": (192, 192, 3),
    "target": "xnnpack-amx",
    "device": "adb:1234",
    "cpu": "Toy 2",
    "runtime": "tflite_runtime",
    "runtime_version": "2.0",
    "threads": 4,
    "kernels": "builtin",
}


@pytest.mark.parametrize("word", OTHERS)
def test_a_profile_of_another_is_refused_in_one_sentence(word):
    profile = by_hand()
    with pytest.raises(ValueError, match=rf"Wanted: {word} .*, not ") as error:
        profile.predict(None, **{word: OTHERS[word]})
    assert str(OTHERS[word]) in str(error.value) and ";" not in str(error.value)


def test_a_profile_of_what_is_wanted_is_taken_and_none_stands_for_any():
    wanted = {"network": "mobilenet_v3_small", "input_shape": [224, 224, 3], "target": "xnnpack"}
    assert by_hand().predict(None, **wanted, device="local", threads=1, runtime=None) == 2.0
    with pytest.raises(TypeError, match=r"'treads'.*Leave it out"):
        by_hand().predict(None, treads=1)


def test_the_time_without_se_is_the_middle_one_of_all_runs():
    profile = by_hand()
    times = [2.0] * 5 + [2.2] + [9.0] * 5
    blocks = [
        dataclasses.replace(b, network_ms=t) for b, t in zip(profile.blocks, times, strict=True)
    ]
    assert dataclasses.replace(profile, blocks=tuple(blocks)).network_ms == 2.2


def test_the_verdict_tells_the_undecided_from_those_that_are_off():
    open_ = check(0.1, 0.1 / 0.84, noise=0.03)
    profile = by_hand([check(0.1, 0.1 / 0.86), check(0.1, 0.1 / 0.84), open_])
    assert profile.off == (2,)
    assert "in 1 of 3 networks, and within what equal files differ by in 1 more" in profile.verdict


def test_where_costs_do_not_add_up_the_place_is_named():
    # Alone: block i costs i + 1 % expanded, half of it projected. In whole networks here, the
    # projected ones cost twice that, the expanded ones what they do alone.
    expanded = [check(0.01 * (i + 1), 0.01 * (i + 1), blocks=[i]) for i in (2, 3, 8)]
    projected = [
        check(0.005 * (i + 1), 0.01 * (i + 1), blocks=[i], se=CSE["projected"]) for i in (2, 3, 8)
    ]
    profile = by_hand([*expanded, *projected])
    assert profile.off == (4, 5, 6)
    assert profile.factors["expanded"] == pytest.approx(1.0, abs=0.01)
    assert profile.factors["projected"] == pytest.approx(2.0, abs=0.1)
    assert "check 4, check 5, check 6: in whole networks SE costs" in profile.verdict
    assert "at the place 'projected'" in profile.verdict
    assert "at the place 'expanded'" not in profile.verdict


def test_where_all_adds_up_nothing_is_named():
    assert by_hand([check(0.01, 0.011)]).verdict == (
        "SE's share is predicted within 15 % in 1 of 1 networks."
    )


def test_a_profile_comes_back_from_its_file(tmp_path):
    profile = by_hand([check(0.1, 0.11)], created="2026-01-01T00:00:00+00:00")
    assert Profile.load(profile.save(tmp_path / "p.json")) == profile
    assert profile.checks[0].configs == ((CSE["expanded"],), *[(None,)] * 10)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "keras-se measurements"}, "'keras-se measurements'.*keras-se profile"),
        ({"version": 2}, "version 2"),
        ({"blocks": [{"row": -1}]}, "blocks"),
        ({"target": 3}, "target"),
    ],
)
def test_a_file_that_is_none_is_refused(changes, said, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(by_hand().to_dict() | changes))
    with pytest.raises(ValueError, match=f"p.json: .*{said}"):
        Profile.load(path)


def test_a_file_that_is_no_record_is_refused(tmp_path):
    (tmp_path / "p.json").write_text("[1]")
    with pytest.raises(ValueError, match="Received: no record"):
        Profile.load(tmp_path / "p.json")


def test_a_disturbed_machine_is_told_of():
    profile = by_hand()
    assert "doubt" not in str(profile)
    noisy = dataclasses.replace(profile.blocks[3], notes=("The clock fell.",))
    profile = dataclasses.replace(profile, blocks=(*profile.blocks[:3], noisy))
    assert str(profile).endswith("! 1 of 4 blocks were timed under doubt; block_3: The clock fell.")


def test_the_table_tells_each_cost_in_microseconds():
    text = str(by_hand([check(0.1, 0.11)]))
    # Block 1: 2 % of 2 ms, give or take 0.1 %.
    lines = [line.split() for line in text.splitlines()]
    at = next(i for i, words in enumerate(lines) if words[:1] == ["block_1"])
    assert lines[at][:3] == ["block_1", "56x56x16", "100.0"]
    assert lines[at][3:] == ["cse", "expanded", "40.0", "38.0", "to", "42.0", "2.00"]
    assert lines[at + 1] == ["cse", "projected", "20.0", "20.0", "to", "20.0", "1.00"]
    assert "failed" in text and "out of memory." in text
    assert "2.000 ms without SE" in text
