import pytest

from mobile.reporting import units


@pytest.mark.parametrize(
    ("value", "text"), [(0.98765, "98.8 %"), (0.0, "0.0 %"), (1, "100.0 %"), (None, "?")]
)
def test_a_share_is_a_percentage(value, text):
    assert units.percent(value) == text


def test_counts_are_in_millions():
    assert units.millions(2_542_856) == "2.54 M"


def test_squeeze_and_excitation_is_told_in_words():
    said = {"kind": "cse", "reduction": 4.0, "gate": "hard_sigmoid", "min_channels": 1}
    assert units.se_in_words(said) == "cse, reduction 4, hard_sigmoid gate"
    assert units.se_in_words({**said, "min_channels": 8}).endswith(", least width 8")
    assert units.se_in_words(None) == "none"
