"""The few quantiles and factors the intervals need, without the cost of importing scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_NODES, _SHARES = np.polynomial.legendre.leggauss(96)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: float) -> float:
    """Return Student's t quantile; NaN without a degree of freedom.

    With t = sqrt(freedom) tan(x) the density is cos(x)^(freedom - 1), smooth on a finite range: a Gauss-Legendre sum
    gives the distribution, bisection inverts it, to about twelve digits.
    """
    if not freedom > 0:
        return float("nan")
    if probability == 0.5:
        return 0.0
    freedom = min(freedom, 1e6)
    tail = abs(probability - 0.5)
    factor = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    # Beyond 40 standard deviations no probability is left that a double could tell.
    high = min(math.pi / 2, math.atan(40 / math.sqrt(freedom))) if freedom > 30 else math.pi / 2
    angle = _angle(lambda x: factor * np.cos(x) ** (freedom - 1), tail, high)
    return math.copysign(math.sqrt(freedom) * math.tan(angle), probability - 0.5)


@lru_cache(maxsize=256)
def t_grid(count: int, freedom: float) -> NDArray[np.float64]:
    """Return ``count`` equally likely values of Student's t: the quantiles (i + 1/2) / count."""
    freedom = min(freedom, 1e6)
    angle = np.linspace(0, math.pi / 2 if freedom < 30 else math.atan(40 / math.sqrt(freedom)), 20001)
    density = np.cos(angle) ** (freedom - 1)
    reached = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    shares = (np.arange(count) + 0.5) / count
    half = np.interp(np.abs(2 * shares - 1), reached / reached[-1], angle)
    return np.copysign(math.sqrt(freedom) * np.tan(half), shares - 0.5)


@lru_cache(maxsize=4096)
def f_quantile(probability: float, above: float, below: float) -> float:
    """Return Fisher's F quantile; infinity without a degree of freedom above or below the line.

    With F = below / above tan(x)^2 the density is sin(x)^(above - 1) cos(x)^(below - 1), treated as in ``t_quantile``.
    """
    if not (above > 0 and below > 0):
        return float("inf")
    factor = 2 * math.exp(math.lgamma((above + below) / 2) - math.lgamma(above / 2) - math.lgamma(below / 2))
    angle = _angle(lambda x: factor * np.sin(x) ** (above - 1) * np.cos(x) ** (below - 1), probability, math.pi / 2)
    return below / above * math.tan(angle) ** 2


def _angle(density: Callable[[NDArray[np.float64]], NDArray[np.float64]], share: float, high: float) -> float:
    """Return the angle below ``high`` up to which a density over angles from 0 on holds ``share``."""
    low = 0.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        inside = 0.5 * middle * float(np.sum(_SHARES * density(0.5 * middle * (_NODES + 1))))
        low, high = (middle, high) if inside < share else (low, middle)
    return 0.5 * (low + high)


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
