"""Metrics of one study side by side: does cross-entropy tell the same story as the score?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .curve import Curve
from .results import MetricComparison, Verdict


def compare_metrics(
    curves: Sequence[Curve], verdicts: Mapping[str, Verdict] | Sequence[Verdict] | None = None, name: str = ""
) -> MetricComparison:
    """Compare the metrics of one mixture, task and D_f.

    Args:
        curves: the same runs under different metrics, cross-entropy among them or not.
        verdicts: verdicts in the order of the curves (or by metric); None makes them.
        name: what the group is called; by default the first curve's name.
    """
    raise NotImplementedError
