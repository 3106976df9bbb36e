"""How well every shape explains a curve, for every size of noise and of discrepancy.

Given shape, noise and discrepancy a curve is a linear model, ``level + gain * shape``, with normal errors, so level and
gain are integrated exactly (Rasmussen and Williams 2006, section 2.7: a Gaussian process with explicit basis
functions). No optimiser, no starts, no random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..priors import ROUGHNESS
from .noise import Repeats
from .shapes import Family, Shapes

LEVEL_SPREAD = 3.0
"""Prior standard deviation of the level around the mean of the budgets, in units of the curve: next to no prior."""
_USUAL_DECADES = 1.3
_NEGLIGIBLE = 20.0  # of the logarithm of a weight


@dataclass(frozen=True)
class Explained:
    """The shapes laid onto one curve. Heights are 0 at the smallest budget, and 1 at the largest (bends: at the peak),
    less ``middle``.

    Attributes:
        heights: at the budgets [k, b]; starts, spans, middles: of the scaling [k]; ends: heights at infinity [k].
        log_weight: logarithm of prior times likelihood [r, s, k] for roughness, noise and shape (without the prior of
            noise).
        mean: of level and gain [r, s, k, 2]; covariance: their variances and covariance (ll, lg, gg) [r, s, k, 3].
        whitening: inverse Cholesky factors of the covariance of the budgets, in units of sigma^2, by roughness.
    """

    repeats: Repeats
    shapes: Shapes
    heights: FloatArray
    starts: FloatArray
    spans: FloatArray
    middles: FloatArray
    ends: FloatArray
    log_weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    whitening: list[FloatArray]

    @property
    def noise_evidence(self) -> FloatArray:
        """Logarithm of the likelihood of every size of noise [s], up to a constant."""
        most = self.log_weight.max()
        return np.log(np.maximum(np.exp(self.log_weight - most).sum(axis=(0, 2)), 1e-300)) + most


def correlation(z: FloatArray, other: FloatArray) -> FloatArray:
    """Return the correlation of the discrepancy between two sets of log10 D [n, m] (Matern 3/2)."""
    distance = np.sqrt(3.0) * np.abs(z[:, None] - other[None]) / ROUGHNESS.reach
    return (1 + distance) * np.exp(-distance)


def roughness_weights(sigmas: FloatArray) -> FloatArray:
    """Return the logarithm of the prior weights of the discrepancy's sizes for every size of noise [r, s]."""
    sizes = np.array(ROUGHNESS.sizes)[:, None]
    logs = np.log(ROUGHNESS.weights)[:, None] - 0.5 * (sizes * sigmas / ROUGHNESS.largest) ** 2
    return logs - np.log(np.exp(logs).sum(0))


def explain(repeats: Repeats, shapes: Shapes, baseline: tuple[float, int] | None = None) -> Explained:
    """Return the evidence of every shape on a curve.

    ``baseline`` is the mean score without pretraining (oriented, in the curve's units) and its number of runs: it
    weighs the shapes by where they start, and does not move level and gain.
    """
    scaled = _Scaled.of(repeats, shapes)
    count, sigmas = repeats.z.size, repeats.sigmas[:, None]
    level = float(repeats.values.mean())
    target = repeats.values - level
    gain_precision = np.where(scaled.is_flat, 1e12, 1 / (shapes.gain_scale * scaled.width) ** 2)
    level_precision = 1 / LEVEL_SPREAD**2
    size = (len(ROUGHNESS.sizes), repeats.sigmas.size, len(shapes))
    log_weight, mean, covariance = np.empty(size), np.empty((*size, 2)), np.empty((*size, 3))
    whitening = []
    for i, rough in enumerate(ROUGHNESS.sizes):
        factor = np.linalg.cholesky(repeats.covariance + rough**2 * correlation(repeats.z, repeats.z))
        white = np.linalg.inv(factor)
        whitening.append(white)
        ones, heights, values = white.sum(1), scaled.heights @ white.T, white @ target
        precision = 1 / sigmas**2
        a = ones @ ones * precision + level_precision
        b = (heights @ ones) * precision
        c = np.einsum("kn,kn->k", heights, heights) * precision + gain_precision
        determinant = a * c - b**2
        first, second = (ones @ values) * precision, (heights @ values) * precision
        mean[i, :, :, 0] = (c * first - b * second) / determinant
        mean[i, :, :, 1] = (a * second - b * first) / determinant
        squares = (values @ values) * precision - first * mean[i, :, :, 0] - second * mean[i, :, :, 1]
        log_weight[i] = (
            np.log(np.diag(white)).sum() - count * np.log(sigmas) - 0.5 * squares
            - 0.5 * np.log(determinant) + 0.5 * np.log(level_precision) + 0.5 * np.log(gain_precision)
        )  # fmt: skip
        covariance[i, :, :, 0], covariance[i, :, :, 1], covariance[i, :, :, 2] = (
            c / determinant, -b / determinant, np.broadcast_to(a / determinant, determinant.shape),
        )  # fmt: skip
    mean[..., 0] += level
    log_weight += scaled.log_prior + roughness_weights(repeats.sigmas)[:, :, None]
    _bound(log_weight, mean, covariance, scaled, repeats)
    if baseline is not None:
        _weigh_baseline(log_weight, mean, covariance, scaled, repeats, baseline)
    return Explained(
        repeats, shapes, scaled.heights, scaled.starts, scaled.spans, scaled.middles, scaled.ends, log_weight, mean,
        covariance, whitening,
    )  # fmt: skip


@dataclass(frozen=True)
class _Scaled:
    """Shapes scaled to a curve's range, with their prior weights there."""

    heights: FloatArray
    starts: FloatArray
    spans: FloatArray
    middles: FloatArray
    ends: FloatArray
    before: FloatArray
    is_flat: NDArray[np.bool_]
    width: float
    log_prior: FloatArray

    @classmethod
    def of(cls, repeats: Repeats, shapes: Shapes) -> _Scaled:
        low, high = repeats.z[0], max(repeats.z[-1], repeats.z[0] + 1e-3)
        inside = shapes.heights(np.linspace(low, high, 17), low, high)
        family = shapes.family
        is_flat, bends, falls = family == Family.FLAT, family == Family.BEND, family == Family.FALL
        starts = inside[:, 0]
        spans = np.where(bends, inside.max(1) - starts, np.abs(inside[:, -1] - starts))
        usable = (spans > 1e-5) | is_flat
        spans = np.where(usable & ~is_flat, spans, 1.0)
        middles = ((inside - starts[:, None]) / spans[:, None]).mean(1)
        ends = (shapes.end - starts) / spans
        before = -starts / spans
        width = float(np.clip(high - low, 0.2, 3.0) / _USUAL_DECADES)
        prior = shapes.prior
        ahead = np.where(falls, -ends, ends) - 1
        penalty = np.log1p((np.maximum(ahead, 0) * width / prior.still_to_come) ** 2)
        penalty += np.where(bends, np.log1p((np.maximum(-ends, 0) * width / (2 * prior.still_to_come)) ** 2), 0.0)
        weight = np.where(usable, np.exp(-penalty), 0.0)
        shares = (prior.rise, prior.flat, prior.fall, prior.bend)
        for kind in Family:
            weight[family == kind] *= shares[kind] / max(weight[family == kind].sum(), 1e-300)
        with np.errstate(divide="ignore"):
            log_prior = np.log(weight)
        heights = (shapes.heights(repeats.z, low, high) - starts[:, None]) / spans[:, None] - middles[:, None]
        heights[is_flat] = 0.0
        return cls(heights, starts, spans, middles, ends - middles, before - middles, is_flat, width, log_prior)


def _bound(log_weight: FloatArray, mean: FloatArray, covariance: FloatArray, scaled: _Scaled, repeats: Repeats) -> None:
    """Take off what lies outside the metric's range at infinity, and gains below 0: both are other shapes' business."""
    from scipy.special import log_ndtr

    where, m, c = _likely(log_weight, mean, covariance)
    shape = where % log_weight.shape[2]
    flat = scaled.is_flat[shape]
    inside = np.where(flat, 0.0, np.log(2) + log_ndtr(m[:, 1] / np.sqrt(c[:, 2])))
    place = np.where(flat, 0.0, scaled.ends[shape])
    at = m[:, 0] + place * m[:, 1]
    spread = np.sqrt(np.maximum(c[:, 0] + 2 * place * c[:, 1] + place**2 * c[:, 2], 1e-24))
    if np.isfinite(repeats.upper):
        inside += log_ndtr((repeats.upper - at) / spread)
    if np.isfinite(repeats.lower):
        inside += log_ndtr((at - repeats.lower) / spread)
    log_weight.ravel()[where] += inside


def _likely(
    log_weight: FloatArray, mean: FloatArray, covariance: FloatArray
) -> tuple[NDArray[np.int_], FloatArray, FloatArray]:
    """Return the flat indices of all that is not negligible for its size of noise, with means and covariances.

    For its size, because what other curves say on noise may make another size the likely one.
    """
    most = log_weight.max(axis=(0, 2), keepdims=True)
    where = np.flatnonzero(log_weight > np.maximum(most - _NEGLIGIBLE, most.max() - 3 * _NEGLIGIBLE))
    return where, mean.reshape(-1, 2)[where], covariance.reshape(-1, 3)[where]


def _weigh_baseline(
    log_weight: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    scaled: _Scaled,
    repeats: Repeats,
    baseline: tuple[float, int],
) -> None:
    """Weigh the shapes that rise by the score without pretraining, their left end.

    The left end is not the baseline to the last digit: a pretraining run has an effect of its own, and the first tokens
    may do something that later ones do not. So it may be off by a third of what was gained, or of its distance.
    """
    value, runs = baseline
    where, m, c = _likely(log_weight, mean, covariance)
    shape, size = where % log_weight.shape[2], where // log_weight.shape[2] % log_weight.shape[1]
    place = scaled.before[shape]
    at = m[:, 0] + place * m[:, 1]
    variance = np.maximum(c[:, 0] + 2 * place * c[:, 1] + place**2 * c[:, 2], 0.0)
    variance += repeats.sigmas[size] ** 2 / runs + (np.abs(m[:, 1]) / 3 + abs(value - repeats.values[0]) / 3) ** 2
    fits = -0.5 * (value - at) ** 2 / variance - 0.5 * np.log(variance)
    starts_there = scaled.ends[shape] > scaled.before[shape]
    level = float(np.mean(repeats.values))
    free = -0.5 * ((value - level) / LEVEL_SPREAD) ** 2 - np.log(LEVEL_SPREAD)
    log_weight.ravel()[where] += np.where(starts_there & ~scaled.is_flat[shape], fits, free)
