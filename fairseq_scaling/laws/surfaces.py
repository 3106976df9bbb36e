"""Laws of two inputs: L(N, D) of Chinchilla, and the joint law in (D_p, D_f)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, SettingError
from .curve import FloatArray
from .numerics.solver import minimise
from .numerics.statistics import huber_inflation, t_quantile
from .results import Estimate

_RATES = np.array([0.05, 0.15, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0])
_CHUNK = 250
"""Bootstrap refits in one batch: more would not fit the cache."""


class Surface(ABC):
    """A law of two inputs; values are positive and the residuals those of the logarithms."""

    name: str
    title: str
    formula: str
    source: str
    inputs: tuple[str, str]
    coefficients: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray

    @abstractmethod
    def evaluate(self, theta: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log f [b, n] and derivatives [b, n, p] for theta [b, p] and points [b, n, 2], inputs scaled to [0,
        2]."""

    @abstractmethod
    def terms(self, rates: FloatArray, points: FloatArray) -> FloatArray:
        """Return the terms [n, k] that are linear in their factors, at one pair of exponents [2]."""

    @abstractmethod
    def natural(self, theta: FloatArray, low: FloatArray, half: FloatArray, level: float) -> FloatArray:
        """Return the coefficients [..., p] for theta [..., p]."""

    @abstractmethod
    def value(self, coefficients: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return f [...] for coefficients [..., p] at inputs that broadcast with them."""

    def start(self, points: FloatArray, target: FloatArray, weight: FloatArray) -> FloatArray:
        """Return starts [k, p]: non-negative least squares on a grid of both exponents."""
        from scipy.optimize import nnls

        values = np.exp(target)
        scored = []
        for pair in product(_RATES, _RATES):
            terms = self.terms(np.array(pair), points) / values[:, None]
            factors = nnls(terms * np.sqrt(weight)[:, None], np.sqrt(weight))[0]
            error = float(np.sum(weight * (terms @ factors - 1) ** 2))
            scored.append((error, np.r_[np.maximum(factors, 1e-6), pair]))
        scored.sort(key=lambda entry: entry[0])
        return np.stack([theta for _, theta in scored[:4]])


class ChinchillaSurface(Surface):
    """L = E + A / N^alpha + B / D^beta."""

    name = "L_ND"
    title = "L(N, D)"
    formula = "E + A / N^alpha + B / D^beta"
    source = "Hoffmann et al., Training Compute-Optimal Large Language Models (2022), eq. 2; Besiroglu et al. (2024)"
    inputs = ("parameters", "pretrain_tokens")
    coefficients = ("E", "A", "B", "alpha", "beta")
    lower = np.array([0.0, 0.0, 0.0, 1e-3, 1e-3])
    upper = np.array([np.inf, np.inf, np.inf, 20.0, 20.0])

    def terms(self, rates: FloatArray, points: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(points)), np.exp(-rates * points)])

    def evaluate(self, theta: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            first = np.exp(-theta[:, 3:4] * points[..., 0])
            second = np.exp(-theta[:, 4:5] * points[..., 1])
            large, small = theta[:, 1:2] * first, theta[:, 2:3] * second
            value = theta[:, :1] + large + small
            slopes = (1.0 + 0 * value, first, second, -points[..., 0] * large, -points[..., 1] * small)
            jacobian = np.empty((*value.shape, 5))
            for column, slope in enumerate(slopes):
                jacobian[..., column] = slope / value
            return np.log(value), jacobian

    def natural(self, theta: FloatArray, low: FloatArray, half: FloatArray, level: float) -> FloatArray:
        unit = np.exp(level)
        alpha, beta = theta[..., 3] / half[0], theta[..., 4] / half[1]
        factor_a = unit * theta[..., 1] * np.exp(alpha * low[0])
        factor_b = unit * theta[..., 2] * np.exp(beta * low[1])
        return np.stack([unit * theta[..., 0], factor_a, factor_b, alpha, beta], -1)

    def value(self, coefficients: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
        floor, factor_a, factor_b, alpha, beta = np.moveaxis(coefficients, -1, 0)
        with np.errstate(divide="ignore"):
            large = np.exp(np.log(factor_a) - alpha * np.log(first))
            return floor + large + np.exp(np.log(factor_b) - beta * np.log(second))


class JointSurface(Surface):
    """L = E + A / (D_p^alpha D_f^beta): pretraining and finetuning data multiply."""

    name = "joint"
    title = "joint law in (D_p, D_f)"
    formula = "E + A / (D_p^alpha * D_f^beta)"
    source = "Zhang et al., When Scaling Meets LLM Finetuning (ICLR 2024), eq. 1"
    inputs = ("pretrain_tokens", "finetune_tokens")
    coefficients = ("E", "log A", "alpha", "beta")
    lower = np.array([0.0, 0.0, -5.0, -5.0])
    upper = np.array([np.inf, np.inf, 20.0, 20.0])

    def terms(self, rates: FloatArray, points: FloatArray) -> FloatArray:
        return np.column_stack([np.ones(len(points)), np.exp(-points @ rates)])

    def evaluate(self, theta: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        with np.errstate(all="ignore"):
            phi = np.exp(-theta[:, 2:3] * points[..., 0] - theta[:, 3:4] * points[..., 1])
            term = theta[:, 1:2] * phi
            value = theta[:, :1] + term
            jacobian = np.empty((*value.shape, 4))
            for column, slope in enumerate((np.ones_like(phi), phi, -points[..., 0] * term, -points[..., 1] * term)):
                jacobian[..., column] = slope / value
            return np.log(value), jacobian

    def natural(self, theta: FloatArray, low: FloatArray, half: FloatArray, level: float) -> FloatArray:
        alpha, beta = theta[..., 2] / half[0], theta[..., 3] / half[1]
        with np.errstate(divide="ignore"):
            log_factor = np.log(theta[..., 1]) + level + alpha * low[0] + beta * low[1]
        return np.stack([np.exp(level) * theta[..., 0], log_factor, alpha, beta], -1)

    def value(self, coefficients: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
        floor, log_factor, alpha, beta = np.moveaxis(coefficients, -1, 0)
        return floor + np.exp(log_factor - alpha * np.log(first) - beta * np.log(second))


SURFACES: Mapping[str, Surface] = MappingProxyType({s.name: s for s in (ChinchillaSurface(), JointSurface())})
"""Name -> law of two inputs."""


@dataclass(frozen=True, eq=False)
class SurfaceFit:
    """A surface fitted to points.

    ``coefficients`` name -> Estimate; ``objective`` the sum of Huber losses; ``residuals`` log observed - log predicted
    [n]; ``draws`` the coefficients of the bootstrap refits [n_boot, p], when there are any.
    """

    surface: Surface
    coefficients: dict[str, Estimate]
    objective: float
    delta: float
    residuals: FloatArray
    converged: bool
    draws: FloatArray | None = None

    def predict(self, first: ArrayLike, second: ArrayLike) -> FloatArray:
        """Return the law's values at the inputs ``first`` and ``second`` (broadcast together)."""
        one, two = np.broadcast_arrays(np.asarray(first, float), np.asarray(second, float))
        return self.surface.value(np.array([made.value for made in self.coefficients.values()]), one, two)

    def __repr__(self) -> str:
        lines = [f"{self.surface.title}: {self.surface.formula}"]
        return "\n".join(lines + [f"  {name:<6} {made}" for name, made in self.coefficients.items()])


def fit_surface(
    first: ArrayLike,
    second: ArrayLike,
    values: ArrayLike,
    surface: Surface | str = "L_ND",
    *,
    weights: ArrayLike | None = None,
    delta: float = 1e-3,
    level: float = 0.95,
    n_boot: int = 0,
    seed: int = 0,
) -> SurfaceFit:
    """Fit a law of two inputs to points [n].

    Args:
        first, second: the inputs, as ``surface.inputs`` names them, above 0.
        values: losses, above 0.
        surface: ``L_ND``, ``joint`` or an object.
        weights: case weights [n].
        delta: Huber threshold on log residuals.
        n_boot: case bootstrap with this many refits for the intervals and standard errors; 0 uses the delta method.

    Raises:
        SettingError: an unknown surface. DataError: unusable points, or fewer than the law has parameters.
    """
    if isinstance(surface, str):
        if surface not in SURFACES:
            raise SettingError("surface", surface, "unknown", f"choose one of {', '.join(SURFACES)}")
        surface = SURFACES[surface]
    inputs = np.column_stack([np.asarray(first, float).ravel(), np.asarray(second, float).ravel()])
    values = np.asarray(values, float).ravel()
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, float).ravel()
    if not (np.all(inputs > 0) and np.all(values > 0) and np.all(np.isfinite(values)) and np.all(np.isfinite(inputs))):
        raise DataError(f"{surface.name}: inputs and values must be finite and above 0")
    size = len(surface.coefficients)
    if len(values) < size:
        raise DataError(f"{surface.name}: {len(values)} points for {size} coefficients; give at least {size + 1}")

    logs = np.log(inputs)
    low = logs.min(0)
    half = np.maximum((logs.max(0) - low) / 2, 1e-9)
    offset = float(np.average(np.log(values), weights=weight))
    points, target = (logs - low) / half, np.log(values) - offset

    def solve(starts: FloatArray, weight: FloatArray, threshold: float, tolerance: float = 1e-14) -> Any:
        count = len(starts)
        rows = np.broadcast_to(target, (count, len(target)))
        wide = np.broadcast_to(weight, rows.shape)
        bounds = (surface.lower, surface.upper)
        return minimise(
            surface.evaluate, starts, points[None], rows, wide, np.full(count, threshold), *bounds, 500, tolerance
        )

    solution = solve(surface.start(points, target, weight), weight, delta)
    best = int(np.argmin(solution.objective))
    theta = solution.theta[best]
    point = surface.natural(theta, low, half, offset)
    fitted, jacobian = surface.evaluate(theta[None], points[None])
    residuals = target - fitted[0]

    draws = None
    tail = (1 - level) / 2
    if n_boot:
        generator = np.random.default_rng([seed, 0xB007])
        parts = []
        for begin in range(0, n_boot, _CHUNK):
            count = min(_CHUNK, n_boot - begin)
            counts = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), count)
            cases = counts.astype(float) * weight
            parts.append(solve(np.broadcast_to(theta, (count, size)), cases, delta, 1e-9).theta)
        draws = surface.natural(np.concatenate(parts), low, half, offset)
        lower, upper = np.quantile(draws, [tail, 1 - tail], axis=0)
        error = draws.std(0, ddof=1)
    else:
        freedom = len(values) - size
        loose = solve(theta[None], weight, np.inf)
        squares = np.sum(weight * (target - surface.evaluate(loose.theta, points[None])[0][0]) ** 2)
        sigma = np.sqrt(squares / freedom) if freedom > 0 else np.nan
        information = jacobian[0].T @ (weight[:, None] * jacobian[0])
        slopes = _slopes(lambda t: surface.natural(t, low, half, offset), theta)
        covariance = sigma**2 * huber_inflation(delta / sigma) * (slopes @ np.linalg.pinv(information) @ slopes.T)
        error = np.sqrt(np.diag(covariance))
        reach = t_quantile(1 - tail, freedom) * error
        lower, upper = point - reach, point + reach
    coefficients = {
        name: Estimate(float(point[i]), float(lower[i]), float(upper[i]), float(error[i]))
        for i, name in enumerate(surface.coefficients)
    }
    return SurfaceFit(
        surface,
        coefficients,
        float(solution.objective[best]),
        delta,
        residuals,
        bool(solution.converged[best]),
        draws,
    )


def _slopes(function: Any, theta: FloatArray) -> FloatArray:
    """Return the derivatives [p, p] of ``natural`` by central differences; its terms are smooth and well scaled."""
    steps = 1e-6 * np.maximum(np.abs(theta), 1e-3)
    columns = [(function(theta + h) - function(theta - h)) / (2 * h.sum()) for h in np.diag(steps)]
    return np.stack(columns, -1)
