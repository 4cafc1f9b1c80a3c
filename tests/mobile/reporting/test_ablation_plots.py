"""The picture of an ablation holds a mark for each variant in both halves."""

from mobile.reporting import ablation_plots, canvas
from tests.mobile.tuning.test_ablation_record import ablation, network


def test_each_variant_is_drawn_at_its_gain_and_its_time(figures):
    content = ablation_plots.variants(
        ablation(network("relu", 0.75, 0.76, 0.77), network("tanh", 0.65, 0.66, 0.67, time=1.2))
    )
    assert content.startswith(b"\x89PNG")
    (figure,) = figures
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["relu", "tanh"]
    places = [
        [tuple(c.lines[0].get_xydata()[0].round(6)) for c in axes.containers]
        for axes in (left, right)
    ]
    assert places == [[(5.0, 0.0), (-5.0, 1.0)], [(10.0, 0.0), (20.0, 1.0)]]
    assert canvas.PALETTE[0] != canvas.PALETTE[1]


def test_one_seed_has_marks_without_bars(figures):
    one = network("no SE", 0.7, role="without", time=1.0)
    found = ablation(network("a", 0.9))
    ablation_plots.variants(type(found)(**{**vars(found), "networks": (one, network("a", 0.9))}))
    (figure,) = figures
    (container,) = figure.axes[0].containers
    assert not container.has_xerr
