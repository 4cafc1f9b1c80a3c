"""The one place that makes text safe for each format: names come from files of strangers."""

import re
from typing import Any

from mobile.record import printable

__all__ = ["breakable", "for_csv", "for_html", "for_markdown", "for_picture", "printable"]

_MARKDOWN = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {c: f"\\{c}" for c in "|`$*~"})


_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the last four as wide as a Chinese character
_LINE_ENDS = ("\t", "\r", "\n")
_UNSEEN = " \u00a0\u200b\ufeff"  # spaces that some programs leave out


def for_markdown(text: str) -> str:
    r"""Return a line of Markdown, also for a cell of a table, that shows the text and does nothing.

    >>> print(for_markdown("a|b\n<script> [x](http://y) [0.9, 1.1]"))
    a\|b &lt;script&gt; [x\](http://y) [0.9, 1.1]
    """
    text = printable(" ".join(text.split("\n"))).replace("\\", "\\\\").translate(_MARKDOWN)
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)  # only then would it be a link
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # only then would it stress a word


def for_csv(value: Any) -> Any:
    """Return a value for a cell: text that a spreadsheet would compute gets a quote before it.

    >>> for_csv("=1+1"), for_csv("-1"), for_csv(-1)
    ("'=1+1", "'-1", -1)

    Source:
        OWASP, "CSV Injection".
    """
    if not isinstance(value, str):
        return value
    computes = value.startswith(_LINE_ENDS) or value.lstrip(_UNSEEN).startswith(_FORMULA)
    return printable(f"'{value}" if computes else value)


def for_html(value: Any) -> Any:
    """Return a value for a page; the template escapes what is HTML's, except where marked safe."""
    plain = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value, lines=True) if plain else value


def breakable(value: str) -> Any:
    """Return a name for a page, which may continue in a new line where one of its words ends."""
    from markupsafe import Markup, escape

    text = str(escape(for_html(value)))
    return Markup(re.sub(r"(?<=[_/.-])(?=\w)", "<wbr>", text))


def for_picture(text: str) -> str:
    r"""Return a text that matplotlib shows as it is: between dollars it would set mathematics.

    >>> print(for_picture("$x^$"))
    \$x^\$
    """
    return printable(text).replace("$", r"\$")
