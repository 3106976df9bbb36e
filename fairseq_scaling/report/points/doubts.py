"""What is doubtful about a table as a whole: rows that are there twice, and scales."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...metrics import describe
from ...problems import Problem, ProblemKind
from .point import Point
from .roles import Roles
from .sheets import Row, Sheet, SheetProblem

_FEW = 3
"""Of fewer rows nothing is said about the table as a whole."""


class TableProblem(ProblemKind):
    """What is doubtful about a table as a whole."""

    TWICE = "the table holds rows twice", "line {first} again", "they count once"
    MAYBE_SHARES = (
        "all values of {metric} are at most 1", "the largest is {cell}", "write --scale {metric}=1 if they are shares",
    )  # fmt: skip


def without_twins(sheet: Sheet, roles: Roles, name: str, problems: list[Problem]) -> list[Row]:
    """Return the rows, each once where the table holds itself twice or where seed or run say that two rows are one."""
    index = {i for i, column in enumerate(sheet.columns) if not column or column.lower().startswith("unnamed")}
    keys = [tuple(cell for i, cell in enumerate(row.cells) if i not in index) for row in sheet.rows]
    counts = Counter(keys)
    repeated = sum(count > 1 for count in counts.values())
    is_twice = len(counts) >= _FEW and 2 * repeated >= len(counts)
    joined = any(problem.kind is SheetProblem.HEADER_AGAIN for problem in sheet.problems)
    tells = [roles.roles[role].at for role in ("seed", "run_id") if role in roles.roles]
    first: dict[tuple[str, ...], Row] = {}
    kept = []
    for key, row in zip(keys, sheet.rows, strict=True):
        one = first.setdefault(key, row)
        if one is not row and (is_twice or joined or any(row.cells[at] for at in tells)):
            problems.append(TableProblem.TWICE.at(name, row.line, first=one.line))
        else:
            kept.append(row)
    return kept


def doubtful_scales(points: Sequence[Point]) -> list[Problem]:
    """Return a question for each metric from 0 to 100 of which no value of the table is above 1."""
    counts = Counter(point.metric for point in points)
    largest: dict[str, Point] = {}
    for point in points:
        if counts[point.metric] < _FEW:
            continue
        if point.metric not in largest or point.value > largest[point.metric].value:
            largest[point.metric] = point
    problems = []
    for metric, point in largest.items():
        row = describe(metric, point.lower_is_better, point.scale)
        if row.scale == 100 and point.scale is None and 0 < point.value <= 1:
            said = {"metric": metric, "cell": f"{point.value:g}"}
            problems.append(TableProblem.MAYBE_SHARES.at(point.file, point.line, **said))
    return problems
