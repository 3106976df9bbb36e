"""Laws with two plateaus: logistic with a free ceiling, the saturating law, and M4."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Parameter, Scale
from ..numerics.separable import LogLinearLaw, ValueLinearLaw


def sigmoid(t: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-t)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * t))


class Logistic(LogLinearLaw):
    """f = Q / (1 + (d / D)^k): a logistic curve in log D with a free ceiling Q.

    Internally log f = kappa - log(s + (1 - s) exp(-k z)) with s = 1 - exp(-u): kappa is the value at z = 0 and s the
    share of the ceiling that is reached there; s -> 0 is a power law. The second linear parameter of the family is
    fixed at 1.
    """

    name = "logistic"
    title = "logistic with free ceiling"
    formula = "Q / (1 + (d / D)^k)"
    source = "Ruan et al., Observational Scaling Laws (2024), with a free ceiling"
    parameters = (
        Parameter("Q", "value with unlimited data", "points of the metric", lower=0.0),
        Parameter("log d", "logarithm of the D_p at which half of the ceiling is reached", "log tokens"),
        Parameter("k", "steepness", lower=0.0),
    )
    internal = ("kappa", "k", "u")
    linear = 1
    lower = np.array([-np.inf, 0.02, 0.0])
    upper = np.array([np.inf, 30.0, 60.0])
    axes = (
        np.array([0.1, 0.25, 0.5, 0.8, 1.2, 1.8, 2.6, 4.0, 6.5, 12.0]),
        np.array([0.0, 0.05, 0.12, 0.25, 0.45, 0.75, 1.2, 1.8, 2.6, 3.8, 5.5, 8.0, 12.0, 18.0]),
    )
    linear_bounds = ((-np.inf, np.inf), (1.0, 1.0))
    starts = 3

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        k, u = rest[..., :1], rest[..., 1:2]
        with np.errstate(divide="ignore"):
            total = np.logaddexp(np.log(-np.expm1(-u)), -u - k * z)
        below = np.exp(-u - k * z - total)
        return -total, np.stack([z * below, below - np.exp(-u - total)], -1)

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        return np.delete(super().start(z, target, weight, delta), 1, axis=-1)

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            phi, slopes = self.basis(theta[:, 1:], z)
        jacobian = np.empty((*phi.shape, 3))
        jacobian[..., 0] = 1.0
        jacobian[..., 1:] = slopes
        return theta[:, :1] + phi, jacobian

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        kappa, k, u = theta
        if u < 1e-9:
            return np.array([np.inf, np.inf, k / scale.half]), np.full((3, 3), np.nan)
        share = -np.expm1(-u)
        ceiling = np.exp(kappa + scale.level) / share
        z0 = -(np.log(share) + u) / k
        values = np.array([ceiling, scale.middle + scale.half * z0, k / scale.half])
        slopes = np.array(
            [
                [ceiling, 0.0, -ceiling / np.expm1(u)],
                [0.0, -scale.half * z0 / k, -scale.half / (k * share)],
                [0.0, 1 / scale.half, 0.0],
            ]
        )
        return values, slopes

    def limits(self, theta: FloatArray) -> list[str]:
        if theta[2] < 1e-6:
            return ["the fit lies at the law's edge, where it is a power law: the points show no ceiling"]
        return super().limits(theta)


class Saturating(ValueLinearLaw):
    """f = E + I / (1 + (D / d)^a): from one plateau (E + I) to another (E), falling (I > 0) or rising (I < 0)."""

    name = "saturating"
    title = "saturating law"
    formula = "E + I / (1 + (D / d)^a)"
    source = "four-parameter logistic in log D; M4 of Alabdulmohsin et al. (2022) with exponent 1"
    parameters = (
        Parameter("E", "value with unlimited data", "points of the metric", lower=0.0),
        Parameter("I", "value without data, above E", "points of the metric"),
        Parameter("log d", "logarithm of the D_p half-way between", "log tokens"),
        Parameter("a", "steepness", lower=0.0),
    )
    internal = ("E", "I", "a", "z0")
    linear_bounds = ((0.0, np.inf), (-np.inf, np.inf))
    lower = np.array([0.0, -np.inf, 0.05, -6.0])
    upper = np.array([np.inf, np.inf, 30.0, 6.0])
    axes = (
        np.array([0.2, 0.5, 1.0, 1.7, 2.1, 2.6, 4.0, 6.5, 12.0]),
        np.array([-6.0, -4.0, -2.5, -1.6, -1.0, -0.6, -0.2, 0.2, 0.6, 1.0, 1.8, 3.5, 6.0]),
    )
    starts = 4

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, z0 = rest[..., :1], rest[..., 1:2]
        phi = sigmoid(-a * (z - z0))
        slope = phi * (1 - phi)
        return phi, np.stack([-slope * (z - z0), slope * a], -1)

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        floor, size, a, z0 = theta
        unit = np.exp(scale.level)
        values = np.array([unit * floor, unit * size, scale.middle + scale.half * z0, a / scale.half])
        slopes = np.zeros((4, 4))
        slopes[0, 0] = slopes[1, 1] = unit
        slopes[2, 3], slopes[3, 2] = scale.half, 1 / scale.half
        return values, slopes


class M4(ValueLinearLaw):
    """(f - E) / (E0 - f)^alpha = beta D^c: between two plateaus, approached at different rates.

    Internally f = E + R sigmoid(t) where log sigmoid(t) - alpha log sigmoid(-t) = b + c z, solved by Newton steps.
    """

    name = "m4"
    title = "M4"
    formula = "(f - E) / (E0 - f)^alpha = beta * D^c"
    source = "Alabdulmohsin et al., Revisiting Neural Scaling Laws in Language and Vision (NeurIPS 2022), eq. 4"
    parameters = (
        Parameter("E", "lower plateau", "points of the metric", lower=0.0),
        Parameter("E0", "upper plateau", "points of the metric"),
        Parameter("alpha", "how slowly the upper plateau is left", lower=0.0),
        Parameter("log beta", "logarithm of the factor"),
        Parameter("c", "exponent of D_p, negative for a falling curve"),
    )
    internal = ("E", "R", "alpha", "b", "c")
    linear_bounds = ((0.0, np.inf), (0.0, np.inf))
    lower = np.array([0.0, 0.0, 0.02, -40.0, -20.0])
    upper = np.array([np.inf, np.inf, 10.0, 40.0, 20.0])
    axes = (
        np.array([0.15, 0.5, 1.0, 2.2]),
        np.array([-25.0, -14.0, -6.0, -3.0, -1.5, -0.5, 0.5, 1.5, 3.5, 7.0]),
        np.array([-6.0, -3.5, -2.2, -1.4, -0.8, -0.4, 0.4, 1.0, 2.2, 4.0]),
    )
    starts = 4

    def shape(self, rest: FloatArray, z: FloatArray) -> FloatArray:
        return sigmoid(self._crossover(rest, z))

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        alpha = rest[..., :1]
        t = self._crossover(rest, z)
        up, down = sigmoid(t), sigmoid(-t)
        slope = up * down / (down + alpha * up)
        by_alpha = -slope * (np.maximum(t, 0.0) + np.log1p(np.exp(-np.abs(t))))
        return up, np.stack([by_alpha, slope, slope * z], -1)

    def _crossover(self, rest: FloatArray, z: FloatArray) -> FloatArray:
        """Return t with log sigmoid(t) - alpha log sigmoid(-t) = b + c z."""
        alpha, b, c = rest[..., :1], rest[..., 1:2], rest[..., 2:3]
        u = b + c * z
        bend = alpha - 1
        t = np.where(u < 0, u, u / alpha)
        # g(t) = t + (alpha - 1) softplus(t) is monotone and bends one way only: Newton converges from anywhere.
        for _ in range(40):
            small = np.exp(-np.abs(t))
            softplus = np.maximum(t, 0.0) + np.log1p(small)
            step = (t + bend * softplus - u) / (1 + bend * np.where(t > 0, 1.0, small) / (1 + small))
            t = t - step
            if not np.max(np.abs(step), initial=0.0) > 1e-9 * (1 + np.max(np.abs(t), initial=0.0)):
                break
        return t

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        floor, size, alpha, b, c = theta
        unit = np.exp(scale.level)
        top = np.log(max(size, 1e-300)) + scale.level
        ratio = scale.middle / scale.half
        values = np.array(
            [unit * floor, unit * (floor + size), alpha, b + (1 - alpha) * top - c * ratio, c / scale.half]
        )
        slopes = np.zeros((5, 5))
        slopes[0, 0] = slopes[1, 0] = slopes[1, 1] = unit
        slopes[2, 2] = slopes[3, 3] = 1.0
        slopes[3, 1], slopes[3, 2], slopes[3, 4] = (1 - alpha) / max(size, 1e-300), -top, -ratio
        slopes[4, 4] = 1 / scale.half
        return values, slopes
