"""The broken neural scaling law with one break (Caballero et al.)."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Parameter, Scale
from ..separable import ValueLinearLaw
from .sigmoid import sigmoid


class Bnsl1(ValueLinearLaw):
    """f = a + b D^(-c0) (1 + (D / d)^(1/f1))^(-c1 f1): two power laws joined smoothly at d, above a limit a."""

    name = "bnsl1"
    title = "BNSL with one break"
    formula = "a + b * D^(-c0) * (1 + (D / d)^(1/w))^(-c1 * w)"
    latex = r"a + b D_p^{-c_0} \left(1 + (D_p / d)^{1/w}\right)^{-c_1 w}"
    source = "Caballero et al., Broken Neural Scaling Laws (ICLR 2023), eq. 1 with n = 1"
    parameters = (
        Parameter("a", "value with unlimited data", "points of the metric", lower=0.0),
        Parameter("b", "factor of the power law before the break"),
        Parameter("c0", "exponent before the break"),
        Parameter("c1", "change of the exponent at the break"),
        Parameter("log d", "logarithm of the D_p of the break", "log tokens", latex=r"\log d"),
        Parameter("w", "width of the break", lower=0.0),
    )
    internal = ("a", "b", "c0", "c1", "z0", "w")
    linear_bounds = ((0.0, np.inf), (-np.inf, np.inf))
    lower = np.array([0.0, -np.inf, -0.5, -3.0, -1.5, 0.03])
    upper = np.array([np.inf, np.inf, 8.0, 12.0, 1.5, 2.0])
    axes = (
        np.array([0.0, 0.1, 0.4, 1.0, 2.0]),
        np.array([-0.7, 0.3, 0.8, 1.6, 3.2, 6.0]),
        np.array([-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9]),
        np.array([0.08, 0.3, 0.8]),
    )
    starts = 5

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
