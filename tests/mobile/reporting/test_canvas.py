import struct

import matplotlib.text
import pytest

from mobile.reporting import canvas


def test_a_picture_has_144_dots_an_inch():
    figure, axes = canvas.blank(2, 1)
    axes.plot([0, 1], [0, 1])
    content = canvas.png(figure)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (2 * 144, 1 * 144)


def test_panels_come_in_rows_and_columns_without_a_frame():
    _, panels = canvas.blank(4, 3, rows=2, columns=3)
    assert panels.shape == (2, 3)
    for axes in panels.flat:
        assert [axes.spines[side].get_visible() for side in ("top", "right", "left")] == [0, 0, 1]


def test_a_point_that_is_not_filled_is_a_white_square():
    assert canvas.mark("#123456", True)["markerfacecolor"] == "#123456"
    empty = canvas.mark("#123456", False)
    assert (empty["markerfacecolor"], empty["marker"], empty["color"]) == ("white", "s", "#123456")


def test_a_legend_shows_names_that_begin_with_an_underscore_and_dollars_as_they_are():
    figure, axes = canvas.blank(4, 2)
    canvas.legend(axes, [("_hidden", canvas.mark("k", True)), ("$x^$", {"color": "k"})])
    texts = [each.get_text() for each in axes.get_legend().findobj(matplotlib.text.Text)]
    assert [text for text in texts if text] == ["_hidden", r"\$x^\$"]
    assert canvas.png(figure)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("short", ["short"]),
        ("mobile_net_v3", ["mobile_", "net_v3"]),
        ("a-b.c/d e", ["a-b.c/d", "e"]),
        ("abcdefghijk", ["abcdefgh", "ijk"]),
        ("aaaaaaa_bbbbbbb_ccccccc_ddddddd", ["aaaaaaa_", "bbbbbbb_", "..."]),
        ("a\nb", [r"a\nb"]),
    ],
)
def test_long_names_are_broken_where_a_word_ends(name, lines):
    assert canvas.folded(name, width=8, most=3).split("\n") == lines


def test_a_script_that_the_font_lacks_is_no_warning():
    figure, axes = canvas.blank(2, 1)
    axes.set_title("模型")
    assert canvas.png(figure)
