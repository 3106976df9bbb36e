"""Draws from the posterior of a curve, and the noise that the curves of a study share.

Shapes, sizes of noise and of discrepancy are drawn by their weights; level, gain, discrepancy and shared effects given
these are normal.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..curve import FloatArray
from ..priors import NOISE, ROUGHNESS, SHARED_GRID
from .evidence import Explained, correlation
from .noise import between_curves, noise_weights, shared_prior
from .shapes import Family

DRAWS = 4000


@dataclass(frozen=True)
class NoiseWeights:
    """Posterior of a curve's noise: logarithms [s] without the curve's own shapes, and of shared effects [s, g, g]."""

    noise: FloatArray
    shared: FloatArray


def share_noise(curves: Sequence[Explained]) -> list[NoiseWeights]:
    """Return the noise of every curve given all curves of one metric.

    The curves' noise lies around that of the study (``priors.NOISE.between_curves``), so curves and study are a star,
    and passing messages to its centre and back is exact. Seeds of finetuning are the same in all curves: what the
    curves say on their effect is one piece of evidence, not many, and counts once.
    """
    step = between_curves()
    prior = shared_prior()
    messages = []
    for one in curves:
        given_shapes = one.repeats.log_likelihood + prior
        told = given_shapes + one.noise_evidence[:, None, None]
        message = _pass(step.T, told)  # [study, run, seed]
        without_seed = np.logaddexp.reduce(message, 2)[:, :, None]
        relative = message - without_seed
        messages.append(without_seed + relative / len(curves))
    total = np.sum(messages, 0)
    made = []
    for one, message in zip(curves, messages, strict=True):
        centre = noise_weights(one.repeats.spread)[:, None, None] + total - message
        back = _pass(step, centre)  # [curve, run, seed]
        if one.repeats.spread == NOISE.known_spread:
            back = noise_weights(NOISE.known_spread)[:, None, None] + np.zeros_like(back)
        joint = back + one.repeats.log_likelihood + prior
        made.append(NoiseWeights(np.logaddexp.reduce(joint, (1, 2)), joint))
    return made


def _pass(step: FloatArray, logs: FloatArray) -> FloatArray:
    """Return the logarithm of the matrix ``step`` [m, s] times exp(logs) [s, ...]."""
    most = logs.max(axis=0, keepdims=True)
    return np.log(np.tensordot(step, np.exp(logs - most), 1)) + most


class Posterior:
    """Draws from the posterior of one curve. Values are up is better, in units of ``repeats.unit``.

    Attributes:
        sigma: noise of one run [d]; run_spread, seed_spread: standard deviations of shared effects [d].
        offsets: what the runs and seeds at hand add to the mixture's mean [d]; run_offset: the runs' part of it.
    """

    def __init__(self, explained: Explained, weights: NoiseWeights, seed: tuple[int, int], metric: int) -> None:
        self.explained, self.repeats = explained, explained.repeats
        self._seed = seed
        generator = np.random.default_rng(seed)
        logs = explained.log_weight + weights.noise[None, :, None]
        flat = np.exp(logs - logs.max()).ravel()
        ladder = np.cumsum(flat)
        picked = np.searchsorted(ladder, (np.arange(DRAWS) + generator.random()) / DRAWS * ladder[-1])
        picked = generator.permutation(np.minimum(picked, flat.size - 1))
        self.rough, self.size, self.shape = np.unravel_index(picked, logs.shape)
        self.sigma = self.repeats.sigmas[self.size]
        self.family = explained.shapes.family[self.shape]
        self.coefficients = self._draw_coefficients(generator)
        self._draw_shared(generator, weights.shared, metric)

    def _draw_coefficients(self, generator: np.random.Generator) -> FloatArray:
        """Return level and gain [d, 2]: normal, with the gain above 0 and the end within the metric's range."""
        e, repeats = self.explained, self.repeats
        mean, c = e.moments(self.rough, self.size, self.shape)
        first = np.sqrt(c[0])
        across = c[1] / first
        second = np.sqrt(np.maximum(c[2] - across**2, 0))
        flat, ends = self.family == Family.FLAT, e.scaled.ends[self.shape]
        made = np.empty((DRAWS, 2))
        todo = np.arange(DRAWS)
        for _ in range(60):
            x = generator.standard_normal((todo.size, 2))
            made[todo, 0] = mean[0, todo] + first[todo] * x[:, 0]
            made[todo, 1] = mean[1, todo] + across[todo] * x[:, 0] + second[todo] * x[:, 1]
            end = made[todo, 0] + made[todo, 1] * ends[todo]
            outside = (end < repeats.lower) | (end > repeats.upper) | ((made[todo, 1] < 0) & ~flat[todo])
            todo = todo[outside]
            if not todo.size:
                break
        made[todo, 1] = np.maximum(made[todo, 1], 0.0)
        return made

    def _draw_shared(self, generator: np.random.Generator, joint: FloatArray, metric: int) -> None:
        logs = joint.reshape(len(joint), -1)
        share = np.exp(logs - logs.max(1, keepdims=True))
        ladder = np.cumsum(share, 1)
        at = (ladder[self.size] < generator.random(DRAWS)[:, None] * ladder[self.size, -1:]).sum(1)
        run, seed = np.unravel_index(at, joint.shape[1:])
        self.run_spread, self.seed_spread = SHARED_GRID[run] * self.sigma, SHARED_GRID[seed] * self.sigma
        scale = np.sqrt(sum(share**2 for share in self.repeats.runs.values()))
        self.run_offset = self.run_spread * scale * generator.standard_normal(DRAWS)
        self.metric = metric
        self.offsets = self.run_offset + self.seed_offset(self.repeats.seeds, self.seed_spread)

    def seed_offset(self, shares: dict[Any, float], spread: FloatArray) -> FloatArray:
        """Return the effect of finetuning seeds with these shares [d]; the same seed has the same draws everywhere."""
        total = np.zeros(DRAWS)
        for name, share in shares.items():
            if share:
                key = [self._seed[0], zlib.crc32(str(name).encode()), self.metric]
                total += share * np.random.default_rng(key).standard_normal(DRAWS)
        return total * spread

    def smooth(self, z: FloatArray) -> FloatArray:
        """Return draws of the smooth part [d, n] at z = log10 D."""
        e = self.explained
        low, high = self.repeats.z[0], max(self.repeats.z[-1], self.repeats.z[0] + 1e-3)
        used, place = np.unique(self.shape, return_inverse=True)
        scaled = e.scaled
        heights = (e.shapes.take(used).heights(z, low, high) - scaled.starts[used, None]) / scaled.spans[used, None]
        heights = heights - scaled.middles[used, None]
        heights[e.shapes.family[used] == Family.FLAT] = 0.0
        return self.coefficients[:, :1] + self.coefficients[:, 1:] * heights[place]

    def latent(self, z: FloatArray) -> FloatArray:
        """Return draws of the curve [d, n], its discrepancy included, within the metric's range."""
        made = self.smooth(z)
        e, repeats = self.explained, self.repeats
        generator = np.random.default_rng([*self._seed, 0xD15C])
        residual = repeats.values - (self.coefficients[:, :1] + self.coefficients[:, 1:] * e.scaled.heights[self.shape])
        across, among = correlation(z, repeats.z), correlation(z, z)
        for i, size in enumerate(ROUGHNESS.sizes):
            of = self.rough == i
            if not size or not of.any():
                continue
            white = e.whitening[i]
            half = white @ (size**2 * across).T
            rest = size**2 * among - half.T @ half
            values, vectors = np.linalg.eigh(rest)
            root = vectors * np.sqrt(np.maximum(values, 0))
            wiggle = generator.standard_normal((int(of.sum()), z.size)) @ root.T
            made[of] += (residual[of] @ white.T) @ half + self.sigma[of, None] * wiggle
        return np.clip(made, repeats.lower, repeats.upper)

    def noise(self, values: FloatArray, purpose: int) -> FloatArray:
        """Return draws of the noise of a budget's mean score [d, n].

        The noise of a draw is the same at all budgets, so that intervals are smooth in D; each one on its own is right.
        """
        generator = np.random.default_rng([*self._seed, purpose])
        size = np.abs(values) if self.repeats.relative else 1.0
        spread = self.sigma / np.sqrt(self.repeats.typical)
        return (spread * generator.standard_normal(DRAWS))[:, None] * size

    def normal(self, purpose: int) -> FloatArray:
        """Return standard normal draws [d] for one purpose."""
        return np.random.default_rng([*self._seed, purpose]).standard_normal(DRAWS)

    def to_points(self, values: FloatArray) -> FloatArray:
        """Return values in points of the metric."""
        return np.clip(values, self.repeats.lower, self.repeats.upper) * self.repeats.unit * self.repeats.sign
