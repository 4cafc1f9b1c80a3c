"""The columns of a benchmark's tables: each stands here once, and every format reads it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


def milliseconds(value: float) -> str:
    """Write a time with three figures.

    >>> milliseconds(0.61234), milliseconds(123.4)
    ('0.612', '123')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def megabytes(value: float) -> str:
    """Write a size in MB, 10^6 bytes.

    >>> megabytes(1_234_567)
    '1.235'
    """
    return f"{value / 1e6:.3f}"


@dataclass(frozen=True)
class Column:
    """One figure of a model that was timed.

    Args:
        header: What stands above it, in every table.
        field: The field or property of `ModelTimings`; the header in CSV and in `Results.rows`.
        write: Makes text of a value.
        alone: Whether tables have it only where each model ran alone.
        spare: When a narrow terminal goes without it: 1 first; 0 never.
    """

    header: str
    field: str
    write: Callable[[Any], str]
    alone: bool = False
    spare: int = 0

    def value(self, model: Any) -> Any:
        """Return the plain value; None of what is not known, or of no model."""
        return getattr(model, self.field, None)

    def text(self, model: Any) -> str:
        """Return the value as text; `?` of what is not known."""
        value = self.value(model)
        return "?" if value is None else self.write(value)


COLUMNS = (
    Column("runs", "runs", "{:,}".format, alone=True),
    Column("seconds", "seconds", "{:.1f}".format, alone=True),
    Column("p50 ms", "median_ms", milliseconds),
    Column("p90 ms", "p90_ms", milliseconds),
    Column("p99 ms", "p99_ms", milliseconds, spare=4),
    Column("first ms", "first_ms", milliseconds, spare=2),
    Column("load ms", "load_ms", milliseconds, spare=1),
    Column("file MB", "size_bytes", megabytes, spare=6),
    Column("memory MB", "peak_memory_bytes", lambda value: f"{value / 1e6:.1f}", spare=3),
    Column("partitions", "partitions", str, spare=7),
    Column("error", "output_error", lambda share: f"{100 * share:.2g} %", spare=5),
    Column("LSB", "output_lsb", str, spare=5),
)


def known(models: Sequence, alone: bool) -> list[Column]:
    """Return the columns in which at least one of the models has something to say."""
    return [
        column
        for column in COLUMNS
        if (alone or not column.alone) and any(column.value(m) is not None for m in models)
    ]


def spare() -> tuple[str, ...]:
    """Return the headers that a narrow terminal goes without, the first one first."""
    columns = sorted(COLUMNS, key=lambda column: column.spare)
    return tuple(column.header for column in columns if column.spare)
