"""The broken neural scaling law with one break (Caballero et al.)."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Parameter, Scale
from ..numerics.separable import ValueLinearLaw, thinned
from .sigmoid import sigmoid

_LIMITS = np.array([0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.995, 1.005, 1.03, 1.1, 1.3, 2.0, 5.0, 50.0, 1e3])
"""Limits a to start from: below 1 as shares of the lowest value, above 1 as multiples of the highest."""


class Bnsl1(ValueLinearLaw):
    """f = a + b D^(-c0) (1 + (D / d)^(1/f1))^(-c1 f1): two power laws joined smoothly at d, above a limit a."""

    name = "bnsl1"
    title = "BNSL with one break"
    formula = "a + b * D^(-c0) * (1 + (D / d)^(1/w))^(-c1 * w)"
    source = "Caballero et al., Broken Neural Scaling Laws (ICLR 2023), eq. 1 with n = 1"
    parameters = (
        Parameter("a", "value with unlimited data", "points of the metric", lower=0.0),
        Parameter("b", "factor of the power law before the break"),
        Parameter("c0", "exponent before the break"),
        Parameter("c1", "change of the exponent at the break"),
        Parameter("log d", "logarithm of the D_p of the break", "log tokens"),
        Parameter("w", "width of the break", lower=0.0),
    )
    internal = ("a", "b", "c0", "c1", "z0", "w")
    linear_bounds = ((0.0, np.inf), (-np.inf, np.inf))
    lower = np.array([0.0, -np.inf, -0.5, -3.0, -1.5, 0.03])
    upper = np.array([np.inf, np.inf, 8.0, 12.0, 1.5, 2.0])
    axes = (_LIMITS, np.linspace(-1.2, 1.2, 13), np.array([0.03, 0.1, 0.25, 0.6, 1.5]))
    starts = 12
    finalists = 5

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        """Return starts [batch, starts, 6]: given a, d and w, log |f - a| is linear in log |b|, c0 and c1."""
        z, target, weight = thinned(z, target, weight)
        z = np.broadcast_to(z, target.shape)
        values = np.exp(target)
        real = weight > 0
        lowest = np.min(np.where(real, values, np.inf), 1)[:, None]
        highest = np.max(np.where(real, values, -np.inf), 1)[:, None]
        limit = _LIMITS * np.where(_LIMITS < 1, lowest, highest)
        sign = np.where(_LIMITS < 1, 1.0, -1.0)
        distance = np.maximum(sign[:, None] * (values[:, None] - limit[..., None]), 1e-9)
        # of the distance's logarithm, so that its errors count as those of log f do
        weights = weight[:, None] * (distance / values[:, None]) ** 2

        place, width = (axis.ravel() for axis in np.meshgrid(*self.axes[1:], indexing="ij"))
        first = -np.broadcast_to((z + 1)[:, None], (len(z), len(place), z.shape[1]))
        second = -width[:, None] * _softplus((z[:, None] - place[:, None]) / width[:, None])
        log_factor, c0, c1 = self._power_laws(first, second, np.log(distance), weights)

        with np.errstate(all="ignore"):
            factor = sign[:, None] * np.exp(log_factor)
            phi = np.exp(c0[..., None] * first[:, None] + c1[..., None] * second[:, None])
            # from here on one axis of nodes, as the grid has them
            limit = np.repeat(limit, len(place), 1)
            factor, c0, c1 = (x.reshape(limit.shape) for x in (factor, c0, c1))
            objective = self._judge(phi.reshape(*limit.shape, -1), limit, factor, target, weight, delta)[0]
        picked = self._lowest(objective)
        rows, nodes = np.arange(len(z))[:, None], self.grid[picked]
        found = [x[rows, picked] for x in (limit, factor, c0, c1)]
        return np.stack([*found, nodes[..., 1], nodes[..., 2]], -1)

    def _power_laws(
        self, first: FloatArray, second: FloatArray, target: FloatArray, weights: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return log |b|, c0 and c1 inside their bounds [b, limits, breaks]: the least squares of log |f - a|.

        Args:
            first, second: what c0 and c1 are multiplied by [b, breaks, n].
            target, weights: log |f - a| and what it counts [b, limits, n].
        """
        total = weights.sum(-1, keepdims=True)
        share = weights / total

        def moment(x: FloatArray, values: FloatArray) -> FloatArray:
            return values @ x.transpose(0, 2, 1)

        # about the means, which leaves two equations in c0 and c1
        mean1, mean2 = moment(first, share), moment(second, share)
        middle = np.sum(share * target, -1, keepdims=True)
        s11 = moment(first**2, share) - mean1**2
        s22 = moment(second**2, share) - mean2**2
        s12 = moment(first * second, share) - mean1 * mean2
        v1 = moment(first, share * target) - mean1 * middle
        v2 = moment(second, share * target) - mean2 * middle
        (low1, low2), (high1, high2) = self.lower[2:4], self.upper[2:4]
        determinant = np.maximum(s11 * s22 - s12**2, 1e-12 * s11 * s22 + 1e-300)
        free1 = (s22 * v1 - s12 * v2) / determinant
        free2 = (s11 * v2 - s12 * v1) / determinant
        # Where one leaves its bounds it stays there, and the other answers.
        c1 = np.clip(free2, low2, high2)
        c0 = np.clip(np.where(c1 == free2, free1, (v1 - s12 * c1) / np.maximum(s11, 1e-300)), low1, high1)
        c1 = np.where(c0 == free1, c1, np.clip((v2 - s12 * c0) / np.maximum(s22, 1e-300), low2, high2))
        return middle - c0 * mean1 - c1 * mean2, c0, c1

    def shape(self, rest: FloatArray, z: FloatArray) -> FloatArray:
        c0, c1, z0, width = (rest[..., i : i + 1] for i in range(4))
        return np.exp(-c0 * (z + 1) - c1 * width * _softplus((z - z0) / width))

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        c0, c1, z0, width = (rest[..., i : i + 1] for i in range(4))
        t = (z - z0) / width
        soft = _softplus(t)
        share = sigmoid(t)
        phi = np.exp(-c0 * (z + 1) - c1 * width * soft)
        slopes = np.stack([-(z + 1) * phi, -width * soft * phi, c1 * share * phi, -c1 * (soft - share * t) * phi], -1)
        return phi, slopes

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        limit, factor, c0, c1, z0, width = theta
        unit, half = np.exp(scale.level), scale.half
        shift = scale.middle / half - 1
        with np.errstate(over="ignore"):
            size = unit * np.exp(c0 * shift)
        values = np.array([unit * limit, factor * size, c0 / half, c1 / half, scale.middle + half * z0, width * half])
        slopes = np.zeros((6, 6))
        slopes[0, 0], slopes[1, 1], slopes[1, 2] = unit, size, factor * size * shift
        slopes[2, 2] = slopes[3, 3] = 1 / half
        slopes[4, 4] = slopes[5, 5] = half
        return values, slopes


def _softplus(t: FloatArray) -> FloatArray:
    return np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t)))
