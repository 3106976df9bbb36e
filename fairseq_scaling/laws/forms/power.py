"""Power laws: pure, with a floor (the cross-entropy law), with a ceiling; and the straight line in log D."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Parameter, Scale
from ..numerics.separable import LogLinearLaw, ValueLinearLaw

_RATES = np.array(
    [1e-4, 0.03, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2, 2.9, 3.8, 5.0, 7.0, 10.0, 15.0, 25.0, 40.0]
)
"""Grid of alpha * half, the exponent over half the measured range of log D."""


class PowerLaw(LogLinearLaw):
    """f = A D^alpha: a straight line on logarithmic axes."""

    name = "power_law"
    title = "power law"
    formula = "A * D^alpha"
    source = "Hestness et al., Deep Learning Scaling is Predictable, Empirically (2017)"
    parameters = (
        Parameter("log A", "logarithm of the factor"),
        Parameter("alpha", "exponent of D_p"),
    )
    internal = ("kappa", "gamma")
    lower = np.array([-np.inf, -np.inf])
    upper = np.array([np.inf, np.inf])

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        alpha = theta[1] / scale.half
        values = np.array([theta[0] + scale.level - alpha * scale.middle, alpha])
        return values, np.array([[1.0, -scale.middle / scale.half], [0.0, 1 / scale.half]])


class LinearLog(ValueLinearLaw):
    """f = a + b log D: the log-law with beta = 1."""

    name = "linear_log"
    title = "linear in log D"
    formula = "a + b * log D"
    source = "the log-law of Isik et al. (2025) with beta = 1"
    parameters = (
        Parameter("a", "value at one token", "points of the metric"),
        Parameter("b", "gain for a factor e of data", "points of the metric"),
    )
    internal = ("E", "I")
    lower = np.array([-np.inf, -np.inf])
    upper = np.array([np.inf, np.inf])

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        unit = np.exp(scale.level)
        slope = unit / scale.half
        values = np.array([unit * theta[0] - slope * theta[1] * scale.middle, slope * theta[1]])
        return values, np.array([[unit, -slope * scale.middle], [0.0, slope]])


class CrossEntropyLaw(ValueLinearLaw):
    """L = E + A / D^alpha, E, A, alpha >= 0.

    Internally (last, drop, u): ``last`` is the value at the largest D_p, ``drop`` how far the value falls over the
    measured range, and E = (1 - exp(-u)) * last. All three bounds of the law are then a box, and the points determine
    ``last`` and ``drop`` well whatever E may be. With q = last - E and p = q + drop the law is E + p^(1-y) q^y, y = (z
    + 1) / 2.
    """

    name = "cross_entropy_law"
    title = "cross-entropy law"
    formula = "E + A / D^alpha"
    source = "Isik et al. (ICLR 2025), eq. 2; Hoffmann et al., Training Compute-Optimal Large Language Models (2022)"
    parameters = (
        Parameter("E", "value with unlimited data", "points of the metric", lower=0.0),
        Parameter("log A", "logarithm of the factor"),
        Parameter("alpha", "exponent of D_p", lower=0.0),
    )
    internal = ("last", "drop", "u")
    linear = 0
    linear_bounds = ((0.0, np.inf), (0.0, np.inf))
    lower = np.array([1e-9, 0.0, 0.0])
    upper = np.array([np.inf, np.inf, 60.0])
    axes = (_RATES,)
    starts = 2

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        phi = np.exp(-rest * (z + 1))
        return phi, (-(z + 1) * phi)[..., None]

    def start(self, z: FloatArray, target: FloatArray, weight: FloatArray, delta: FloatArray) -> FloatArray:
        floor, size, rate = np.moveaxis(super().start(z, target, weight, delta), -1, 0)
        q = np.maximum(size * np.exp(-2 * rate), 1e-26)
        last = np.maximum(floor + q, 1e-9)
        return np.stack([last, np.maximum(size - q, 0.0), np.clip(np.log(last / q), 0.0, 60.0)], -1)

    def evaluate(self, theta: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        last, drop, u = theta[:, :1], theta[:, 1:2], theta[:, 2:3]
        share = np.exp(-u)
        q = last * share
        p = q + drop
        y = 0.5 * (z + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            power = p * np.exp(-y * np.log1p(drop / q))
            value = last - q + power
            by_p, by_q = (1 - y) * power / p, y * power / q
            both = by_p + by_q
            jacobian = np.stack([1 - share + both * share, by_p + 0 * both, q * (1 - both)], -1)
            return np.log(value), jacobian / value[..., None]

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        last, drop, u = theta
        unit = np.exp(scale.level)
        share = np.exp(-u)
        q = last * share
        p = q + drop
        rate = 0.5 * np.log1p(drop / q)
        rate_by = 0.5 * (np.array([share, 1.0, -q]) / p - np.array([1 / last, 0.0, -1.0]))
        shift = scale.middle / scale.half - 1
        values = np.array([unit * (last - q), np.log(p) + scale.level + rate * shift, rate / scale.half])
        by_p = np.array([share, 1.0, -q]) / p
        return values, np.stack([unit * np.array([1 - share, 0.0, q]), by_p + shift * rate_by, rate_by / scale.half])

    def limits(self, theta: FloatArray) -> list[str]:
        reasons = []
        if theta[1] < 1e-9 * theta[0]:
            reasons.append("alpha lies at its bound 0: the points show no decrease")
        elif theta[2] < 1e-7:
            reasons.append("E lies at its bound 0: the points show no floor, the fit is a pure power law")
        if theta[2] > 59.9:
            reasons.append("alpha lies at its upper bound: all of the decrease happens at the smallest D_p")
        return reasons


class PowerCeiling(ValueLinearLaw):
    """f = Q - A / D^alpha. Internally F + G (1 - exp(-a (z + 1))) / (1 - exp(-2 a)): F and F + G are the values at both
    ends of the measured range, and a -> 0 is the straight line in log D."""

    name = "power_ceiling"
    title = "power law with ceiling"
    formula = "Q - A / D^alpha"
    source = "Rosenfeld et al., A Constructive Prediction of the Generalization Error Across Scales (2020)"
    parameters = (
        Parameter("Q", "value with unlimited data", "points of the metric"),
        Parameter("log A", "logarithm of the factor"),
        Parameter("alpha", "exponent of D_p", lower=0.0),
    )
    internal = ("F", "G", "a")
    linear_bounds = ((1e-9, np.inf), (0.0, np.inf))
    lower = np.array([1e-9, 0.0, 0.0])
    upper = np.array([np.inf, np.inf, 40.0])
    axes = (np.r_[0.0, _RATES[1:]],)
    starts = 2

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        rate = np.maximum(rest, 1e-5)
        y = z + 1
        above, below = -np.expm1(-rate * y), -np.expm1(-2 * rate)
        phi = above / below
        slope = (y * np.exp(-rate * y) - phi * 2 * np.exp(-2 * rate)) / below
        # Near a = 0 the quotient loses its digits; phi = y/2 + a y (2 - y) / 4 to second order.
        near = rest < 1e-3
        phi = np.where(near, y / 2 + rest * y * (2 - y) / 4, phi)
        return phi, np.where(near, y * (2 - y) / 4, slope)[..., None]

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        first, rise, rate = theta
        if rate < 1e-6 or rise <= 0:
            return np.array([np.inf if rise > 0 else first * np.exp(scale.level), np.nan, 0.0]), np.full((3, 3), np.nan)
        unit = np.exp(scale.level)
        below = -np.expm1(-2 * rate)
        below_by = 2 * np.exp(-2 * rate)
        shift = scale.middle / scale.half - 1
        ceiling = unit * (first + rise / below)
        values = np.array([ceiling, np.log(rise / below) + scale.level + rate * shift, rate / scale.half])
        slopes = np.array(
            [
                [unit, unit / below, -unit * rise / below**2 * below_by],
                [0.0, 1 / rise, -below_by / below + shift],
                [0.0, 0.0, 1 / scale.half],
            ]
        )
        return values, slopes

    def limits(self, theta: FloatArray) -> list[str]:
        reasons = []
        if theta[1] < 1e-9:
            reasons.append("A lies at its bound 0: the points show no rise")
        elif theta[2] < 1e-6:
            reasons.append("alpha lies at its bound 0: the points show no ceiling, the fit is linear in log D")
        if theta[2] > 39.9:
            reasons.append("alpha lies at its upper bound: all of the rise happens at the smallest D_p")
        return reasons
