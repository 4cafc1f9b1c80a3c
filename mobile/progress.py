"""What the terminal shows while something works. A pipe or a notebook gets no bar."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mobile.record import printable


def terminal(stderr: bool = False) -> Any:
    """Return a console on standard output or error; a file or pipe has 160 columns."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 160)


@contextlib.contextmanager
def bar(
    title: str, show: bool = True, console: Any = None, left: bool = True
) -> Iterator[Callable[..., None]]:
    """Show a bar while something works. Gives a function to be told `(share done, words)`.

    Args:
        title: What works.
        show: Whether to show it at all.
        console: A `rich.console.Console`; None writes to standard error.
        left: Whether to show the time that is left.
    """
    if not show:
        yield lambda share=None, words="": None
        return
    from rich import progress

    console = console or terminal(stderr=True)
    columns = [
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.fields[words]}", markup=False),
    ]
    columns += [progress.TimeRemainingColumn(elapsed_when_finished=True)] if left else []
    hidden = console.is_jupyter or not console.is_terminal
    with progress.Progress(*columns, console=console, transient=True, disable=hidden) as shown:
        task = shown.add_task(printable(title), total=None, words="")

        def tell(share: float | None = None, words: str = "") -> None:
            total = None if share is None else 1.0
            shown.update(task, completed=share, total=total, words=printable(words))

        yield tell


def track(items: Iterable, title: str, show: bool = True) -> Iterator:
    """Give the items one by one, and show how many are done."""
    count = len(items) if hasattr(items, "__len__") else None  # pyright: ignore
    with bar(title, show) as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(done / count if count else None, f"{done}" + (f" of {count}" if count else ""))


class Progress:
    """Shows a run in the terminal: a line a stage, and a bar with loss, accuracy, time left.

    Args:
        console: A `rich.console.Console`; None writes to standard error.
    """

    def __init__(self, console: Any = None):
        self.console = console or terminal(stderr=True)

    @contextlib.contextmanager
    def stage(self, title: str, steps: bool = False) -> Iterator[Callable[..., None]]:
        """Show a stage while it runs, and its time when it is done.

        Gives a function to be told `(epoch, step, steps in all, loss, accuracy)`; `steps` says
        that it will be.
        """
        start, last = time.perf_counter(), ""
        if self.console.is_jupyter or not self.console.is_terminal:
            self._print(f"  {title} ...")
        with bar(title, console=self.console, left=steps) as tell:

            def watch(epoch, step, steps_in_all, loss, accuracy):
                nonlocal last
                last = f"loss {loss:.3f}, accuracy {100 * accuracy:.1f} %"
                tell(step / steps_in_all, f"epoch {epoch + 1}, {last}")

            yield watch
        taken = minutes(time.perf_counter() - start)
        self._print("✓", "green", f" {title} ", "", f"({', '.join(filter(None, (taken, last)))})")

    def note(self, text: str) -> None:
        """Say one thing that the user should know."""
        self._print("!", "yellow", f" {text}")

    def _print(self, *parts):
        """Print texts, each but the last followed by its style."""
        from rich.text import Text

        styles = (*parts[1::2], "")
        pairs = zip(map(printable, parts[::2]), styles, strict=False)
        self.console.print(Text.assemble(*pairs), highlight=False)


class Silence:
    """A `Progress` that shows nothing."""

    @contextlib.contextmanager
    def stage(self, title: str, steps: bool = False) -> Iterator[None]:
        """Show nothing."""
        yield None

    def note(self, text: str) -> None:
        """Say nothing."""


def minutes(seconds: float) -> str:
    """Write a duration.

    >>> minutes(75), minutes(9.96)
    ('1 min 15 s', '10.0 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
