"""What is printed: tables, progress."""

import contextlib
import sys
import time

from mobile.reporting.units import millions, minutes, percent


class Progress:
    """Shows a run in the terminal: a line a stage, and a bar with loss, accuracy, time left.

    Args:
        console: A `rich.console.Console`; None writes to standard error.
    """

    def __init__(self, console=None):
        self.console = console or terminal(stderr=True)
        self._bar = self._task = None

    @contextlib.contextmanager
    def stage(self, title: str, steps: bool = False):
        """Show a stage while it runs, and its time when it is done.

        Gives a function to be told `(epoch, step, steps in all, loss, accuracy)`.
        """
        from rich import progress

        columns = [progress.TextColumn("{task.description}"), progress.BarColumn(bar_width=24)]
        columns += [progress.TextColumn("{task.fields[told]}")]
        columns += [progress.TimeRemainingColumn(elapsed_when_finished=True)] if steps else []
        start = time.perf_counter()
        hidden = self.console.is_jupyter or not self.console.is_terminal
        if hidden:
            self.console.print(f"  {title} ...", highlight=False)
        with progress.Progress(
            *columns, console=self.console, transient=True, disable=hidden
        ) as bar:
            task = bar.add_task(title, total=None, told="")
            told = {}

            def watch(epoch, step, steps_in_all, loss, accuracy):
                told["last"] = f"loss {loss:.3f}, accuracy {percent(accuracy)}"
                bar.update(
                    task,
                    completed=step,
                    total=steps_in_all,
                    told=f"epoch {epoch + 1}, {told['last']}",
                )

            yield watch
        taken = minutes(time.perf_counter() - start)
        last = f", {told['last']}" if told else ""
        self.console.print(f"[green]✓[/] {title} [dim]({taken}{last})[/]", highlight=False)

    def note(self, text: str):
        """Say one thing that the user should know."""
        self.console.print(f"[yellow]![/] {text}", highlight=False, markup=True)


class Silence:
    """A `Progress` that shows nothing."""

    @contextlib.contextmanager
    def stage(self, title, steps=False):
        """Show nothing."""
        yield None

    def note(self, text):
        """Say nothing."""


def show(thing):
    """Print a text or a table to standard output."""
    terminal().print(thing, markup=False, highlight=False, soft_wrap=isinstance(thing, str))


def networks_table(networks):
    """Return the networks that `keras-se models` lists as a table."""
    from rich.table import Table

    table = Table()
    for name in ("network", "parameters", "in SE", "MACs", "in SE", "image", "source"):
        table.add_column(name, justify="left" if name in ("network", "source") else "right")
    for name, one in networks.items():
        table.add_row(
            name,
            millions(one["params"]),
            percent(one["se_params"] / one["params"]),
            millions(one["macs"]),
            percent(one["se_macs"] / one["macs"]),
            f"{one['input_shape'][0]}x{one['input_shape'][1]}",
            one["source"],
        )
    return table


def terminal(stderr=False):
    """Return a console on standard output or error; a file or pipe has 160 columns."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 160)
