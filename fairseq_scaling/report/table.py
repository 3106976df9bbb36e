"""A table of text: one form for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .wording import NONE


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers stand right-aligned."""

    title: str
    numeric: bool = False


@dataclass
class Table:
    """A titled table; ``note`` explains it, ``rows`` hold one text per column."""

    title: str
    columns: Sequence[Column]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns; a title that ends in ``#`` heads numbers."""
    return tuple(Column(title.rstrip("#"), title.endswith("#")) for title in titles)


def without_empty_columns(table: Table) -> Table:
    """Return the table without the columns in which nothing stands."""
    kept = [i for i in range(len(table.columns)) if any(row[i] not in ("", NONE) for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table(table.title, [table.columns[i] for i in kept], rows, table.note)


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return sum(values) / len(values) if values else None
