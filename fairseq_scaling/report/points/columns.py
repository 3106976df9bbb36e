"""Which column of a table is what: as the user says with ``--columns``, else by its name."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ...metrics import Metric, fold, metric_name, split_name
from ...problems import Problem
from ...quantities import PRETRAIN_TOKENS, QUANTITIES, Quantity, quantity
from .numbers import is_missing, is_number
from .roles import (
    ALIASES,
    DATA,
    LABELS,
    LAST_X,
    OPTIONAL,
    OWN,
    OWN_ROLES,
    REQUIRED,
    TOKENS,
    X_ORDER,
    Column,
    ColumnProblem,
    Roles,
    TableOptions,
    ValueColumn,
    without_unit,
)  # fmt: skip
from .sheets import Sheet, names_of

_ERROR = re.compile(r"_?(?:stderr|std_err|std_error|standard_error|sem|se)$")
_NO_VALUE = re.compile(r"^baseline_|(?:^|_)(?:std|sd|stdev|var|count|min|max|rank|target|baseline)$")
_NO_DATA = re.compile(r"__(?:min|max)$|^unnamed(?::? ?_?\d+)?$|^index$|^$", re.I)
_NO_TEST_SET = {"mean", "avg", "average", "final", "none", "score"}
_MOSTLY = 0.5
"""Share of the cells that must be numbers in a column of numbers."""


def assign(sheet: Sheet, options: TableOptions, name: str) -> tuple[Roles | None, list[Problem]]:
    """Return what each column is, or None; and the problems, with a command that would work.

    Args:
        sheet: the table.
        options: what the user says of it.
        name: how the file is called in problems.
    """
    return _Assignment(sheet, options, name).run()


class _Unclear(Exception):
    """It is not clear which column is what."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class _Assignment:
    """Takes columns one by one for what they are; ``free`` are those that are left, ``idle`` those of no use."""

    def __init__(self, sheet: Sheet, options: TableOptions, name: str) -> None:
        self.sheet, self.options, self.name = sheet, options, name
        self.folded = [fold(column) for column in sheet.columns]
        units = [without_unit(column) for column in sheet.columns]
        self.bare, self.factors = [name for name, _ in units], [factor for _, factor in units]
        self.free = [i for i, column in enumerate(sheet.columns) if not _NO_DATA.search(column.strip())]
        self.numeric = {i for i in self.free if self._is_numeric(i)}
        self.given: dict[str, Column] = {}
        self.given_curve: list[Column] = []
        self.given_metrics: dict[str, list[Column]] = {}
        self.roles: dict[str, Column] = {}
        self.idle: list[int] = []

    def run(self) -> tuple[Roles | None, list[Problem]]:
        try:
            self._read_given()
            x, found = self._find_x()
            self._find_roles(found, x)
            values = self._find_values(x)
        except _Unclear as unclear:
            return None, [unclear.problem]
        is_own = self._is_own() or (all(name in self.folded for name in REQUIRED) and not self.options.columns)
        named = self.roles.pop("curve", None)
        curve = self.given_curve or ([named] if named else self._find_curve(x))
        taken = {column.at for column in curve}
        unread = sorted({*self.free, *self.idle} - taken)
        left = [self.sheet.columns[i] for i in unread if not (is_own and self.folded[i] in OWN)]
        roles = Roles(x, found, values, self.roles, curve, is_own)
        return roles, [ColumnProblem.NOT_READ.at(self.name, 1, columns=names_of(left))] if left else []

    def _is_own(self) -> bool:
        """Return whether the table begins like ``points.csv``: curve, metric, a quantity, value."""
        at = [i for i, name in enumerate(self.folded) if name in ("curve", "metric", "value")]
        return at[:3] == [0, 1, 3] and not self.options.columns

    # What the user says.

    def _read_given(self) -> None:
        for role, written in self.options.columns.items():
            role = self._role(role)
            known = role in (*OPTIONAL, *REQUIRED, *QUANTITIES, "x")
            parts = [written] if (known and role != "curve") or self._place(written) is not None else written.split("+")
            columns = [self._column(part) for part in parts]
            if role == "curve":
                self.given_curve = columns
            elif known:
                self.given[role] = columns[0]
            else:
                self.given_metrics[role] = columns

    @staticmethod
    def _role(written: str) -> str:
        """Return a role's own name: ``D_p`` is ``pretrain_tokens``; a metric's name stays as it is."""
        known, folded = quantity(written).name, fold(written)
        if known in QUANTITIES:
            return known
        return folded if folded in (*OPTIONAL, *REQUIRED, "x") else written

    def _column(self, written: str) -> Column:
        """Return the column of a name, or of a number counted from 1, with the factor behind ``*``."""
        at, factor = self._place(written), ""
        if at is None:
            written, _, factor = written.partition("*")
            at = self._place(written)
        try:
            times = float(factor) if factor else None
        except ValueError:
            at, times = None, None
        if at is None:
            found = names_of(self.sheet.columns)
            raise _Unclear(ColumnProblem.NO_SUCH_COLUMN.at(self.name, 1, column=written, found=found))
        column = self._take(at)
        return column if times is None else replace(column, factor=times)

    def _place(self, written: str) -> int | None:
        text = written.strip()
        if text in self.sheet.columns:
            return self.sheet.columns.index(text)
        if fold(text) and fold(text) in self.folded:
            return self.folded.index(fold(text))
        return int(text) - 1 if text.isdigit() and 1 <= int(text) <= len(self.sheet.columns) else None

    # The x axis.

    def _find_x(self) -> tuple[Column, Quantity]:
        if self.options.x is not None:
            return self._wanted_x(self.options.x)
        if "x" in self.given:
            column = self.given["x"]
            return column, quantity(self.bare[column.at])
        if PRETRAIN_TOKENS.name in self.given:
            return self.given[PRETRAIN_TOKENS.name], PRETRAIN_TOKENS
        if self._is_own():
            # points.csv over another quantity has that in the place of pretrain_tokens
            column = self._take(self.folded.index("value") - 1)
            return column, quantity(column.name)
        for known, names in X_ORDER:
            candidates = self._named(*names)
            exact = [i for i in candidates if self.folded[i] == names[0]]
            if len(candidates) == 1 or exact:
                return self._take((exact or candidates)[0]), known
            if candidates:
                raise self._several(candidates)
        given = [(column, QUANTITIES[role]) for role, column in self.given.items() if role in QUANTITIES]
        if given:
            return given[0]
        last = [(i, known) for known in LAST_X for i in self._named(known.name, *known.aliases)]
        if len(last) > 1:
            raise self._several([i for i, _ in last])
        if not last:
            raise self._no_x(PRETRAIN_TOKENS)
        return self._take(last[0][0]), last[0][1]

    def _wanted_x(self, written: str) -> tuple[Column, Quantity]:
        """Return the column of the quantity that ``--x`` names."""
        wanted = quantity(written)
        given = self.given.get("x") or self.given.get(wanted.name)
        if given is not None:
            return given, wanted
        place = self._place(written)
        found = [place] if place is not None else self._named(wanted.name, *wanted.aliases)
        if wanted is PRETRAIN_TOKENS:
            found = found or self._named(*TOKENS) or self._named(*DATA)
        if not found:
            raise self._no_x(wanted)
        return self._take(found[0]), wanted

    def _named(self, *names: str) -> list[int]:
        """Return the free columns of numbers with one of the names, with or without a unit behind it.

        The first name is the quantity's own: such a column is one even if it holds few numbers.
        """
        found = [i for i in self.free if self.folded[i] in names or fold(self.bare[i]) in names]
        return [i for i in found if i in self.numeric or self.folded[i] == names[0]]

    def _take(self, at: int) -> Column:
        if at in self.free:
            self.free.remove(at)
        return Column(at, self.sheet.columns[at], self.factors[at])

    # Seeds, mixtures, languages ...

    def _find_roles(self, x: Quantity, at: Column) -> None:
        """Find what else a curve fixes or a row says; over another quantity than D_p a curve fixes its D_p."""
        wanted = (*OPTIONAL, PRETRAIN_TOKENS.name, *(OWN_ROLES if self._is_own() else ()))
        self.roles = {role: column for role, column in self.given.items() if role in wanted and role != x.name}
        sizes = self.sheet.cells(at.at)
        for role in ("curve", *wanted):
            known = QUANTITIES.get(role)
            if role in self.roles or known is x or (role == "curve" and self.given_curve):
                continue
            names = (role, *(known.aliases if known else ALIASES.get(role, ())))
            candidates = self._named(*names) if known else [i for i in self.free if self.folded[i] in names]
            if known and not self._is_own():
                # a quantity that grows with x along the curve is not fixed by it
                candidates = [i for i in candidates if not _goes_with(self.sheet.cells(i), sizes)]
            if candidates:
                self.roles[role] = self._take(candidates[0])

    # Scores and losses.

    def _find_values(self, x: Column) -> list[ValueColumn]:
        if self.given_metrics:
            return self._with_only_stderr(
                [
                    # several columns of one metric are curves, named by the columns
                    replace(self._value(one), metric=metric_name(role), curve=one.name if len(columns) > 1 else "")
                    for role, columns in self.given_metrics.items()
                    for one in columns
                ]
            )
        metric, value = (self.given.get(role) or self._by_alias(role) for role in ("metric", "value"))
        if value is not None and metric is not None:
            self.roles["metric"] = self._take(metric.at)
            return self._with_only_stderr([self._value(self._take(value.at) if "value" not in self.given else value)])
        if value is not None and "value" in self.given:
            return self._with_only_stderr([self._named_value(value, x)])
        wide = self._wide()
        if not wide and value is not None:
            raise self._no_metric(value, x)
        if not wide:
            raise self._no_values(x)
        return wide

    def _by_alias(self, role: str) -> Column | None:
        """Return the free column of metrics' names or of values; it stays free."""
        fits = (lambda i: i not in self.numeric) if role == "metric" else (lambda i: i in self.numeric)
        at = next((i for i in self.free if self.folded[i] in (role, *ALIASES[role]) and fits(i)), None)
        return None if at is None else Column(at, self.sheet.columns[at], self.factors[at])

    def _value(self, column: Column) -> ValueColumn:
        return ValueColumn(column, is_percent=self._is_percent(column.name))

    def _named_value(self, value: Column, x: Column) -> ValueColumn:
        """Return the column of values, of the metric that its name says."""
        named = self._metric_of(value.at)
        if named is None:
            raise self._no_metric(value, x)
        metric, test_set, curve = named
        return replace(self._value(value), metric=metric.name, test_set=test_set, curve=curve)

    def _wide(self) -> list[ValueColumn]:
        """Return the columns that metrics name, each with its column of standard errors."""
        errors = {}
        for i in self.free:
            words = _plain(self.sheet.columns[i])
            if i in self.numeric and _ERROR.search(words):
                errors[_ERROR.sub("", words)] = i
        values = []
        for i in [i for i in self.free if i in self.numeric and i not in errors.values()]:
            named = self._metric_of(i)
            if named is not None:
                metric, test_set, curve = named
                error = errors.get(_plain(self.sheet.columns[i]))
                found = ValueColumn(
                    self._take(i), metric.name, test_set, curve, is_percent=self._is_percent(self.sheet.columns[i])
                )
                values.append(replace(found, stderr=None if error is None else self._take(error)))
        return self._with_only_stderr(values)

    def _with_only_stderr(self, values: list[ValueColumn]) -> list[ValueColumn]:
        """Give the only column of values the column of standard errors."""
        stderr = self.roles.pop("stderr", None)
        if stderr is None:
            return values
        if len(values) != 1 or values[0].stderr is not None:
            self.idle.append(stderr.at)  # it does not say whose errors it holds
            return values
        return [replace(values[0], stderr=stderr)]

    def _metric_of(self, at: int) -> tuple[Metric, str, str] | None:
        """Return the metric that a column's name says, its test set and its curve (wandb: ``run - eval/bleu``)."""
        name = self.bare[at]
        if _ERROR.search(fold(name)) or _NO_VALUE.search(fold(name)):
            return None
        curve, _, rest = name.rpartition(" - ")
        named = split_name(rest.replace(",none", ""))
        if named is None and curve:
            curve, named = "", split_name(name)
        if named is None:
            return None
        metric, test_set = named
        return metric, "" if fold(test_set) in _NO_TEST_SET else test_set, curve

    @staticmethod
    def _is_percent(column: str) -> bool:
        return "%" in column or bool(re.search(r"(^|_)(pct|percent|perc)(_|$)", fold(column)))

    # Curves.

    def _find_curve(self, x: Column) -> list[Column]:
        """Return the columns of text that tell curves apart.

        Columns with another text in every row, or with one text for each x, say something of a row, not of a curve.
        """
        sizes = self.sheet.cells(x.at)
        chosen: list[Column] = []
        groups: list[tuple[str, ...]] = [() for _ in sizes]
        for i in [i for i in self.free if i not in self.numeric or self.folded[i] in LABELS]:
            cells = self.sheet.cells(i)
            if all(map(is_missing, cells)) or len(set(cells)) == len(cells) > 1 or _goes_with(cells, sizes):
                continue
            deeper = [(*group, cell) for group, cell in zip(groups, cells, strict=True)]
            if chosen and len(set(deeper)) == len(set(groups)):
                continue  # it says again what another column says
            members: dict[tuple[str, ...], set[str]] = defaultdict(set)
            for group, size in zip(deeper, sizes, strict=True):
                members[group].add(size)
            if max(map(len, members.values())) >= min(2, len(set(sizes))):
                groups = deeper
                chosen.append(Column(i, self.sheet.columns[i]))
        return chosen

    def _is_numeric(self, at: int) -> bool:
        cells = [cell for cell in self.sheet.cells(at)[:500] if not is_missing(cell)]
        return bool(cells) and sum(map(is_number, cells)) >= _MOSTLY * len(cells)

    # Questions.

    def _several(self, candidates: Sequence[int]) -> _Unclear:
        shown = [self.sheet.columns[i] for i in candidates]
        command = self._command(f"x={shown[0]}")
        return _Unclear(ColumnProblem.SEVERAL_X.at(self.name, 1, candidates=" and ".join(shown), command=command))

    def _no_x(self, wanted: Quantity) -> _Unclear:
        scores = [] if self._has_values() else [f"bleu={self._guess(-1)}"]
        command = self._command(f"{wanted.name}={self._guess(0)}", *scores)
        found = names_of(self.sheet.columns)
        return _Unclear(ColumnProblem.NO_X.at(self.name, 1, wanted=wanted.title, found=found, command=command))

    def _no_values(self, x: Column) -> _Unclear:
        free = [self.sheet.columns[i] for i in self.free if i in self.numeric]
        command = self._command(self._x_given(x), f"bleu={'+'.join(free) or 'COLUMN'}")
        return _Unclear(ColumnProblem.NO_VALUES.at(self.name, 1, found=names_of(self.sheet.columns), command=command))

    def _no_metric(self, value: Column, x: Column) -> _Unclear:
        command = self._command(self._x_given(x), f"bleu={value.name}")
        return _Unclear(ColumnProblem.NO_METRIC.at(self.name, 1, column=value.name, command=command))

    def _x_given(self, x: Column) -> str:
        known = quantity(self.bare[x.at]).name
        default = known if known in QUANTITIES else PRETRAIN_TOKENS.name
        return f"{'x' if self.options.x else default}={x.name}"

    def _has_values(self) -> bool:
        """Return whether a column is named like a metric, or the user or the table says where the values are."""
        said = self.given_metrics or "value" in self.given
        return bool(said) or self._by_alias("metric") is not None or any(map(self._metric_of, self.free))

    def _guess(self, place: int) -> str:
        """Return a free column of numbers for a command that the user may have to change."""
        free = [i for i in self.free if i in self.numeric and self._metric_of(i) is None]
        return self.sheet.columns[free[place]] if free else "COLUMN"

    def _command(self, *columns: str) -> str:
        """Return a command with ``--columns``, which keeps what the user said there already."""
        said = dict.fromkeys([*(f"{role}={written}" for role, written in self.options.columns.items()), *columns])
        x = f" --x {shlex.quote(self.options.x)}" if self.options.x else ""
        return f"fit-scaling {shlex.quote(self.name)}{x} --columns {shlex.quote(','.join(said))}"


def _plain(column: str) -> str:
    """Return a column's name without lm-eval's ``,none``."""
    return fold(column.replace(",none", ""))


def _goes_with(cells: Sequence[str], sizes: Sequence[str]) -> bool:
    """Return whether each text has one x and each x one text, and there are several."""
    pairs = set(zip(cells, sizes, strict=True))
    return len(pairs) == len(set(cells)) == len(set(sizes)) > 1
