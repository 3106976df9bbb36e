"""Name the kind of a curve, with a test against monotonicity."""

from __future__ import annotations

from .curve import Curve
from .results import Choice, Fit, Verdict


def diagnose(curve: Curve, fit: Fit | Choice | None = None, *, noise: float | None = None, seed: int = 0) -> Verdict:
    """Return the verdict on a curve (its held-out points included).

    Args:
        fit: a fit or choice for the curve; None fits the metric's default law.
        noise: standard deviation of one measurement in points of the metric. None takes the curve's seeds, then
            ``curve.attributes["noise"]``, then a stated assumption.
        seed: of the simulated distribution of the test.
    """
    raise NotImplementedError
