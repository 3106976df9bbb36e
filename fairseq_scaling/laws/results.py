"""Estimates, predictions and errors. Plain data, readable reprs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..quantities import format_tokens
from .curve import FloatArray


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; ``lower``, ``upper`` and ``se`` are NaN where the data do not determine them."""

    value: float
    lower: float = float("nan")
    upper: float = float("nan")
    se: float = float("nan")
    unit: str = ""

    def __str__(self) -> str:
        if not np.isfinite(self.lower):
            return f"{self.value:.4g} (not determined)"
        return f"{self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}]"


@dataclass(frozen=True)
class Prediction:
    """Predicted values of a law with a pointwise interval for the curve's mean; arrays of one shape."""

    pretrain_tokens: FloatArray
    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float

    def __repr__(self) -> str:
        rows = zip(*(np.atleast_1d(a) for a in (self.pretrain_tokens, self.value, self.lower, self.upper)), strict=True)
        lines = [f"{format_tokens(d):>8} tokens: {v:.4g} [{lo:.4g}, {hi:.4g}]" for d, v, lo, hi in rows]
        return f"Prediction, {self.level:.0%} intervals\n" + "\n".join(lines)


@dataclass(frozen=True)
class LeftOut:
    """A point that did not enter the fit, and why."""

    index: int
    pretrain_tokens: float
    value: float
    reason: str


@dataclass(frozen=True)
class HeldOutError:
    """Errors of a fit on points it has not seen.

    ``rmsle`` is sqrt(mean((log predicted - log observed)^2)); ``relative`` the mean of |predicted - observed| /
    observed; ``absolute`` the mean of |predicted - observed| in points of the metric; ``bias`` the mean of log
    predicted - log observed (above 0: the law promised too much for a score); ``n`` the number of points.
    """

    rmsle: float
    relative: float
    absolute: float
    bias: float
    n: int


def estimate_from_draws(drawn: FloatArray, level: float, unit: str = "", method: str = "linear") -> Estimate:
    """Return median, interval and standard deviation of draws [d]; ``method`` is that of ``numpy.quantile``."""
    tail = (1 - level) / 2
    lower, value, upper = np.quantile(drawn, [tail, 0.5, 1 - tail], method=method)  # type: ignore[call-overload]
    spread = float(np.std(drawn)) if np.all(np.isfinite(drawn)) else float("nan")
    return Estimate(float(value), float(lower), float(upper), spread, unit)


def first_reached(values: FloatArray, wanted: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the first D, interpolated in log D, where rows [d, n] reach ``wanted`` [d]; inf where none does."""
    above = values >= wanted[:, None]
    at = np.argmax(above, 1)
    before, rows = np.maximum(at - 1, 0), np.arange(len(values))
    low, high = values[rows, before], values[rows, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (wanted - low) / (high - low), 1.0)
    logs = np.log(grid)
    position = np.exp(logs[before] + np.clip(share, 0, 1) * (logs[at] - logs[before]))
    return np.where(above.any(1), np.where(at == 0, grid[0], position), np.inf)
