"""Monotone regression, and simulated tests of trend and of monotonicity with few points and known noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curve import FloatArray

_SIMULATIONS = 2000
_MOST = 6_000_000
"""Numbers in the largest array of a simulation."""


def isotonic(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the best non-decreasing fit [..., g] to ``values`` [..., g] by weighted least squares.

    By the max-min formula (Barlow et al. 1972): the fit at i is max over a <= i of min over b >= i of the mean of a..b.
    """
    zeros = np.zeros((*values.shape[:-1], 1))
    sums = np.concatenate([zeros, np.cumsum(weights * values, -1)], -1)
    totals = np.r_[0.0, np.cumsum(weights)]
    size = values.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # means[..., a, b] of the block a..b, infinite where b < a so that the minimum passes over it.
        means = (sums[..., None, 1:] - sums[..., :-1, None]) / (totals[None, 1:] - totals[:-1, None])
    means = np.where(np.triu(np.ones((size, size), bool)), means, np.inf)
    # from_right[a, i] = min over b >= i of means[a, b]
    from_right = np.minimum.accumulate(means[..., ::-1], -1)[..., ::-1]
    from_right = np.where(np.tril(np.ones((size, size), bool), -1), -np.inf, from_right)
    return np.max(from_right, -2)


@dataclass(frozen=True)
class ShapeTest:
    """Simulated p-values: ``monotone`` against a curve that only rises, ``falling`` against one that only falls,
    ``up`` and ``down`` of a flat curve against rising and falling ones; ``rising`` is the isotonic fit [g], ``excess``
    how far every budget lies off it in standard errors [g]."""

    monotone: float
    falling: float
    up: float
    down: float
    rising: FloatArray
    excess: FloatArray


def shape_test(values: FloatArray, weights: FloatArray, noise: float, freedom: float, seed: int = 0) -> ShapeTest:
    """Test budgets' means for trend and monotonicity.

    Args:
        values: means, larger is better [g].
        weights: number of measurements behind every mean [g].
        noise: standard deviation of one measurement; ``freedom`` its degrees of freedom (inf when known).
        seed: of the simulation.
    """
    generator = np.random.default_rng([seed, 0x150])
    count = int(np.clip(_MOST / values.size**2, 200, _SIMULATIONS))
    errors = generator.standard_normal((count, values.size)) / np.sqrt(weights)
    factor = generator.chisquare(freedom, count) / freedom if np.isfinite(freedom) else np.ones(count)
    unit = values / noise

    def misfit(y: FloatArray, fit: FloatArray) -> FloatArray:
        return np.sum(weights * (y - fit) ** 2, -1)

    def spread(fit: FloatArray) -> FloatArray:
        return misfit(fit, np.sum(weights * fit, -1, keepdims=True) / np.sum(weights))

    def p_value(observed: FloatArray, simulated: FloatArray) -> float:
        return float((1 + np.sum(simulated / factor >= observed - 1e-12)) / (1 + count))

    rising, falling = isotonic(unit, weights), -isotonic(-unit, weights)
    # Both nulls are simulated around the best curve of their kind.
    noisy_up, noisy_down = rising + errors, falling + errors
    flat_up, flat_down = isotonic(errors, weights), -isotonic(-errors, weights)
    return ShapeTest(
        monotone=p_value(misfit(unit, rising), misfit(noisy_up, isotonic(noisy_up, weights))),
        falling=p_value(misfit(unit, falling), misfit(noisy_down, -isotonic(-noisy_down, weights))),
        up=p_value(spread(rising), spread(flat_up)),
        down=p_value(spread(falling), spread(flat_down)),
        rising=rising * noise,
        excess=(unit - rising) * np.sqrt(weights),
    )
