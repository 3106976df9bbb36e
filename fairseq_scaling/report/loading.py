"""Logs and tables as curves, for a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from ..errors import DataError
from ..laws import Curve
from ..metrics import metric_name
from ..problems import Problem, count_problems
from ..quantities import format_tokens
from .fitting import prepare
from .points.curves import collect
from .points.roles import TableOptions
from .reading import read_inputs
from .run_points import Choice


class Curves(list[Curve]):
    """The curves that were read, with what could not be used and why (``problems``)."""

    def __init__(self, curves: Iterable[Curve], problems: Iterable[Problem] = ()) -> None:
        super().__init__(curves)
        self.problems = tuple(problems)

    def of(self, metric: str) -> Curves:
        """Return the curves of one metric."""
        return Curves([curve for curve in self if curve.metric == metric_name(metric)], self.problems)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row for each point, D_p = 0 for baselines (needs pandas)."""
        import numpy as np
        import pandas  # type: ignore[import-untyped]

        rows = []
        for curve in self:
            head = (curve.name, curve.metric)
            without = np.array([]) if curve.baseline is None else np.atleast_1d(curve.baseline)
            rows += [(*head, 0.0, float(value), None, None, False) for value in without]
            seeds, runs = ([None] * len(curve) if one is None else one.tolist() for one in (curve.seeds, curve.runs))
            columns = (curve.pretrain_tokens.tolist(), curve.values.tolist(), seeds, runs, curve.held_out.tolist())
            rows += [(*head, *row) for row in zip(*columns, strict=True)]
        names = ["curve", "metric", "pretrain_tokens", "value", "seed", "pretrain_seed", "held_out"]
        return pandas.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        lines = [f"{len(self)} curve{'s' * (len(self) != 1)}"]
        for curve in self:
            low, high = (format_tokens(float(f"{end:.3g}")) for end in curve.pretrain_tokens[[0, -1]])
            counts = f"{len(curve)} points at {curve.groups().size} sizes, {low} to {high}"
            lines.append(f"  {curve.name}: {curve.about.title}, {counts}")
        lines += [f"  not used: {group.first.place}: {group.message}" for group in count_problems(self.problems)]
        return "\n".join(lines)


def load(
    *paths: str | PathLike[str],
    mapping: str | PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    subset: str | None = None,
    unfinished: bool = False,
) -> Curves:
    """Return the curves in logs and tables, as ``fit-scaling`` reads them.

    Args:
        paths: files and folders of logs, score files, outputs of fairseq-generate, and tables.
        mapping: what stock logs do not say (the file of ``fit-scaling --write-mapping``, or a pattern of paths).
        columns: role -> column of a table, where its name does not say it: ``{"pretrain_tokens": "tokens*1e9"}``.
        subset: the test set that counts.
        unfinished: use runs whose training did not end, as far as they came.

    Curves with fewer than three sizes are among the ``problems``: no forecast can be made of them.

    Raises:
        DataError: a path does not exist, or nothing in it is a point of a curve. SettingError: a malformed mapping.
    """
    choice = Choice({"": subset} if subset else {}, unfinished)
    options = TableOptions(columns) if columns else None
    points, inputs = read_inputs(
        [str(path) for path in paths], None if mapping is None else str(mapping), choice, options
    )
    collection = collect(points)
    made = [prepare(data) for data in collection.curves]
    problems = [*inputs.problems, *collection.problems, *(one.problem for one in made if one.problem)]
    curves = [one.curve for one in made if one.curve is not None and one.problem is None]
    if not curves:
        said = "".join(f"  {group.first.place}: {group.message}\n" for group in count_problems(problems))
        raise DataError(f"{', '.join(map(str, paths))}: no curve with three sizes or more\n{said}".rstrip())
    return Curves(curves, problems)
