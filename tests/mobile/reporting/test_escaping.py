import csv
import io
import re

import pytest

from mobile.reporting import escaping

EVIL = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x]: http://example.com",
    "![x][y]",
    "a|b`c`",
    "back\\|slash",
    "\x1b]0;title\x07\x1b[2J",
    "\udcff",
    "two\nlines\r\n| c |",
    "=HYPERLINK(1)",
    "$x^$",
    "*a* **b** __c__ _d_ ~~e~~",
    "\u202eright to left",
)


@pytest.mark.parametrize("text", EVIL)
def test_what_markdown_would_act_on_is_text(text):
    safe = escaping.for_markdown(text)
    assert not re.search(r"[<\x00-\x1f\x7f-\x9f\ud800-\udfff\u202e]", safe)
    assert not re.search(r"(?<!\\)(\\\\)*[|`$*~]", safe)  # each after an odd number of backslashes
    assert not re.search(r"(?<!\\)\][(\[:]", safe)
    assert not re.search(r"(?<!\\)(?<![^\W_])_|(?<!\\)_(?![^\W_])", safe)


def test_figures_stay_as_they_are_in_markdown():
    for text in ("2.000 [1.9, 2.1], 97.5 %", "mobilenet_v3_small int8"):
        assert escaping.for_markdown(text) == text


FULL_WIDTH = ["\uff1d1", "\uff0b1", "\uff0d1", "\uff20sum", " =1", "\ufeff=1"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", *FULL_WIDTH])
def test_a_spreadsheet_computes_no_text(text):
    assert escaping.for_csv(text).startswith("'")
    assert escaping.for_csv("plain = 1") == "plain = 1"


@pytest.mark.parametrize("text", EVIL)
def test_a_csv_cell_is_one_cell(text):
    written = io.StringIO()
    csv.writer(written).writerow([escaping.for_csv(text), -1.5])
    ((first, second),) = csv.reader(io.StringIO(written.getvalue()))
    assert second == "-1.5" and first[0] not in "=+-@\t\r\n"
    first.encode()


@pytest.mark.parametrize("text", EVIL)
def test_a_picture_and_a_page_can_show_it(text):
    escaping.for_html(text).encode()
    safe = escaping.for_picture(text)
    safe.encode()
    assert safe.count("$") == safe.count(r"\$")  # matplotlib then sets no mathematics


def test_a_name_breaks_between_its_words_and_stays_text():
    assert escaping.breakable("a_b/<c>-d_") == "a_<wbr>b/&lt;c&gt;-<wbr>d_"
