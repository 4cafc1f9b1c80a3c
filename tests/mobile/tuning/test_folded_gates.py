"""The record of a folding: its shares, its table, its file."""

import json

import pytest

from mobile.tuning.folded_gates import FoldedGate, GateFolding


def record(device=None, **changes):
    """Gates of 64, 32 and 8 values, and 30, 5 and 1 us: c went first, then a."""
    gates = (
        FoldedGate("a", (4, 4, 4), 0.1, 0.02, 0.98, 30.0, 2, 0.95, 0.7),
        FoldedGate("b", (4, 4, 2), 0.3, 0.4, 0.6, 5.0, reason="it would keep less than 90.0%"),
        FoldedGate("c", (2, 2, 2), 0.0, 0.0, 1.0, 1.0, 1, 1.0, 0.72),
    )
    return GateFolding("net", gates, "time", 0.9, 100, 100, device, **changes)


def test_gates_come_in_the_order_in_which_they_went():
    assert [gate.block for gate in record().folded] == ["c", "a"]


@pytest.mark.parametrize(("device", "whole", "parts"), [(None, 104, (8, 72)), ("pi", 36, (1, 31))])
def test_what_folding_saves_is_the_share_of_all_gates(device, whole, parts):
    folding = record(device)
    assert folding.saved(1) == pytest.approx(parts[0] / whole)
    assert folding.saved() == pytest.approx(parts[1] / whole)


def test_agreement_is_that_of_the_model_that_comes_back():
    assert record().agreement == 0.95
    fitted = record(refitted=0.97)
    assert fitted.agreement == 0.97
    assert "97.0 % agreement on 100 images" in str(fitted) and "It was 95.0 % before" in str(fitted)
    assert "before the kernels" not in str(record())


def test_without_a_folded_gate_nothing_changed():
    whole = GateFolding("net", record().gates[1:2], "elements", 0.9, 100, 100)
    assert (whole.folded, whole.agreement, whole.saved()) == ((), 1.0, 0.0)


def test_the_record_goes_through_json():
    for folding in (record(), record("pi", accuracy=0.72, refitted=0.97, refitted_accuracy=0.71)):
        again = GateFolding.from_dict(json.loads(folding.to_json()))
        assert again == folding and str(again) == str(folding)
