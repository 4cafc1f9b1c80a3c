"""By what a variant of SE is known, and when a prediction is good."""

import json

import pytest

from keras_se import SEConfig
from mobile.tuning.block_costs import configuration_of, rows_of
from tests.mobile.tuning.profiles import STATIC, by_hand, check, chosen


def test_a_static_gate_is_known_by_its_place_alone():
    other = SEConfig(kind="static", reduction=2, gate="tanh", placement="standard")
    assert other != STATIC
    assert by_hand().share(chosen(b3=other)) == 0.0


def test_a_prediction_is_good_within_15_per_cent_of_ses_share():
    # 0.1 is within 15 % of 0.1 / 0.86, not of 0.1 / 0.84; equal files that are 0.03 apart decide
    # nothing about the latter.
    good, off, open_ = check(0.1, 0.1 / 0.86), check(0.1, 0.1 / 0.84), check(0.1, 0.1 / 0.84, 0.03)
    assert [c.good for c in (good, off, open_)] == [True, False, False]
    assert [c.undecided for c in (good, off, open_)] == [False, False, True]
    assert good.error == pytest.approx(0.86 - 1)


def test_a_configuration_goes_through_plain_values():
    configuration = ((None, STATIC), (SEConfig(reduction=4),))
    values = json.loads(json.dumps(rows_of(configuration)))
    assert values[0][0] is None and values[1][0]["reduction"] == 4
    assert configuration_of(values) == configuration
