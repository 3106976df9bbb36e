"""A table of text: one form for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .numbers import NONE


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are aligned to the right."""

    title: str
    numeric: bool = False


@dataclass
class Table:
    """A titled table; ``note`` explains it, ``rows`` hold one text per column."""

    title: str
    columns: Sequence[Column]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    _lead: Sequence[str] = field(default=(), init=False, repr=False)

    def add(self, lead: Sequence[str], *cells: str) -> None:
        """Add a row. A ``lead`` equal to that of the row above, such as the curve's name, is not repeated."""
        self.rows.append([*([""] * len(lead) if lead == self._lead else lead), *cells])
        self._lead = lead

    def without_empty_columns(self) -> Table:
        """Return the table without the columns in which nothing is written."""
        kept = [i for i in range(len(self.columns)) if any(row[i] not in ("", NONE) for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table(self.title, [self.columns[i] for i in kept], rows, self.note)


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns; a title that ends in ``#`` is the head of a column of numbers."""
    return tuple(Column(title.rstrip("#"), title.endswith("#")) for title in titles)


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return sum(values) / len(values) if values else None
