"""Points from tables, with a problem for every row that cannot be used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import ScalingError
from ...metrics import METRICS, describe, has_direction, metric_name
from ...mixture import Mixture
from ...problems import Problem, ProblemKind
from ...quantities import PRETRAIN_TOKENS, QUANTITIES
from .columns import assign
from .doubts import check_scales, without_twins
from .numbers import Number, column_mark, grouping_mark, is_missing, parse_number
from .point import Point, fixed_pretraining
from .roles import Roles, TableOptions, ValueColumn
from .sheets import JSON_ENDINGS, Row, Sheet, read_sheet

_TRUE, _FALSE = {"1", "true", "yes"}, {"", "0", "false", "no"}
_PAIR = re.compile(r"([A-Za-z]{2,3}(?:_[A-Za-z]+)?)\s*(?:-|->|\u2192|\u2013|>|_to_|2)\s*([A-Za-z]{2,3}(?:_[A-Za-z]+)?)")
_BEGINNING = 100_000
"""Bytes that are read to see whether a file is a table."""


class RowProblem(ProblemKind):
    """Why a row, or a cell of it, cannot be used."""

    EMPTY = "{column} is empty", "", "row left out"
    NO_VALUE = "{column} has no value", "", "no point of it there"
    NOT_A_NUMBER = "{column} is not a number", "it is {cell!r}", "row left out"
    NOT_FINITE = "{column} is not a finite number", "it is {cell}", "left out"
    NOT_AN_AMOUNT = (
        "{column} is not a number of {unit}", "it is {cell!r}", "row left out; write 250000, 2.5e5 or 0.25M",
    )  # fmt: skip
    BELOW_ZERO = "{column} is below 0", "it is {cell}", "row left out"
    BELOW_ONE = (
        "{column} is below 1, but it counts {unit}",
        "it is {cell}",
        "row left out; where the column counts billions write --columns '{role}={column}*1e9'",
    )
    NOT_WHOLE = "{column} is not a whole number", "it is {cell}", "row left out"
    NOT_A_FLAG = "{column} is neither 0 nor 1", "it is {cell!r}", "row left out"
    NOT_POSITIVE = "{column} is not above zero", "it is {cell}", "row left out"
    NOT_A_MIXTURE = "{column} is no mixture", "{cell}: {reason}", "row left out; write for example en:0.5,fr:0.5"
    NO_DIRECTION = (
        "whether a lower {metric} is better is not known",
        "",
        "add the column lower_is_better, or --better {metric}=lower",
    )  # fmt: skip
    OTHER_DIRECTION = "lower_is_better is {cell}, but of {metric} {better} is better", "", "row left out"


@dataclass
class Table:
    """The points of a table, what was wrong with its rows, and what its columns were taken for."""

    points: list[Point] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    roles: Roles | None = None


class _BadRow(Exception):
    """A row, or a value of it, that cannot be used."""

    def __init__(self, kind: RowProblem, **fields: Any) -> None:
        super().__init__(kind)
        self.kind, self.fields = kind, fields

    def problem(self, file: str, line: int) -> Problem:
        return self.kind.at(file, line, **self.fields)


def is_known_table(path: Path) -> bool:
    """Return whether the columns of a file can be told by their names."""
    sheet = read_sheet(path, limit=None if path.suffix.lower() in JSON_ENDINGS else _BEGINNING)
    if {"curve", PRETRAIN_TOKENS.name} <= {column.lower() for column in sheet.columns}:
        return True
    return bool(sheet.rows) and assign(sheet, TableOptions(), str(path))[0] is not None


def read_table(path: Path, name: str | None = None, options: TableOptions | None = None) -> Table:
    """Return the points of a table; bad rows become problems and the good ones are kept.

    Which column is what follows from ``options`` and the columns' names (see ``columns``). Of a table with the columns
    ``curve, metric, pretrain_tokens, value`` nothing is guessed. An x value of 0 marks a baseline.

    Args:
        path: CSV, JSON or JSON lines.
        name: how the file is called in problems and points; default: the path as given.
        options: what the user says of tables.

    Raises:
        SettingError: scores from 0 to 100 that may be shares (``options.scales`` says it).
    """
    name = name or str(path)
    options = options or TableOptions()
    sheet = read_sheet(path, name)
    table = Table(problems=list(sheet.problems))
    if not sheet.rows:
        return table
    roles, problems = assign(sheet, options, name)
    table.problems += problems
    if roles is None:
        return table
    table.roles = roles
    reader = _Reader(sheet, roles, options, name)
    for row in without_twins(sheet, roles, name, table.problems):
        for value in roles.values:
            try:
                point = reader.point(row, value)
            except _BadRow as bad:
                problem = bad.problem(name, row.line)
                if problem not in table.problems[-len(roles.values) :]:
                    table.problems.append(problem)
                continue
            table.points.append(point)
    check_scales(table.points, name)
    return table


class _Reader:
    """Makes points of the rows of one table."""

    def __init__(self, sheet: Sheet, roles: Roles, options: TableOptions, name: str) -> None:
        self.roles, self.options, self.name = roles, options, name
        self.stem = sheet.path.name.split(".")[0]
        columns = {roles.x.at: roles.quantity.is_count}
        for value in roles.values:
            columns |= {value.column.at: False} | ({value.stderr.at: False} if value.stderr else {})
        for role, column in roles.roles.items():
            columns[column.at] = role in QUANTITIES
        cells = {at: sheet.cells(at) for at in columns}
        shared = column_mark(cell for column in cells.values() for cell in column)
        self.marks = {at: _mark(cells[at], shared, counts, sheet.separator) for at, counts in columns.items()}
        mixture = roles.roles.get("mixture")
        self.has_mixtures = mixture is not None and (roles.is_own or any(":" in cell for cell in cells[mixture.at]))

    def point(self, row: Row, column: ValueColumn) -> Point:
        """Return the point of a row in one column of values.

        Raises:
            _BadRow: with what is wrong.
        """
        said = {role: row.cells[one.at] for role, one in self.roles.roles.items()}
        metric = column.metric or self._metric(said)
        lower_is_better = self._direction(metric, said)
        scale = self._scale(row, metric)
        source, target = _languages(said)
        value, stderr = self._value(row, column, describe(metric, lower_is_better, scale).scale)
        return Point(
            metric=metric,
            pretrain_tokens=self._amount(row, self.roles.x.at, self.roles.x.name, self.roles.x.factor),
            value=value,
            stderr=stderr,
            score_lower=self._bound(row, "score_lower"),
            score_upper=self._bound(row, "score_upper"),
            scale=scale,
            quantity=self.roles.quantity,
            curve=self._curve(row, column, said),
            held_out=self._flag(said, "held_out"),
            seed=self._whole(row, "seed"),
            pretrain_seed=self._whole(row, "pretrain_seed"),
            lower_is_better=lower_is_better,
            mixture=self._mixture(said),
            test_set=" ".join(part for part in (said.get("test_set", ""), column.test_set) if part),
            fixed=self._fixed(row),
            finetune_tokens=self._optional_amount(row, "finetune_tokens"),
            parameters=self._optional_amount(row, "parameters"),
            architecture=said.get("architecture", ""),
            corpus=said.get("corpus", ""),
            run_id=said.get("run_id", ""),
            unique_tokens=self._optional_amount(row, "unique_tokens"),
            start=said.get("start", ""),
            file=self.name,
            line=row.line,
            source_lang=source,
            target_lang=target,
        )

    def _curve(self, row: Row, column: ValueColumn, said: Mapping[str, str]) -> str:
        parts = [row.cells[one.at] for one in self.roles.curve]
        if self.roles.is_own and not all(parts):
            raise _BadRow(RowProblem.EMPTY, column="curve")
        if not self.has_mixtures and said.get("mixture"):
            parts.append(said["mixture"])
        parts = [part for part in (*parts, column.curve) if part]
        return " / ".join(parts) or self.stem

    def _metric(self, said: Mapping[str, str]) -> str:
        if not said["metric"]:
            raise _BadRow(RowProblem.EMPTY, column="metric")
        return metric_name(said["metric"])

    def _direction(self, metric: str, said: Mapping[str, str]) -> bool:
        """Return whether lower is better, which a metric without a row does not say by itself."""
        written = said.get("lower_is_better", "")
        if metric in METRICS:
            known = METRICS[metric].lower_is_better
            if written and self._flag(said, "lower_is_better") != known:
                better = "lower" if known else "higher"
                raise _BadRow(RowProblem.OTHER_DIRECTION, cell=written, metric=metric, better=better)
            return known
        if written:
            return self._flag(said, "lower_is_better")
        if metric in self.options.lower_is_better:
            return self.options.lower_is_better[metric]
        if has_direction(metric):
            return describe(metric).lower_is_better
        raise _BadRow(RowProblem.NO_DIRECTION, metric=metric)

    def _value(self, row: Row, column: ValueColumn, scale: float | None) -> tuple[float, float | None]:
        name = column.column.name
        if is_missing(row.cells[column.column.at]):
            raise _BadRow(RowProblem.NO_VALUE, column=name)
        number = self._number(row, column.column.at, name)
        share = (scale or 100.0) / 100 if number.is_percent or column.is_percent else 1.0
        error = number.error
        if column.stderr is not None and not is_missing(row.cells[column.stderr.at]):
            found = self._number(row, column.stderr.at, column.stderr.name)
            error = found.value * ((scale or 100.0) / 100 / share if found.is_percent else 1.0)
        if error is not None and error < 0:
            raise _BadRow(
                RowProblem.BELOW_ZERO, column=column.stderr.name if column.stderr else name, cell=f"{error:g}"
            )
        value = number.value * column.column.factor * share
        return value, None if error is None else error * column.column.factor * share

    def _number(
        self, row: Row, at: int, name: str, otherwise: RowProblem = RowProblem.NOT_A_NUMBER, **fields: str
    ) -> Number:
        cell = row.cells[at]
        try:
            number = parse_number(cell, self.marks[at])
        except ValueError:
            raise _BadRow(otherwise, column=name, cell=cell, **fields) from None
        if not math.isfinite(number.value):
            raise _BadRow(RowProblem.NOT_FINITE, column=name, cell=cell)
        return number

    def _amount(self, row: Row, at: int, name: str, factor: float) -> float:
        """Return a number of tokens, updates ...: 250000, 2.5e5, 7700779.0 or 0.25M."""
        quantity, cell = self.roles.quantity, row.cells[at]
        if is_missing(cell):
            raise _BadRow(RowProblem.EMPTY, column=name)
        number = self._number(row, at, name, RowProblem.NOT_AN_AMOUNT, unit=quantity.unit or "any kind")
        if number.value < 0:
            raise _BadRow(RowProblem.BELOW_ZERO, column=name, cell=cell)
        value = number.value if number.has_unit else number.value * factor
        if 0 < value < 1 and quantity.is_count:
            raise _BadRow(RowProblem.BELOW_ONE, column=name, unit=quantity.unit, cell=cell, role=quantity.name)
        return value

    def _fixed(self, row: Row) -> str:
        """Return the D_p that a curve over another quantity fixes, as ``D_p=3B``."""
        amount = self._optional_amount(row, PRETRAIN_TOKENS.name)
        return "" if amount is None else fixed_pretraining(amount)

    def _optional_amount(self, row: Row, role: str) -> int | None:
        column = self.roles.roles.get(role)
        if column is None or is_missing(row.cells[column.at]):
            return None
        return round(self._amount(row, column.at, column.name, column.factor))

    def _whole(self, row: Row, role: str) -> int | None:
        column = self.roles.roles.get(role)
        if column is None or is_missing(row.cells[column.at]):
            return None
        named = re.fullmatch(r"[A-Za-z_ -]+(\d+)", row.cells[column.at])
        if named:
            return int(named[1])
        number = self._number(row, column.at, column.name).value
        if number != int(number):
            raise _BadRow(RowProblem.NOT_WHOLE, column=column.name, cell=row.cells[column.at])
        return int(number)

    def _bound(self, row: Row, role: str) -> float | None:
        column = self.roles.roles.get(role)
        if column is None or is_missing(row.cells[column.at]):
            return None
        return self._number(row, column.at, column.name).value

    def _scale(self, row: Row, metric: str) -> float | None:
        """Return the value of a perfect score, as the user or a column says; None where it is the metric's own."""
        column = self.roles.roles.get("scale")
        if metric in self.options.scales or column is None or is_missing(row.cells[column.at]):
            return self.options.scales.get(metric)
        scale = self._number(row, column.at, column.name).value
        if scale <= 0:
            raise _BadRow(RowProblem.NOT_POSITIVE, column=column.name, cell=row.cells[column.at])
        return scale

    def _flag(self, said: Mapping[str, str], role: str) -> bool:
        text = said.get(role, "").lower()
        if text not in _TRUE | _FALSE:
            raise _BadRow(RowProblem.NOT_A_FLAG, column=role, cell=text)
        return text in _TRUE

    def _mixture(self, said: Mapping[str, str]) -> str:
        written = said.get("mixture", "")
        if not written or not self.has_mixtures:
            return ""
        mixture = _canonical(written)
        if isinstance(mixture, ScalingError):
            reason = str(mixture).split("\n")[0]
            raise _BadRow(RowProblem.NOT_A_MIXTURE, column="mixture", cell=written, reason=reason)
        return mixture


@lru_cache(maxsize=4096)
def _canonical(written: str) -> str | ScalingError:
    """Return a mixture in its one order, or what is wrong with it."""
    try:
        return str(Mixture.parse(written))
    except ScalingError as error:
        return error


def _languages(said: Mapping[str, str]) -> tuple[str, str]:
    """Return source and target language, from columns of their own or from one of pairs (``en-de``)."""
    pair = _PAIR.fullmatch(said.get("pair", ""))
    source, target = (pair[1], pair[2]) if pair else ("", "")
    return said.get("source_lang") or source, said.get("target_lang") or target


def _mark(cells: list[str], shared: str | None, counts: bool, separator: str) -> str:
    """Return the decimal mark of a column.

    Where neither the column nor the table shows it, the sign in ``1,234`` groups thousands in a count, and in another
    column marks decimals, but for a comma in a table that commas separate.
    """
    shown = column_mark(cells) or shared
    if shown is not None:
        return shown
    mark = grouping_mark(cells)
    if mark is None or (mark == "," and separator == ","):
        return "."
    return {".": ",", ",": "."}[mark] if counts else mark
