"""What repeated runs say about noise: within a budget, between finetuning seeds, between pretraining runs.

A measurement is ``curve(D) + u + v + e``: u is what its pretraining run does at every budget, v what its finetuning
seed does at every budget, e the noise of the run, with standard deviations ``k_u sigma``, ``k_v sigma`` and ``sigma``.
Given k_u and k_v the rest is a linear model with free means of the budgets; its restricted likelihood (Patterson and
Thompson 1971) is exact, and what it leaves for the shapes are the means of the budgets with their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve, FloatArray
from ..priors import NOISE, NOISE_GRID, SHARED_GRID


@dataclass(frozen=True)
class Repeats:
    """A curve reduced to its budgets, up is better, in units of ``unit`` points of the metric.

    Attributes:
        z: log10 of the budgets [b]; values: their means [b].
        sizes: noise of one run at every budget, relative to the curve's [b].
        covariance: of the means, shared effects aside, in units of sigma^2 [b, b].
        typical: how many runs a budget has, the median.
        log_likelihood: of the repeats, over NOISE_GRID x SHARED_GRID (run) x SHARED_GRID (seed) [s, g, g].
        runs, seeds: share of the points that each pretraining run and each finetuning seed has.
        noise: centre of the prior of sigma, in units; spread: its scale in decades.
        unit, sign: of the values; lower, upper: bounds of the metric, in units and oriented.
        relative: whether noise is relative to the value.
    """

    z: FloatArray
    values: FloatArray
    sizes: FloatArray
    covariance: FloatArray
    typical: float
    log_likelihood: FloatArray
    runs: dict[object, float]
    seeds: dict[object, float]
    noise: float
    spread: float
    unit: float
    sign: float
    lower: float
    upper: float
    relative: bool

    @property
    def sigmas(self) -> FloatArray:
        """The sizes of the noise that are weighed, in units [s]."""
        return self.noise * 10**NOISE_GRID


def fitted_points(curve: Curve) -> NDArray[np.bool_]:
    """Return which points of a curve a forecast is fitted to [n]: measured, pretrained, not held out."""
    return np.isfinite(curve.values) & (curve.pretrain_tokens > 0) & ~curve.held_out & (curve.case_weights > 0)


def reduce_to_budgets(curve: Curve) -> Repeats:
    """Return the budgets of a curve with what its repeats say about noise. Held-out points are not looked at."""
    about, sign = curve.about, -1.0 if curve.lower_is_better else 1.0
    usable = fitted_points(curve)
    tokens, values, weights = curve.pretrain_tokens[usable], curve.values[usable], curve.case_weights[usable]
    z, budget = np.unique(np.log10(tokens), return_inverse=True)
    means = np.bincount(budget, values) / np.bincount(budget)
    level = float(np.mean(np.abs(values)))
    noise, spread = _prior_noise(curve, usable, level)
    unit = max(level, 10.0 * noise)
    sizes = np.abs(means) / level if about.noise_is_relative and level > 0 else np.ones(z.size)
    # A value of 0 has noise, too.
    sizes = np.maximum(sizes, 0.05)
    scatter = sizes[budget] ** 2 / weights
    if curve.stderr is not None and np.any(np.isfinite(curve.stderr[usable])):
        errors = curve.stderr[usable]
        typical = np.nanmedian(errors)
        if typical > 0:
            scatter = np.where(errors > 0, errors / typical, 1.0) ** 2
    runs = _indicators(curve.runs, usable)
    seeds = _indicators(curve.seeds, usable)
    y = sign * values / unit
    grid = noise / unit * 10**NOISE_GRID
    likelihood = np.zeros((grid.size, SHARED_GRID.size, SHARED_GRID.size))
    of_budget = (budget[:, None] == np.arange(z.size)).astype(float)
    best, made = -np.inf, list[_Restricted]()
    for i, run in enumerate(SHARED_GRID):
        if i and runs[1].shape[1] < 2:
            likelihood[:, i] = likelihood[:, 0]
            continue
        for j, seed in enumerate(SHARED_GRID):
            if j and seeds[1].shape[1] < 2:
                likelihood[:, i, j] = likelihood[:, i, 0]
                continue
            fit = _restricted(y, of_budget, scatter, [(run, runs[1]), (seed, seeds[1])])
            made = made or [fit, fit]  # without shared effects, and with the likeliest
            likelihood[:, i, j] = -fit.freedom * np.log(grid) - 0.5 * fit.log_determinants - 0.5 * fit.squares / grid**2
            if likelihood[:, i, j].max() > best:
                best, made[1] = likelihood[:, i, j].max(), fit
    alone, fit = made
    # What shared effects add to all budgets alike is no noise between them: the common mean gets the variance that it
    # would have without them.
    covariance = fit.covariance - (_common_variance(fit.covariance) - _common_variance(alone.covariance))
    counts = np.bincount(budget)
    bounds = sorted((sign * about.lower / unit, sign * about.upper / unit))
    return Repeats(
        z, fit.means, sizes, covariance, float(np.median(counts)), likelihood - likelihood.max(),
        dict(zip(runs[0], runs[1].mean(0), strict=True)), dict(zip(seeds[0], seeds[1].mean(0), strict=True)),
        noise / unit, spread, unit, sign, bounds[0], bounds[1], about.noise_is_relative,
    )  # fmt: skip


_STEPS = np.gradient(NOISE_GRID)


def noise_weights(spread: float) -> FloatArray:
    """Return the logarithm of the prior weights of NOISE_GRID [s]."""
    scaled = (NOISE_GRID / spread) ** 2
    logs = -0.5 * scaled if spread == NOISE.known_spread else -2.5 * np.log1p(scaled / 4)
    logs = logs + np.log(_STEPS)
    return logs - np.log(np.exp(logs).sum())


def shared_weights(median: float) -> FloatArray:
    """Return the logarithm of the prior weights of SHARED_GRID for every size of the noise [s, g]."""
    ratio = np.maximum(SHARED_GRID, 0.2)[None] * 10 ** NOISE_GRID[:, None] / median
    logs = -0.5 * (np.log(ratio) / NOISE.shared_spread) ** 2
    return logs - np.log(np.exp(logs).sum(1, keepdims=True))


def between_curves() -> FloatArray:
    """Return the probability of a curve's noise [s] given that of its study [s]: [curve, study]."""
    step = (NOISE_GRID[:, None] - NOISE_GRID[None]) / NOISE.between_curves
    weights = (1 + step**2 / 3) ** -2 * _STEPS[:, None]
    return weights / weights.sum(0, keepdims=True)


def _prior_noise(curve: Curve, usable: NDArray[np.bool_], level: float) -> tuple[float, float]:
    """Return the centre of the prior of sigma, in points, and its scale in decades."""
    if curve.attributes.get("noise"):
        return float(curve.attributes["noise"]), NOISE.known_spread
    if curve.stderr is not None:
        errors = curve.stderr[usable]
        if np.any(errors > 0):
            return float(np.median(errors[errors > 0])), NOISE.spread
    return max(curve.about.noise_at(level), 1e-9 * max(level, 1.0)), NOISE.spread


def _indicators(names: NDArray[np.object_] | None, usable: NDArray[np.bool_]) -> tuple[list[object], FloatArray]:
    """Return the distinct names and [n, names] of 0 and 1; unknown ones are one name."""
    labels = np.zeros(int(usable.sum()), int).astype(str) if names is None else names[usable].astype(str)
    distinct, which = np.unique(labels, return_inverse=True)
    return list(distinct), (which[:, None] == np.arange(distinct.size)).astype(float)


@dataclass(frozen=True)
class _Restricted:
    freedom: int
    log_determinants: float
    squares: float
    means: FloatArray
    covariance: FloatArray


def _restricted(
    y: FloatArray, design: FloatArray, scatter: FloatArray, shared: list[tuple[float, FloatArray]]
) -> _Restricted:
    """Return the restricted likelihood's parts and the means, with covariances in units of sigma^2."""
    covariance = np.diag(scatter)
    for size, indicator in shared:
        covariance = covariance + size**2 * indicator @ indicator.T
    factor = np.linalg.cholesky(covariance)
    white, target = np.linalg.solve(factor, design), np.linalg.solve(factor, y)
    precision = white.T @ white
    inverse = np.linalg.inv(precision)
    means = inverse @ (white.T @ target)
    residual = target - white @ means
    determinants = 2 * np.log(np.diag(factor)).sum() + np.linalg.slogdet(precision)[1]
    return _Restricted(y.size - design.shape[1], float(determinants), float(residual @ residual), means, inverse)


def _common_variance(covariance: FloatArray) -> float:
    """Return the variance of the common mean of measurements, estimated by generalised least squares."""
    return 1 / float(np.linalg.inv(covariance).sum())
