"""The log-law of translation scores (Isik et al.), in coordinates in which it is well conditioned."""

from __future__ import annotations

import numpy as np

from ..curve import FloatArray
from ..law import Parameter, Scale
from ..numerics.separable import LogLinearLaw

_SMALL = 1e-4


class LogLaw(LogLinearLaw):
    """f = (log A + alpha log D)^beta.

    Internally log f = kappa + gamma * log(1 + s z) / s with s = 1 - exp(-u): beta = gamma / s, c = exp(kappa / beta),
    alpha = s c / half, log A = c - alpha middle. s -> 0 is a power law; s -> 1 is singular at the smallest D_p.
    """

    name = "log_law"
    title = "log-law"
    formula = "(log A + alpha * log D)^beta"
    source = "Isik et al., Scaling Laws for Downstream Task Performance in Machine Translation (ICLR 2025), eq. 1"
    parameters = (
        Parameter("log A", "logarithm of the factor of D_p (A itself underflows)"),
        Parameter("alpha", "exponent of D_p inside the logarithm", lower=0.0),
        Parameter("beta", "exponent of the logarithm"),
    )
    internal = ("kappa", "gamma", "u")
    lower = np.array([-np.inf, -np.inf, 0.0])
    upper = np.array([np.inf, np.inf, 16.0])
    axes = (np.array([0.0, 0.05, 0.12, 0.25, 0.4, 0.6, 0.85, 1.2, 1.6, 2.1, 2.7, 3.5, 4.5, 6.0, 8.0, 11.0, 16.0]),)
    starts = 2

    def basis(self, rest: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        u = rest
        s = -np.expm1(-u)
        inner = 1 + s * z
        # Outside the law's domain (below its singular D_p) the score is undefined.
        logarithm = np.log(np.where(inner > 0, inner, np.nan))
        safe = np.where(s > _SMALL, s, 1.0)
        phi = np.where(s > _SMALL, logarithm / safe, z * (1 - s * z * (0.5 - s * z / 3)))
        by_s = np.where(s > _SMALL, (z / inner - logarithm / safe) / safe, -z * z * (0.5 - 2 * s * z / 3))
        return phi, (by_s * np.exp(-u))[..., None]

    def natural(self, theta: FloatArray, scale: Scale) -> tuple[FloatArray, FloatArray]:
        kappa, gamma, u = theta
        kappa = kappa + scale.level
        s = -np.expm1(-u)
        if s < 1e-9 or gamma == 0:
            return np.array([np.nan, np.nan, np.inf if s < 1e-9 else 0.0]), np.full((3, 3), np.nan)
        beta = gamma / s
        with np.errstate(over="ignore"):
            c = np.exp(kappa / beta)
        alpha = s * c / scale.half
        beta_by = np.array([0.0, 1 / s, -gamma / s**2 * np.exp(-u)])
        c_by = c * (np.array([1 / beta, 0.0, 0.0]) - kappa / beta**2 * beta_by)
        alpha_by = (s * c_by + c * np.array([0.0, 0.0, np.exp(-u)])) / scale.half
        values = np.array([c - alpha * scale.middle, alpha, beta])
        return values, np.stack([c_by - scale.middle * alpha_by, alpha_by, beta_by])

    def limits(self, theta: FloatArray) -> list[str]:
        reasons = []
        if theta[2] < 1e-6:
            reasons.append("the fit lies at the law's edge, where it is a power law (beta grows without bound)")
        if theta[2] > 15.9:
            reasons.append("the fit lies at the law's edge, where it drops to zero at the smallest D_p")
        return reasons
