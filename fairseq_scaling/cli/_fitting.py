"""From the points that ``fit-scaling`` has read to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SettingError
from ..metrics import metric_name, order
from ..report.analysis import analyse
from ..report.fitting import Settings
from ..report.points import Point
from ..report.points.curves import collect
from ..report.reading import Inputs
from ..report.results import Report


def fit(
    points: Sequence[Point],
    inputs: Inputs,
    metrics: Sequence[str],
    targets: Sequence[tuple[str, float]],
    noise: Mapping[str, float],
    settings: Mapping[str, Any],
) -> Report:
    """Return the report on the points.

    Args:
        points: of all that was read.
        inputs: what was read beside them.
        metrics: the only ones that are wanted; all where there is none.
        targets: (metric, score); without a metric the first score there is (BLEU before the others, losses last).
        noise: metric -> standard deviation of one run.
        settings: the other fields of ``Settings``.

    Raises:
        SettingError: no point has a metric that is named.
    """
    if metrics:
        chosen = {_among("--metric", metric, points) for metric in metrics}
        points = [point for point in points if point.metric in chosen]
    first = min((point.metric for point in points), key=order)
    wanted = tuple((_among("--target-score", metric or first, points), score) for metric, score in targets)
    noises = {_among("--noise", metric, points): sd for metric, sd in noise.items()}
    collection = collect(points, noises)
    inputs.problems += collection.problems
    inputs.unplaced = collection.unplaced
    return analyse(collection.curves, Settings(**settings, targets=wanted), inputs)


def _among(flag: str, metric: str, points: Sequence[Point]) -> str:
    """Return the name of a metric that a flag names; SettingError where no point has it."""
    name, known = metric_name(metric), sorted({point.metric for point in points}, key=order)
    if name not in known:
        raise SettingError(flag, metric, "no point has it", f"there are {', '.join(known)}")
    return name
