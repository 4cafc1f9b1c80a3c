"""Whether the ranking holds and whether SE pays, on a tuning written by hand."""

import dataclasses
import json
import re

import pytest
import scipy.stats

from mobile.tuning.tuning_record import Tuning
from tests.mobile.tuning import tunings
from tests.mobile.tuning.tunings import (
    ALONE,
    NO_SE,
    OTHER,
    TUNED,
    WIDER,
    by_hand,
    finalist,
    trained,
)


def judged(tuned, wider=WIDER, **changes):
    networks = (NO_SE, *((wider,) if wider else ()), tuned)
    return by_hand(finalists=networks, **changes)


def test_se_that_gains_over_both_pays():
    tuning = by_hand()
    assert tuning.pays is True
    # Over no SE 1.0, 1.1, 1.2; over the wider network half a point less each.
    assert tuning.verdict.startswith(
        "At 4.1 % more time on local, SE gains 1.1 ± 0.2 points over no SE, and 0.6 ± 0.2 over the "
        "network 1.06 times as wide: it pays. "
    )


@pytest.mark.parametrize(
    ("int8", "said"),
    [
        # Surely more than no SE, and surely less than the wider one: 0.2, 0.2, 0.3.
        ((60.2, 61.2, 62.3), ": it does not pay. "),
        # Surely less than no SE.
        ((59.0, 60.0, 61.1), ": it does not pay. "),
        # Over the wider one by 0.5, -0.2, 0.3.
        ((61.0, 61.3, 62.8), ": it does not pay as far as 3 seeds can tell. "),
    ],
)
def test_se_that_does_not_gain_over_the_wider_network_does_not_pay(int8, said):
    tuning = judged(finalist("tuned 1", "tuned", int8, 0.03))
    assert tuning.pays is False and said in tuning.verdict


def test_without_a_wider_network_the_verdict_says_so():
    tuning = judged(TUNED, wider=None)
    assert tuning.pays is True
    assert ": it pays, as far as no wider network says. " in tuning.verdict
    assert "No wider network of the same time was there" in tuning.verdict


def test_se_that_takes_no_time_needs_no_wider_network():
    free = judged(
        finalist("tuned 1", "tuned", (61.0, 62.1, 63.2), 0.001), wider=None
    )  # -0.4 to 0.6
    assert ": it pays. " in free.verdict
    assert "As it takes no more time, no SE is what it is to be compared with." in free.verdict


def test_the_wider_network_is_told_over_the_one_without():
    narrow = dataclasses.replace(NO_SE, width=0.5)
    tuning = by_hand(finalists=(narrow, dataclasses.replace(WIDER, width=0.55), TUNED))
    assert "over the network 1.10 times as wide" in tuning.verdict


def test_one_seed_says_nothing():
    networks = [dataclasses.replace(f, trained=f.trained[:1]) for f in (NO_SE, WIDER, TUNED)]
    tuning = by_hand(finalists=tuple(networks))
    assert tuning.pays is None
    assert "one seed says nothing of whether that is more than chance" in tuning.verdict


@pytest.mark.parametrize(
    ("finalists", "said"),
    [
        ((), "no tuned network that ran"),
        ((NO_SE, WIDER), "no tuned network that ran"),
        ((NO_SE, finalist("tuned 1", "tuned", (61.0,), reason="refused")), "no tuned network"),
        ((TUNED, WIDER), "no network without SE"),
    ],
)
def test_where_the_networks_are_missing_nothing_is_said(finalists, said):
    tuning = by_hand(finalists=finalists)
    assert tuning.pays is None and said in tuning.verdict
    assert said in str(tuning)


def test_the_winner_is_chosen_by_validation_images_not_by_the_test():
    lucky = dataclasses.replace(OTHER, trained=trained((70.0, 71.0, 72.0), validation=55.0))
    assert by_hand(finalists=(NO_SE, lucky, TUNED)).winner is TUNED


def test_a_network_over_the_budget_wins_only_alone():
    slow = dataclasses.replace(
        finalist("tuned 2", "tuned", (70.0, 71.0, 72.0), 0.08), configuration=OTHER.configuration
    )
    assert by_hand(finalists=(NO_SE, slow, TUNED)).winner is TUNED  # 3.6 to 4.6 % may be 4 %
    alone = by_hand(finalists=(NO_SE, slow))
    assert alone.winner is slow
    assert "The time is over the budget of 4.0 %." in alone.verdict
    assert "over the budget" not in by_hand().verdict


def test_a_wider_network_of_another_time_is_told():
    slower = dataclasses.replace(WIDER, time=dataclasses.replace(WIDER.time, value=1.06))
    # 1.06 / 1.041 = 1.018
    assert "The wider network takes 1.8 % more time than this." in judged(TUNED, slower).verdict
    assert "The wider network" not in judged(TUNED).verdict  # 1.04 / 1.041: 0.1 % apart


def test_the_noise_of_the_test_images_is_told():
    # 1.96 sqrt(0.621 * 0.379 / 10,000) = 0.95 points
    assert "as many others would move each accuracy by up to 1.0 points" in by_hand().verdict


def test_the_frontier_holds_what_no_other_beats():
    # By time: no SE and static everywhere at 0 % (61.0, 61.1), tuned 2 at 3 % (62.0), wider at 4 %
    # (61.5), tuned 1 at 4.1 % (62.1), SE everywhere at 33 % (63.0).
    names = [each.name for each in by_hand().frontier]
    assert names == ["static everywhere", "tuned 2", "tuned 1", "SE everywhere"]
    failed = finalist("tuned 3", "tuned", (99.0, 99.0, 99.0))
    assert failed not in by_hand(finalists=(*tunings.FINALISTS, failed)).frontier


def test_the_supernets_order_is_held_against_training_alone():
    tuning = by_hand()
    losses, accuracies = ([getattr(a, n) for a in ALONE] for n in ("loss", "accuracy"))
    assert tuning.tau is not None
    assert tuning.tau[0] == pytest.approx(-scipy.stats.kendalltau(losses, accuracies).statistic)
    assert tuning.tau[0] == pytest.approx((27 - 1) / 28)
    assert tuning.ranking.startswith("The supernet ranks configurations as training alone does")


def test_an_order_that_may_be_chance_is_called_that():
    order = (0.63, 0.61, 0.66, 0.60, 0.67, 0.62, 0.65, 0.64)
    mixed = tuple(dataclasses.replace(a, accuracy=b) for a, b in zip(ALONE, order, strict=True))
    said = by_hand(alone=mixed).ranking
    assert said.startswith("The supernet does not rank: Kendall's tau 0.")
    assert "which may be chance. Trust what the finalists show" in said
    turned = tuple(dataclasses.replace(a, loss=2 - a.loss) for a in ALONE)
    assert by_hand(alone=turned).ranking.startswith(
        "The supernet does not rank: Kendall's tau -0.93"
    )


@pytest.mark.parametrize(
    ("alone", "said"),
    [
        ((), "only 0 configurations were trained alone, and 5 is the least"),
        (ALONE[:4], "only 4 configurations"),
        (
            tuple(dataclasses.replace(a, accuracy=0.1) for a in ALONE),
            "8 configurations trained alone are all alike",
        ),
    ],
)
def test_too_few_to_rank_are_called_that(alone, said):
    tuning = by_hand(alone=alone)
    assert tuning.tau is None
    assert re.search(f"is not known: {said}", tuning.ranking)


def test_configurations_are_counted_by_who_proposed_them_and_by_the_budget():
    tuning = by_hand()
    # None; expanded up to block 3 (4 %); projected up to block 7 (half of 8 %).
    assert len(tuning.within_budget) == 1 + 4 + 8
    assert "24 configurations compared (23 by single, 1 by tpe), 13 of them within 4.0 %" in str(
        tuning
    )


def test_networks_without_a_seed_in_common_are_refused():
    other = dataclasses.replace(TUNED, trained=trained((61.0,), first_seed=5))
    with pytest.raises(ValueError, match=r"'no SE' with \[0, 1, 2\]; 'tuned 1' with \[5\]\. Train"):
        by_hand(finalists=(NO_SE, other))


def test_a_tuning_comes_back_from_its_file(tmp_path):
    tuning = by_hand(created="2026-01-01T00:00:00+00:00", notes=("no wider network",))
    path = tuning.save(tmp_path / "t.json")
    assert Tuning.load(path) == tuning
    assert json.loads(path.read_text())["verdict"] == tuning.verdict
    assert str(tuning).endswith("\n! no wider network")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "keras-se profile"}, "'keras-se profile'.*keras-se tune"),
        ({"budget": -0.1}, "budget"),
        ({"alone": [{"configuration": [], "loss": float("nan"), "accuracy": 0.1}]}, "loss"),
        ({"evaluations": [{"configuration": [[1]]}]}, r"evaluations\[0\]\.configuration\[0\]\[0\]"),
    ],
)
def test_a_file_that_is_none_is_refused(changes, said, tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(by_hand().to_dict() | changes))
    with pytest.raises(ValueError, match=f"t.json: .*{said}"):
        Tuning.load(path)


def test_no_name_steers_the_terminal():
    assert "\x1b" not in str(by_hand(data="\x1b[2J", notes=("a\x1b[2J",)))
