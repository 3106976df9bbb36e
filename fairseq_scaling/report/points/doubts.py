"""What is doubtful about a table as a whole: rows that are there twice, and scales."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ...errors import SettingError
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


def check_scales(points: Sequence[Point], name: str) -> None:
    """Ask for the scale of a metric from 0 to 100 of which no value of the table is above 1.

    Shares taken for points would turn every piece of advice round. Scores with a signature are points.

    Raises:
        SettingError: the scale is not known.
    """
    values = defaultdict(list)
    for point in points:
        if point.scale is None and not point.details.get("signature"):
            values[point.metric, point.lower_is_better].append(point.value)
    for (metric, falls), of_metric in values.items():
        if describe(metric, falls).scale == 100 and len(of_metric) >= _FEW and 0 < max(of_metric) <= 1:
            said = f"no {metric} in {name} is above 1 (the largest is {max(of_metric):g})"
            remedy = f"write --scale {metric}=1 if these are shares, --scale {metric}=100 if they are points"
            raise SettingError(f"--scale {metric}", "not given", said, f"{remedy}; or a column scale")
