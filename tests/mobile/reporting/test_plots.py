import pytest

from mobile.benchmarking.timings import Conditions, ModelTimings, Timings
from mobile.reporting import canvas, plots

CONDITIONS = Conditions("local", "x", "A CPU", "r", "1", 1, 5, 0, scenario="single-stream")
ODD = ("$x^$", "\u6a21\u578b", "\udcff", "_hidden", "\x1b[31m", "a" * 200, "", "$", "\\frac{")


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize("name", ODD)
def test_any_name_is_drawn_without_a_word(name, figures):
    timings = Timings((ModelTimings(name, (1.0, 1.1, 1.2), 1, 1),), CONDITIONS)
    assert plots.latency_distributions(timings, title=name).startswith(b"\x89PNG")
    point = plots.Point(name, 1.0, 0.5, "#000000")
    assert plots.accuracy_against_latency([point], 10, name).startswith(b"\x89PNG")
    shown = legend(figures[1])[0].replace("\n", "")
    assert shown == canvas.for_picture(name) if len(name) < 100 else shown == "a" * 84 + "..."


def test_long_runs_are_drawn_from_a_sample_and_close_ones_on_a_plain_axis(figures):
    many = ModelTimings("many", tuple(1 + 0.0001 * i for i in range(5000)), 1, 1)
    same = ModelTimings("same", (1.0,) * 5, 1, 1)
    for models in ((many,), (same,), (many, same)):
        plots.latency_distributions(Timings(models, CONDITIONS))
    dots = [line for line in figures[0].axes[0].get_lines() if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [plots._DOTS]
    assert [figure.axes[0].get_xscale() for figure in figures] == ["linear"] * 3


def test_far_ones_are_drawn_on_a_logarithmic_axis(figures):
    models = tuple(ModelTimings(f"{ms}", (ms,) * 5, 1, 1) for ms in (0.1, 100.0))
    plots.latency_distributions(Timings(models, CONDITIONS))
    assert figures[0].axes[0].get_xscale() == "log"


def test_marks_tell_the_schemes_and_bars_the_test_images(figures):
    points = [plots.Point("a", 1.0, 0.9, "#111111"), plots.Point("a", 2.0, 0.95, "#111111", False)]
    marks = (("int8", True), ("float32", False))
    plots.accuracy_against_latency(points, 100, marks=marks)
    plots.accuracy_against_latency(points)
    assert legend(figures[0]) == ["a", "int8", "float32"]
    assert figures[0].axes[0].get_title(loc="left") == "100 test images; bars: 95 % intervals"
    assert [len(figure.axes[0].containers) for figure in figures] == [2, 0]


def test_an_interval_ends_where_the_share_is_1_96_deviations_away():
    n, p, z2 = 100, 0.9, 1.96**2  # the ends are the roots x of (p - x)² = z² x (1 - x) / n
    for x in plots._wilson(p, n):
        assert (p - x) ** 2 == pytest.approx(z2 * x * (1 - x) / n)
    assert plots._wilson(1.0, 10)[1] == pytest.approx(1.0)


def test_drawing_leaves_matplotlib_alone():
    import matplotlib

    before = matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False)
    plots.latency_distributions(Timings((ModelTimings("a", (1.0,), 1, 1),), CONDITIONS))
    assert (matplotlib.rcParams.copy(), matplotlib.get_backend(auto_select=False)) == before
