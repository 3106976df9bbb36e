"""How well every shape explains a curve, for every size of noise and of discrepancy.

Given shape, noise and discrepancy a curve is a linear model, ``level + gain * shape``, with normal errors, so level and
gain are integrated exactly (Rasmussen and Williams 2006, section 2.7: a Gaussian process with explicit basis
functions). No optimiser, no starts, no random numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..priors import ROUGHNESS
from .noise import Repeats
from .shapes import Family, Shapes

LEVEL_SPREAD = 3.0
"""Prior standard deviation of the level around the mean of the budgets, in units of the curve: next to no prior."""
_USUAL_DECADES = 1.3
_NEGLIGIBLE = 10.0  # of the logarithm of a weight


@dataclass(frozen=True)
class Explained:
    """The shapes laid onto one curve.

    Attributes:
        log_weight: logarithm of prior times likelihood [r, s, k] for roughness, noise and shape (without the prior of
            noise).
        whitening: inverse Cholesky factors of the covariance of the budgets, in units of sigma^2, by roughness.
        products: of ones, heights and values, whitened: 1'1, 1'h, h'h, 1'y, h'y, with y less its mean [r, 5, k].
    """

    repeats: Repeats
    shapes: Shapes
    scaled: Scaled
    log_weight: FloatArray
    whitening: list[FloatArray]
    products: FloatArray

    @property
    def noise_evidence(self) -> FloatArray:
        """Logarithm of the likelihood of every size of noise [s], up to a constant."""
        most = self.log_weight.max()
        return np.log(np.maximum(np.exp(self.log_weight - most).sum(axis=(0, 2)), 1e-300)) + most

    def moments(
        self, rough: NDArray[np.int_], size: NDArray[np.int_], shape: NDArray[np.int_]
    ) -> tuple[FloatArray, FloatArray]:
        """Return means of level and gain [2, n], and their variances and covariance (ll, lg, gg) [3, n]."""
        found = _integrate(
            self.products[rough, :, shape].T, self.repeats.sigmas[size], self.scaled.gain_precision[shape]
        )
        a, across, c = found.precision
        return (
            np.stack([found.level + self.repeats.values.mean(), found.gain]),
            np.stack([c, -across, a]) / found.determinant,
        )


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
    weighs the shapes that rise by where they start, and does not move level and gain. Their left end is not the
    baseline to the last digit: a pretraining run has an effect of its own, and the first tokens may do something that
    later ones do not. So it may be off by a third of what was gained, or of its distance.
    """
    scaled = Scaled.of(repeats, shapes)
    target = repeats.values - repeats.values.mean()
    log_weight = np.full((len(ROUGHNESS.sizes), repeats.sigmas.size, len(shapes)), -np.inf)
    prior = roughness_weights(repeats.sigmas)
    told = repeats.log_likelihood.max(axis=(1, 2))
    possible = (prior > -2 * _NEGLIGIBLE) & (told > told.max() - 4 * _NEGLIGIBLE)
    products, whitening = np.empty((len(ROUGHNESS.sizes), 5, len(shapes))), []
    for i, rough in enumerate(ROUGHNESS.sizes):
        white = np.linalg.inv(np.linalg.cholesky(repeats.covariance + rough**2 * correlation(repeats.z, repeats.z)))
        ones, heights, values = white.sum(1), scaled.heights @ white.T, white @ target
        of = [ones @ ones, heights @ ones, (heights**2).sum(1), ones @ values, heights @ values]
        products[i] = np.stack(np.broadcast_arrays(*of))
        sigmas = repeats.sigmas[possible[i], None]
        density = _integrate(of, sigmas, scaled.gain_precision).log_density - 0.5 * (values @ values) / sigmas**2
        density += np.log(np.diag(white)).sum() - repeats.z.size * np.log(sigmas) + prior[i, possible[i], None]
        log_weight[i, possible[i]] = density + scaled.log_prior
        whitening.append(white)
    made = Explained(repeats, shapes, scaled, log_weight, whitening, products)
    _weigh_ends(made, baseline)
    return made


class _Integrated(NamedTuple):
    level: FloatArray
    gain: FloatArray
    precision: tuple[FloatArray, FloatArray, FloatArray]
    determinant: FloatArray
    log_density: FloatArray


def _integrate(products: Iterable[FloatArray], sigma: FloatArray, gain_precision: FloatArray) -> _Integrated:
    """Return level and gain given the values (see ``Explained``), and what integrating them adds to the evidence."""
    precision = 1 / sigma**2
    ones, across, heights, first, second = (product * precision for product in products)
    level_precision = 1 / LEVEL_SPREAD**2
    a, c = ones + level_precision, heights + gain_precision
    determinant = a * c - across**2
    level, gain = (c * first - across * second) / determinant, (a * second - across * first) / determinant
    density = 0.5 * (first * level + second * gain - np.log(determinant / (level_precision * gain_precision)))
    return _Integrated(level, gain, (a, across, c), determinant, density)


@dataclass(frozen=True)
class Scaled:
    """Shapes scaled to a curve's range: 0 at the smallest budget and 1 at the largest (bends: at the peak), less
    ``middles``, with their prior weights there.

    Attributes:
        heights: at the budgets [k, b]; starts, spans, middles: of the scaling [k].
        ends: heights at the horizon [k]; before: heights at D = 0 [k].
        gain_precision: of the prior of the gain [k]; log_prior: of the shapes, but for what is still to come [k].
        ahead: gain from the last budget to the horizon, in units of ``still_to_come`` [k].
        typical_gain: the gain over the budgets that is typical of curves, in units of the curve.
    """

    heights: FloatArray
    starts: FloatArray
    spans: FloatArray
    middles: FloatArray
    ends: FloatArray
    before: FloatArray
    is_flat: NDArray[np.bool_]
    gain_precision: FloatArray
    log_prior: FloatArray
    ahead: FloatArray
    typical_gain: float

    @classmethod
    def of(cls, repeats: Repeats, shapes: Shapes) -> Scaled:
        low, high = repeats.z[0], max(repeats.z[-1], repeats.z[0] + 1e-3)
        inside = shapes.heights(np.r_[np.linspace(low, high, 17), high + shapes.prior.horizon], low, high)
        inside, horizon = inside[:, :-1], inside[:, -1]
        family = shapes.family
        is_flat, bends, falls = family == Family.FLAT, family == Family.BEND, family == Family.FALL
        starts = inside[:, 0]
        spans = np.where(bends, inside.max(1) - starts, np.abs(inside[:, -1] - starts))
        usable = (spans > 1e-5) | is_flat
        spans = np.where(usable & ~is_flat, spans, 1.0)
        middles = ((inside - starts[:, None]) / spans[:, None]).mean(1)
        ends = (horizon - starts) / spans
        before = -starts / spans
        width = float(np.clip(high - low, 0.2, 3.0) / _USUAL_DECADES)
        prior = shapes.prior
        ahead = np.maximum(np.where(falls, -ends, ends) - 1, 0) * width / prior.still_to_come
        below = np.where(bends, np.maximum(-ends, 0) * width / (2 * prior.still_to_come), 0.0)
        weight = np.where(usable, 1 / (1 + below**2), 0.0)
        # A family has its probability on a curve that gains as much as is typical.
        expected = weight / (1 + 0.5 * ahead**2)
        shares = (prior.rise, prior.flat, prior.fall, prior.bend)
        for kind in Family:
            weight[family == kind] *= shares[kind] / max(expected[family == kind].sum(), 1e-300)
        with np.errstate(divide="ignore"):
            log_prior = np.log(weight)
        typical_gain = float(np.exp(prior.log_gain[0])) * width
        heights = (shapes.heights(repeats.z, low, high) - starts[:, None]) / spans[:, None] - middles[:, None]
        heights[is_flat] = 0.0
        precision = np.where(is_flat, 1e12, 1 / (shapes.gain_scale * width) ** 2)
        return cls(heights, starts, spans, middles, ends - middles, before - middles, is_flat, precision,
                   log_prior, ahead, typical_gain)  # fmt: skip


def _weigh_ends(made: Explained, baseline: tuple[float, int] | None) -> None:
    """Weigh the shapes by where they end and start.

    Much more to come than was gained is improbable. But a curve that has gained less than is typical may not have begun
    to rise: what is to come is compared with what it gained and with the typical gain.

    What lies outside the metric's range at the horizon, and gains below 0, are taken off: both are other shapes'
    business. Only what is not negligible for its size of noise is looked at, and only sizes that the repeats and this
    curve leave possible; other curves may make another size the likely one.
    """
    most = made.log_weight.max(axis=(0, 2))
    told = most + made.repeats.log_likelihood.max(axis=(1, 2))
    least = np.where(told > told.max() - 2 * _NEGLIGIBLE, most - _NEGLIGIBLE, np.inf)
    likely = made.log_weight > least[:, None]
    rough, size, shape = np.nonzero(likely)
    mean, covariance = made.moments(rough, size, shape)
    flat, repeats = made.scaled.is_flat[shape], made.repeats

    def at(place: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of the curve where the shapes have these heights."""
        variance = covariance[0] + 2 * place * covariance[1] + place**2 * covariance[2]
        return mean[0] + place * mean[1], np.maximum(variance, 1e-24)

    end, variance = at(made.scaled.ends[shape])
    inside = np.where(flat, 0.0, np.log(2) + _log_share(mean[1] / np.sqrt(covariance[2])))
    inside += _log_share((repeats.upper - end) / np.sqrt(variance)) + _log_share(
        (end - repeats.lower) / np.sqrt(variance)
    )
    gained = np.maximum(mean[1], 0.0) ** 2
    inside -= np.log1p(made.scaled.ahead[shape] ** 2 * gained / (gained + made.scaled.typical_gain**2))
    if baseline is not None:
        value, runs = baseline
        start, variance = at(made.scaled.before[shape])
        variance += repeats.sigmas[size] ** 2 / runs + (np.abs(mean[1]) / 3 + abs(value - repeats.values[0]) / 3) ** 2
        fits = -0.5 * (value - start) ** 2 / variance - 0.5 * np.log(variance)
        free = -0.5 * ((value - repeats.values.mean()) / LEVEL_SPREAD) ** 2 - np.log(LEVEL_SPREAD)
        rises = made.scaled.before[shape] < -made.scaled.middles[shape]
        inside += np.where(rises, fits, free)
    made.log_weight[likely] += inside


def _log_share(deviate: FloatArray) -> FloatArray:
    """Return the logarithm of the standard normal's distribution function."""
    from scipy.special import log_ndtr

    made = np.zeros_like(deviate)
    matters = deviate < 6.0
    made[matters] = log_ndtr(deviate[matters])
    return made
