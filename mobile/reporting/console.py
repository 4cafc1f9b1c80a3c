"""What is printed beside reports."""

from typing import Any

from mobile.progress import terminal
from mobile.record import printable


def show(thing: Any) -> None:
    """Print a text or a table to standard output."""
    text = isinstance(thing, str)
    said = printable(thing, lines=True) if text else thing
    terminal().print(said, markup=False, highlight=False, soft_wrap=text)
