"""Which kind a curve is: a reading of the forecast's probabilities, so that it cannot contradict an interval."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .forecast import Forecast

FEWEST_BUDGETS = 4
"""A curve with fewer distinct budgets has no kind yet."""


class VerdictKind(Enum):
    """Kinds of curve, named as by Isik et al. (2025) and Lourie, Hu, Cho (2025)."""

    FOLLOWS = "follows the law"
    SATURATED = "saturated"
    NON_MONOTONIC = "non-monotonic"
    INVERSE = "inverse"
    NOISY = "noisy"
    TRENDLESS = "trendless"
    BREAKTHROUGH = "breakthrough"
    TOO_FEW = "too few points"


@dataclass(frozen=True)
class Verdict:
    """The kind of a curve and its probability; ``improves``: whether it likely rises over the observed budgets."""

    kind: VerdictKind
    probability: float
    improves: bool


def diagnose(forecast: Forecast) -> Verdict:
    """Return the verdict on a curve.

    The kind is the first of these that is likely (``forecast.likely``): it gets worse, it leaps, a doubling is not
    worthwhile (saturated), it rises. Where nothing is likely the curve is noisy if it has surely gained something, and
    trendless otherwise.
    """
    shape, likely = forecast.shape, forecast.likely
    improves = shape.rises >= likely and forecast.gained.lower > 0
    if forecast.state.repeats.z.size < FEWEST_BUDGETS:
        return Verdict(VerdictKind.TOO_FEW, 1.0, improves)
    worse, still = chance_worse(forecast), 1 - forecast.chance_worthwhile
    if worse >= likely:
        kind = VerdictKind.INVERSE if shape.falls >= shape.bends else VerdictKind.NON_MONOTONIC
        return Verdict(kind, worse, False)
    if shape.leaps >= likely:
        return Verdict(VerdictKind.BREAKTHROUGH, shape.leaps, improves)
    if still >= likely:
        return Verdict(VerdictKind.SATURATED, still, improves)
    if shape.rises >= likely:
        return Verdict(VerdictKind.FOLLOWS, shape.rises, improves)
    if forecast.gained.lower > 0:
        return Verdict(VerdictKind.NOISY, shape.rises, improves)
    return Verdict(VerdictKind.TRENDLESS, shape.flat, improves)


def chance_worse(forecast: Forecast) -> float:
    """Return the probability that more of this data has made the score worse: that the curve falls or bends."""
    return forecast.shape.falls + forecast.shape.bends
