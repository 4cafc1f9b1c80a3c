"""Gains of networks that were trained alone, by arithmetic."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from mobile.tuning.finalists import Finalist, finalists_table
from tests.mobile.tuning import tunings
from tests.mobile.tuning.profiles import CSE, STATIC, configuration
from tests.mobile.tuning.tunings import NO_SE, TUNED, WIDER, finalist, trained


def test_a_gain_is_paired_by_seed():
    # 61 - 60, 62.1 - 61, 63.2 - 62: the seeds' own spread of a point drops out.
    gain = TUNED.gain(NO_SE)
    differences = [1.0, 1.1, 1.2]
    _, high = scipy.stats.t.interval(0.95, 2, loc=1.1, scale=scipy.stats.sem(differences))
    assert (gain.points, gain.half) == (pytest.approx(1.1), pytest.approx(high - 1.1, rel=1e-3))
    assert gain.seeds == 3 and gain.sure and not gain.loss
    back = NO_SE.gain(TUNED)
    assert (back.points, back.half) == pytest.approx((-gain.points, gain.half))
    assert back.loss and not back.sure


def test_only_seeds_that_both_have_are_paired():
    later = dataclasses.replace(TUNED, trained=trained((62.0, 70.0, 80.0), first_seed=1))
    # Seeds 1 and 2 alone: 62 - 61 and 70 - 62.
    gain = later.gain(NO_SE)
    assert (gain.points, gain.seeds) == (pytest.approx((1 + 8) / 2), 2)
    with pytest.raises(ValueError, match=r"'tuned 1' and 'no SE', which share none"):
        dataclasses.replace(TUNED, trained=trained((62.0,), first_seed=7)).gain(NO_SE)


def test_a_gain_within_the_spread_is_neither_gain_nor_loss():
    gain = finalist("a", "tuned", (61.0, 61.0, 62.0)).gain(NO_SE)  # 1, 0, 0
    assert gain.points == pytest.approx(1 / 3)
    assert not gain.sure and not gain.loss


def test_one_seed_is_never_sure():
    one = dataclasses.replace(NO_SE, trained=trained((40.0,)))
    gain = dataclasses.replace(TUNED, trained=trained((99.0,))).gain(one)
    assert math.isinf(gain.half) and not gain.sure and not gain.loss
    assert str(gain) == "59.0 (one seed)"


def test_accuracies_are_means_over_seeds():
    assert NO_SE.int8_accuracy[0] == pytest.approx(0.61)
    assert NO_SE.float_accuracy[0] == pytest.approx(0.62)
    values = np.array([0.60, 0.61, 0.62])
    assert NO_SE.int8_accuracy[1] == pytest.approx(
        scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(values), rel=1e-3
    )


def test_extra_time_is_over_the_network_without():
    assert (NO_SE.share, WIDER.share) == (0.0, pytest.approx(0.04))
    assert finalist("a", "tuned", (60.0,)).share is None


def test_a_configuration_is_told_by_what_stands_where():
    mixed = list(configuration(2, 8, se=CSE["projected"]))
    mixed[0] = (STATIC.to_dict(),)
    said = dataclasses.replace(TUNED, configuration=tuple(mixed)).words
    assert said == "static expanded in block 0; cse projected in blocks 2, 8 of 11"
    assert NO_SE.words == "no SE"


def test_the_table_has_a_row_a_network_and_says_who_failed():
    failed = finalist("tuned 3", "tuned", (60.0, 61.0, 62.0), reason="out of memory")
    lines = finalists_table([*tunings.FINALISTS, failed]).splitlines()
    assert len(lines) == 1 + 7
    assert lines[1].split() == [
        "no",
        "SE",
        "1",
        "1,000",
        "2,000",
        "62.00",
        "±",
        "2.48",
        "61.00",
        "±",
        "2.48",
        "2.000",
    ]
    assert lines[2].split()[1] == "1.06"
    assert lines[5].endswith("1.1 ± 0.2  2.082           4.1    3.6 to 4.6")
    assert lines[7].split()[-4:] == ["0.0", "±", "0.0", "failed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "spare"}, {"width": 0}, {"trained": []}, {"time_ms": 0},
        {"trained": [{"seed": 0, "float_accuracy": 0.5, "int8_accuracy": 61.0,
                      "validation_accuracy": 0.5}]},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_is_refused(changes):
    assert Finalist.from_dict(TUNED.to_dict()) == TUNED
    with pytest.raises(ValueError, match=next(iter(changes))):
        Finalist.from_dict(TUNED.to_dict() | changes)
