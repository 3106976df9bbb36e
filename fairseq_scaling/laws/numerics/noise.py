"""What repeated runs say about noise: within a budget, between finetuning seeds, between pretraining runs.

A measurement is ``curve(D) + u + v + e``: u is what its pretraining run does at every budget, v what its finetuning
seed does at every budget, e the noise of the run, with standard deviations ``k_u sigma``, ``k_v sigma`` and ``sigma``.
A share of the variance of e is the drift of the pretraining run: how far it is ahead or behind changes slowly with D.
Given k_u, k_v and that share the rest is a linear model with free means of the budgets; its restricted likelihood
(Patterson and Thompson 1971) is exact, and what it leaves for the shapes are the means of the budgets with their
covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

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
        typical: how many independent runs a budget is worth, the median.
        log_likelihood: of the repeats, over NOISE_GRID x SHARED_GRID (run) x SHARED_GRID (seed) [s, g, g], up to a
            constant of the points.
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
    sigmas = noise / unit * 10**NOISE_GRID
    told = _weigh_repeats(sign * values / unit, z, budget, scatter, runs[1], seeds[1], sigmas, noise_weights(spread))
    independent = 1 / (told.drift / runs[1].shape[1] + (1 - told.drift) / np.median(np.bincount(budget)))
    bounds = sorted((sign * about.lower / unit, sign * about.upper / unit))
    return Repeats(
        z, told.means, sizes, told.covariance, independent, told.log_likelihood,
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


def shared_prior() -> FloatArray:
    """Return the logarithm of the prior weights of both shared effects for every size of the noise [s, g, g]."""
    return shared_weights(NOISE.run)[:, :, None] + shared_weights(NOISE.seed)[:, None, :]


def _drift(z: FloatArray) -> FloatArray:
    """Return the covariance of a run's drift at log10 D [b, b]: Ornstein-Uhlenbeck less its mean, on average 1."""
    alike = np.exp(-np.abs(z[:, None] - z[None]) / NOISE.reach)
    centred = alike - alike.mean(0) - alike.mean(1)[:, None] + alike.mean()
    return centred / max(float(np.trace(centred)) / z.size, 1e-12)


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


class _Weighed(NamedTuple):
    """Log likelihood of the repeats [s, g, g]; means [b], their covariance [b, b] and the share of the drift, averaged
    over the posterior of what runs and seeds share."""

    log_likelihood: FloatArray
    means: FloatArray
    covariance: FloatArray
    drift: float


def _weigh_repeats(
    y: FloatArray,
    z: FloatArray,
    budget: NDArray[np.int_],
    scatter: FloatArray,
    runs: FloatArray,
    seeds: FloatArray,
    sigmas: FloatArray,
    log_noise: FloatArray,
) -> _Weighed:
    """Return what measurements y [n] at z[budget] say of the effects of their runs and seeds (indicators [n, k]).

    ``scatter`` [n] is the variance of every measurement in units of sigma^2, ``log_noise`` the prior of ``sigmas`` [s].
    """
    of_budget = (budget[:, None] == np.arange(z.size)).astype(float)
    own, of_run, of_seed = np.diag(scatter), runs @ runs.T, seeds @ seeds.T
    drifting = _drift(z)[budget][:, budget] * np.sqrt(np.outer(scatter, scatter)) * of_run
    # What one run or one seed adds to all its budgets, and how it drifts, its scores do not show.
    several_runs, several_seeds = runs.shape[1] > 1, seeds.shape[1] > 1
    run_sizes, seed_sizes = (SHARED_GRID if several else SHARED_GRID[:1] for several in (several_runs, several_seeds))
    shares = NOISE.drift if several_runs and z.size > 2 else (0.0,)
    of_prior = log_noise[:, None, None]
    if several_runs:
        of_prior = of_prior + shared_weights(NOISE.run)[:, :, None]
    if several_seeds:
        of_prior = of_prior + shared_weights(NOISE.seed)[:, None, :]
    logs, fits = [], []  # [run, seed, share], each of logs [s]
    for run, seed, share in product(run_sizes, seed_sizes, shares):
        covariance = (1 - share) * own + share * drifting + run**2 * of_run + seed**2 * of_seed
        fits.append(_restricted(y, of_budget, covariance))
        freedom, determinants, squares = fits[-1][:3]
        logs.append(-freedom * np.log(sigmas) - 0.5 * determinants - 0.5 * squares / sigmas**2)
    likelihood = np.reshape(logs, (run_sizes.size, seed_sizes.size, len(shares), sigmas.size)) - np.log(len(shares))
    posterior = np.logaddexp.reduce(likelihood + np.moveaxis(of_prior, 0, -1)[:, :, None], -1)
    weights = np.exp(posterior - posterior.max()).ravel()
    weights /= weights.sum()
    # What runs and seeds add to all budgets alike is no noise between them: the common mean gets the variance that it
    # would have without them.
    alone = _common_variance(fits[0].covariance)
    levelled = [fit.covariance - (_common_variance(fit.covariance) - alone) for fit in fits]
    whole = (sigmas.size, SHARED_GRID.size, SHARED_GRID.size)
    return _Weighed(
        np.broadcast_to(np.moveaxis(np.logaddexp.reduce(likelihood, 2), -1, 0), whole),
        np.tensordot(weights, [fit.means for fit in fits], 1),
        np.tensordot(weights, levelled, 1),
        float(weights @ np.tile(shares, run_sizes.size * seed_sizes.size)),
    )


class _Restricted(NamedTuple):
    freedom: int
    log_determinants: float
    squares: float
    means: FloatArray
    covariance: FloatArray


def _restricted(y: FloatArray, design: FloatArray, covariance: FloatArray) -> _Restricted:
    """Return the restricted likelihood's parts and the means, with covariances in units of sigma^2."""
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
