"""The shapes a curve may have between no data and endless data: a fixed sample from the prior over S-curves in log D.

One S-curve is ``S(D) = 1 - (1 + (D / d)^a)^(-alpha / a)``: 0 at D = 0, 1 at infinity. It holds the logistic in log D
(alpha = a), the power law with a ceiling (small d), the saturating law, and nearly the log-law and the straight line in
log D (small alpha). A bend, a curve that improves and then gets worse, is one S-curve minus a later one.
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
        normal: coordinates [k, 7], standard normal in the prior: place, steepness and ratio of the first S-curve; drop,
            place and steepness of the second; scale of the gain.
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
    def drop(self) -> FloatArray:
        """Height of the second S-curve [k]; 0 where there is none."""
        return self._lognormal(self.prior.log_drop, 3) * (self.family == Family.BEND)

    @property
    def gain_scale(self) -> FloatArray:
        """Scale of the gain over 1.3 decades, as a share of the level [k]."""
        return self._lognormal(self.prior.log_gain, 6)

    @property
    def end(self) -> FloatArray:
        """Height at infinity [k]."""
        return np.choose(self.family, [1.0, 0.0, -1.0, 1.0 - self.drop])

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
            second = low + ndtr(self.normal[bends, 4]) * (high - low + prior.after)
            steepness = self._lognormal(prior.log_steepness, 5)[bends]
            height[bends] -= self.drop[bends, None] * _rise(z, second, steepness, np.ones(steepness.size))
        height[self.family == Family.FALL] *= -1.0
        height[self.family == Family.FLAT] = 0.0
        return height

    def _lognormal(self, moments: tuple[float, float], column: int) -> FloatArray:
        return np.exp(moments[0] + moments[1] * self.normal[:, column])


_GOLDEN = 1.0969815577985598  # the root of x^8 = x + 1, for seven dimensions
_STEPS = _GOLDEN ** -np.arange(1.0, 8.0)


def _rise(z: FloatArray, middle: FloatArray, steepness: FloatArray, ratio: FloatArray) -> FloatArray:
    grown = np.log(10.0) * steepness[:, None] * (z[None] - middle[:, None])
    grown = np.maximum(grown, 0.0) + np.log1p(np.exp(-np.abs(grown)))  # log(1 + exp), of -inf too
    return -np.expm1(-ratio[:, None] * grown)


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
