"""The shapes a curve may have between no data and endless data: a fixed sample from the prior over S-curves in log D.

One S-curve is ``S(D) = 1 - (1 + (D / d)^a)^(-alpha / a)``: 0 at D = 0, 1 at infinity. It holds the logistic in log D
(alpha = a), the power law with a ceiling (small d), the saturating law, and nearly the log-law and the straight line in
log D (small alpha). A bend, a curve that improves and then gets worse, is an S-curve that loses slope in log D
from a place on, as broken laws do (Caballero et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..priors import COUNTS, SHAPE, ShapePrior


class Family(IntEnum):
    """What a shape does from D = 0 to infinity; up is better."""

    RISE = 0
    FLAT = 1
    FALL = 2
    BEND = 3


@dataclass(frozen=True)
class Shapes:
    """A sample of shapes.

    Attributes:
        family: a ``Family`` each [k].
        normal: coordinates [k, 6], standard normal in the prior: place, steepness and ratio of the S-curve; slope and
            place of a bend; scale of the gain.
        prior: what the coordinates are scaled with.
    """

    family: NDArray[np.int_]
    normal: FloatArray
    prior: ShapePrior = SHAPE

    def __len__(self) -> int:
        return len(self.family)

    def take(self, index: NDArray[np.int_]) -> Shapes:
        """Return the shapes with these indices."""
        return Shapes(self.family[index], self.normal[index], self.prior)

    @property
    def gain_scale(self) -> FloatArray:
        """Scale of the gain over 1.3 decades, as a share of the level [k]."""
        return self._lognormal(self.prior.log_gain, 5)

    def heights(self, z: FloatArray, low: float, high: float) -> FloatArray:
        """Return the heights [k, n] at z = log10 D [n] (-inf for D = 0) where the budgets span low to high."""
        from scipy.special import ndtr

        prior = self.prior
        first = low - prior.before + ndtr(self.normal[:, 0]) * (high - low + prior.before + prior.after)
        steepness = self._lognormal(prior.log_steepness, 1)
        side = self.normal[:, 2]
        log_ratio = np.where(side < 0, -prior.log_ratio[0] * side, -prior.log_ratio[1] * side)
        height = _rise(z, first, steepness, np.exp(log_ratio))
        bends = self.family == Family.BEND
        if bends.any():
            place = low + ndtr(self.normal[bends, 4]) * (high - low)
            sharpness = np.log(10.0) * prior.onset
            rise = steepness[bends], np.exp(log_ratio[bends])
            before = _rise(np.zeros(1), first[bends] - place, *rise) - _rise(np.array([low]), first[bends], *rise)
            slope = self._lognormal(prior.log_drop, 3)[bends] * before[:, 0] / np.maximum(place - low, 0.1)
            height[bends] -= slope[:, None] / sharpness * _log1p_exp(sharpness * (z - place[:, None]))
        height[self.family == Family.FALL] *= -1.0
        height[self.family == Family.FLAT] = 0.0
        return height

    def _lognormal(self, moments: tuple[float, float], column: int) -> FloatArray:
        return np.exp(moments[0] + moments[1] * self.normal[:, column])


_GOLDEN = 1.1127756842787055  # the root of x^7 = x + 1, for six dimensions
_STEPS = _GOLDEN ** -np.arange(1.0, 7.0)


def _rise(z: FloatArray, middle: FloatArray, steepness: FloatArray, ratio: FloatArray) -> FloatArray:
    grown = _log1p_exp(np.log(10.0) * steepness[:, None] * (z[None] - middle[:, None]))
    return -np.expm1(-ratio[:, None] * grown)


def _log1p_exp(x: FloatArray) -> FloatArray:
    """Return log(1 + exp(x)), of -inf too."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@cache
def sample_shapes(prior: ShapePrior = SHAPE) -> Shapes:
    """Return the sample of shapes for a prior: quasi-random and the same in every run.

    Additive recurrence with powers of the generalised golden ratio (Roberts 2018, "The unreasonable effectiveness of
    quasirandom sequences"); scipy's Sobol sequence takes a second to import and gives the same results.
    """
    from scipy.special import ndtri

    family, normal = [], []
    for kind in Family:
        count = COUNTS[kind.name.lower()]
        points = (0.5 + np.arange(1, count + 1)[:, None] * _STEPS + 0.1 * int(kind)) % 1.0
        normal.append(ndtri(points))
        family.append(np.full(count, int(kind)))
    return Shapes(np.concatenate(family), np.concatenate(normal), prior)
