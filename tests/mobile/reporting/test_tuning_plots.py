"""What the picture of a tuning shows."""

import dataclasses

import pytest

from mobile.reporting import tuning_plots
from tests.mobile.tuning.tunings import FINALISTS, NO_SE, TUNED, by_hand, finalist


def marks(axes, *markers):
    return [line for line in axes.lines if line.get_marker() in markers and len(line.get_xdata())]


def test_each_timed_finalist_is_a_point_of_time_and_accuracy(figures):
    failed = finalist("tuned 3", "tuned", (99.0, 99.0, 99.0))
    tuning_plots.tradeoff(by_hand(finalists=(*FINALISTS, failed)))
    points = [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in marks(figures[0].axes[0], *"os")
    ]
    assert points == [
        # No SE takes 2 ms; the others so many % more.
        pytest.approx((2 * (1 + share), accuracy))
        for share, accuracy in [
            (0, 61),
            (0.04, 61.5),
            (0.33, 63),
            (0, 61.1),
            (0.041, 62.1),
            (0.03, 62),
        ]
    ]
    names = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert names == [*(f.name for f in FINALISTS), "beaten by none", "budget, 4.0 % more"]


def test_bars_are_the_intervals_of_time_and_of_the_gain(figures):
    tuning_plots.tradeoff(by_hand(finalists=(NO_SE, TUNED)))
    nothing, (across, along) = (each[2] for each in figures[0].axes[0].containers)
    assert nothing == ()
    ((left, y), (right, _)) = across.get_segments()[0]
    # 3.6 to 4.6 % more than 2 ms.
    assert (left, right, y) == pytest.approx((2.072, 2.092, 62.1))
    ((_, low), (_, high)) = along.get_segments()[0]
    half = TUNED.gain(NO_SE).half
    assert (low, high) == pytest.approx((62.1 - half, 62.1 + half))
    assert half < TUNED.int8_accuracy[1] * 100


def test_one_seed_has_no_upright_bars(figures):
    one = tuple(dataclasses.replace(f, trained=f.trained[:1]) for f in (NO_SE, TUNED))
    tuning_plots.tradeoff(by_hand(finalists=one))
    axes = figures[0].axes[0]
    assert [len(each[2]) for each in axes.containers] == [0, 1]
    assert axes.get_title(loc="left") == "trained alone, 1 seed"


def test_the_line_joins_what_no_other_beats(figures):
    tuning_plots.tradeoff(by_hand())
    (line,) = (li for li in figures[0].axes[0].lines if li.get_drawstyle() == "steps-post")
    assert line.get_xdata() == pytest.approx([2.0, 2.06, 2.082, 2.66])
    assert line.get_ydata() == pytest.approx([61.1, 62.0, 62.1, 63.0])


def test_all_evaluations_are_drawn_with_the_budget_and_the_chosen(figures):
    tuning = by_hand()
    tuning_plots.tradeoff(tuning)
    axes = figures[0].axes[1]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["single", "tpe", "chosen", "budget, 4.0 % more"]
    single, tpe, chosen = marks(axes, "o")
    assert (len(single.get_xdata()), len(tpe.get_xdata())) == (23, 1)
    assert (tpe.get_xdata()[0], tpe.get_ydata()[0]) == pytest.approx((33.0, 1.0))
    # Of the chosen ones, that of block 8 alone is among the evaluations: half of 9 %.
    assert list(chosen.get_xdata()) == pytest.approx([4.5])
    (budget,) = (li for li in axes.lines if li.get_linestyle() == ":" and len(li.get_xdata()))
    assert list(budget.get_xdata()) == pytest.approx([4.0, 4.0])


@pytest.mark.parametrize(("left_out", "panels"), [("finalists", 1), ("evaluations", 1), (None, 2)])
def test_what_there_is_not_has_no_panel(figures, left_out, panels):
    tuning_plots.tradeoff(by_hand(**{left_out: ()} if left_out else {}))
    assert len(figures[0].axes) == panels
