"""Quantiles and factors that intervals need."""

from __future__ import annotations

import math

import numpy as np


def t_quantile(probability: float, freedom: float) -> float:
    """Return Student's t quantile; NaN without a degree of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability)) if freedom > 0 else float("nan")


def f_quantile(probability: float, above: float, below: float) -> float:
    """Return Fisher's F quantile; infinity without a degree of freedom above or below the line."""
    from scipy.special import fdtri

    return float(fdtri(above, below, probability)) if above > 0 and below > 0 else float("inf")


def huber_inflation(ratio: float) -> float:
    """Return the variance of Huber's estimate over that of least squares, for normal errors.

    Args:
        ratio: delta / sigma. 0 gives pi / 2 (the median), infinity 1.

    Source: Huber (1964): V = E psi^2 / (E psi')^2.
    """
    if not np.isfinite(ratio) or ratio > 8:
        return 1.0
    if ratio < 1e-4:
        return math.pi / 2
    inside = math.erf(ratio / math.sqrt(2))
    density = math.exp(-0.5 * ratio * ratio) / math.sqrt(2 * math.pi)
    square = inside - 2 * ratio * density + ratio * ratio * (1 - inside)
    return square / inside**2
