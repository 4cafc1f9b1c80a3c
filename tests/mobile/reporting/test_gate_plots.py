"""What the pictures of gates show."""

import numpy as np
import pytest

from keras_se.gate_statistics import BlockGates, Gates
from mobile.reporting import gate_plots
from mobile.tuning.folded_gates import FoldedGate, GateFolding


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def _block(name, means, class_means=None):
    means = np.array(means)
    return BlockGates(
        name, "cse", (4, 4, len(means)), means, 0.1 * means, means, 0.25, 0.0, class_means
    )


def test_gates_are_drawn_in_the_order_of_their_means_with_a_line_a_class(figures):
    classes = np.array([[0.1, 0.9, 0.4], [0.3, 0.7, 0.6]])
    found = Gates("net", 8, (_block("a", [0.2, 0.8, 0.5], classes),), ("cat", "dog"))
    gate_plots.gates(found)
    (axes,) = figures[0].axes
    cat, dog, mean = (line.get_ydata() for line in axes.lines[:3])
    assert cat.tolist() == [0.1, 0.4, 0.9] and dog.tolist() == [0.3, 0.6, 0.7]
    assert mean.tolist() == [0.2, 0.5, 0.8]
    assert axes.get_title(loc="left") == "a, 4x4x3"
    assert "a constant leaves 25.0%" in _texts(axes)
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["cat", "dog"]


def test_every_block_has_a_panel_and_empty_ones_are_blank(figures):
    found = Gates("net", 8, tuple(_block(name, [0.5, 0.1]) for name in "abcd"))
    gate_plots.gates(found)
    panels = figures[0].axes
    assert len(panels) == 6 and [p.axison for p in panels] == [True] * 4 + [False] * 2


def _folding(**changes):
    gates = (
        FoldedGate("cheap", (2, 2, 5), 0.0, 0.0, alone=1.0, order=2, agreement=0.9, accuracy=0.7),
        FoldedGate("dear", (4, 4, 5), 0.0, 0.0, alone=1.0, order=1, agreement=1.0, accuracy=0.8),
        FoldedGate("alive", (1, 1, 100), 0.3, 0.5, alone=0.4, agreement=0.4, accuracy=0.5,
                   reason="it would keep less"),
    )  # fmt: skip
    return GateFolding("net", gates, "elements", keep=0.8, fitted=50, judged=50, **changes)


def test_folding_is_drawn_step_by_step_against_what_it_saved(figures):
    gate_plots.folding(_folding())
    (axes,) = figures[0].axes
    line = axes.lines[0]
    # Of 20 + 80 + 100 elements, the dear one saves 80 first, then the cheap one 20.
    assert line.get_xdata().tolist() == [0, 40, 50] and line.get_ydata().tolist() == [100, 100, 90]
    assert _texts(axes) == ["dear", "cheap", "alive"]
    cross = axes.lines[1]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (100, 40)
    assert "multiplied elements" in axes.get_xlabel()


def test_accuracy_is_drawn_where_it_is_known(figures):
    gate_plots.folding(_folding(accuracy=0.8))
    (axes,) = figures[0].axes
    assert axes.lines[1].get_ydata().tolist() == pytest.approx([80, 80, 70])


def test_what_fitting_the_kernels_won_stands_above_the_last_step(figures):
    gate_plots.folding(_folding(refitted=0.95))
    (axes,) = figures[0].axes
    (fitted,) = [x for x in axes.lines if x.get_label() == "after the kernels were fitted anew"]
    assert (fitted.get_xdata()[0], fitted.get_ydata()[0]) == (50, 95)  # 100 of 200 elements
    low, high = axes.get_ylim()
    assert high > 100 + 0.1 * (100 - low)  # room for the names above the best points


def test_the_pictures_are_png():
    assert gate_plots.folding(_folding()).startswith(b"\x89PNG")
    assert gate_plots.gates(Gates("net", 8, (_block("a", [0.5, 0.1]),))).startswith(b"\x89PNG")
