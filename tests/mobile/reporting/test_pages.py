import pytest

from mobile.reporting import pages


def test_a_picture_is_drawn_once_and_only_when_wanted():
    drawn = []

    def draw():
        drawn.append(1)
        return b"png"

    picture = pages.Picture("a.png", "A", draw)
    assert drawn == []
    assert (picture.png, picture.png, picture.problem) == (b"png", b"png", "")
    assert drawn == [1]


def test_a_picture_that_cannot_be_drawn_is_a_warning_and_no_error():
    def draw():
        raise RuntimeError("no font")

    picture = pages.Picture("a.png", "A", draw)
    page = pages.Page("T", "", (pages.Sheet("S", pictures=(picture,)),))
    with pytest.warns(UserWarning, match=r"could not be drawn: A\. RuntimeError: no font"):
        assert page.pictures == []
    assert "no font" in picture.problem


def test_facts_leave_out_what_is_not_known():
    sheet = pages.facts("F", {"a": 0, "b": None, "c": "", "d": [1, 2], "e": []})
    assert sheet.rows == (("a", "0"), ("d", "1, 2"))
    assert sheet.shown == "folded"


def test_nothing_has_no_share():
    assert pages.share(1, 4) == 0.25
    assert pages.share(0, 0) is None
