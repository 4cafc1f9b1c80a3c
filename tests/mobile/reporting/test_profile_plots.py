"""What the picture of a profile shows."""

import pytest

from mobile.reporting import profile_plots
from tests.mobile.tuning.profiles import by_hand, check


def test_each_block_has_a_bar_a_variant_that_was_timed(figures):
    profile_plots.costs(by_hand())
    (axes,) = figures[0].axes
    heights = [bar.get_height() for bar in axes.patches]
    # Block i: i + 1 % of 2 ms expanded, but for block 5, which failed; half of that projected.
    expanded = [20.0 * (i + 1) for i in range(11) if i != 5]
    assert heights == pytest.approx([*expanded, *(10.0 * (i + 1) for i in range(11))])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["cse expanded", "cse projected"]
    assert axes.get_xticklabels()[0].get_text() == "block_0\n56x56x16"


def test_checks_are_drawn_as_predicted_against_measured(figures):
    profile_plots.costs(by_hand([check(0.1, 0.11), check(0.2, 0.3)]))
    _, axes = figures[0].axes
    (points,) = (line for line in axes.lines if line.get_marker() == "o")
    assert points.get_xdata() == pytest.approx([11.0, 30.0])
    assert points.get_ydata() == pytest.approx([10.0, 20.0])
