"""The forecast: what the tool stands behind. One posterior per curve, fitted together for all curves of a study.

A curve is ``level + gain * shape(D) + discrepancy + shared effects + noise`` (docs/laws.md). Everything that is said of
it, values, gains, probabilities, verdict and advice, is read off the same draws from its posterior.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, SettingError
from .curve import Curve, FloatArray
from .numerics.evidence import Explained, correlation, explain
from .numerics.noise import (
    between_curves,
    noise_weights,
    reduce_to_budgets,
    shared_weights,
)
from .numerics.shapes import Family, sample_shapes
from .priors import LOSS_SHAPE, NOISE, ROUGHNESS, SHAPE, SHARED_GRID
from .results import Estimate, Prediction

FEWEST_BUDGETS = 3
"""No forecast is made from fewer distinct budgets."""

FACTORS = (2.0, 4.0, 10.0)
"""Multiples of the largest budget at which gains are given."""

LIKELY, SURE = 0.7, 0.95
"""The two probabilities on which verdicts and advice rest; both are options."""

WORTHWHILE_SHARE = 0.01
"""A doubling of the data that adds less than this share of the value reached is not worth its cost, unless told
otherwise."""

DRAWS = 4000
_REACH = 1e6  # how far beyond the largest budget a wanted score is looked for


class Question(Enum):
    """Which of two questions a number answers."""

    RUN = "this run, continued"
    """What the next budgets of the pretraining at hand will score, with its seeds and the noise of a score."""
    MIXTURE = "this mixture, run again"
    """The mean over pretraining runs and finetuning seeds; no noise of a single score."""


@dataclass(frozen=True)
class ShapeProbabilities:
    """Probabilities of what the curve does over the observed budgets; the first four sum to 1."""

    rises: float
    flat: float
    falls: float
    bends: float
    """Rises, then falls."""
    leaps: float
    """Rises, most of it within a factor of about two in D."""

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


@dataclass(frozen=True)
class NoiseEstimate:
    """A standard deviation in points of the metric, and how much of it the data say."""

    sd: Estimate
    measured: bool
    """False: it comes from the prior alone; there was one run or one seed only."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """The forecast of one curve. Attributes: ``curve``, ``level`` of the intervals, ``worthwhile`` in points."""

    curve: Curve
    level: float
    worthwhile: float
    likely: float
    sure: float
    state: _Posterior = field(repr=False)

    def predict(
        self, pretrain_tokens: ArrayLike, of: Question = Question.RUN, level: float | None = None
    ) -> Prediction:
        """Return medians and intervals at ``pretrain_tokens`` (tokens, any shape), in points of the metric.

        For ``Question.RUN`` the interval holds the mean score of as many finetunings as a budget of the curve has; for
        ``Question.MIXTURE`` the mean over all runs and seeds.
        """
        tokens = np.asarray(pretrain_tokens, float)
        drawn = self.draws(tokens, of)
        tail = (1 - (self.level if level is None else level)) / 2
        lower, value, upper = np.quantile(drawn, [tail, 0.5, 1 - tail], axis=0)
        return Prediction(tokens, value, lower, upper, self.level if level is None else level)

    def draws(self, pretrain_tokens: ArrayLike, of: Question | None = None) -> FloatArray:
        """Return ``DRAWS`` draws [d, ...] of the curve itself (None), or as ``predict`` understands ``of``."""
        tokens = np.asarray(pretrain_tokens, float)
        made = self.state.latent(np.log10(np.maximum(tokens.ravel(), 1e-300)))
        if of is Question.RUN:
            made = made + self.state.noise(made, 0xA01)
        elif of is Question.MIXTURE:
            made = made - self.state.offsets[:, None]
        return self.state.to_points(made).reshape(-1, *tokens.shape)

    @cached_property
    def largest(self) -> float:
        """The largest budget that was fitted (tokens)."""
        return float(10 ** self.state.repeats.z[-1])

    @cached_property
    def _ahead(self) -> FloatArray:
        """Draws of the oriented gain over the largest budget at the factors [d, 3]."""
        made = self.draws(self.largest * np.array([1.0, *FACTORS])) * self.state.repeats.sign
        return made[:, 1:] - made[:, :1]

    @cached_property
    def gains(self) -> dict[float, Estimate]:
        """Factor of the largest budget -> gain over it in points of the metric, positive when better."""
        return {factor: self._estimate(self._ahead[:, i]) for i, factor in enumerate(FACTORS)}

    @cached_property
    def chance_worthwhile(self) -> float:
        """Probability that doubling the data gains at least ``worthwhile``."""
        return float(np.mean(self._ahead[:, 0] >= self.worthwhile))

    @cached_property
    def gained(self) -> Estimate:
        """Gain from the smallest to the largest budget, positive when better."""
        return self._estimate(self._path[:, -1] - self._path[:, 0])

    @cached_property
    def reached(self) -> Estimate:
        """The curve's value at the largest budget, noise of single scores taken off."""
        return self._estimate(self.draws([self.largest])[:, 0])

    @cached_property
    def margin(self) -> float:
        """Changes smaller than this, in points of the metric, count as none: twice the noise in the metric's row."""
        level = float(np.mean(np.abs(self.state.repeats.values))) * self.state.repeats.unit
        return 2.0 * self.curve.about.noise_at(level)

    @cached_property
    def _path(self) -> FloatArray:
        """Draws of the curve at its budgets [d, b], up is better, in points."""
        return self.state.latent(self.state.repeats.z) * self.state.repeats.unit

    @cached_property
    def late_change(self) -> FloatArray:
        """Draws of the change over the second half of the budgets (in log D), by a straight line, in points [d]."""
        z = self.state.repeats.z
        return _change(self._path, z, z >= (z[0] + z[-1]) / 2 - 1e-9)

    @cached_property
    def shape(self) -> ShapeProbabilities:
        """Probabilities of what the curve does over the observed budgets.

        Changes are those of straight lines in log D over the whole range and over its halves. Flat: whole range and
        second half change by less than ``margin``. Otherwise it gets worse where it loses more than a tenth of the
        margin over the second half; it bends if it has gained before, and falls if not. Else it rises (and may have
        levelled off).
        """
        z, margin = self.state.repeats.z, self.margin
        whole = _change(self._path, z, np.ones(z.size, bool))
        early = _change(self._path, z, z <= (z[0] + z[-1]) / 2 + 1e-9)
        flat = (np.abs(whole) < margin) & (np.abs(self.late_change) < margin)
        worse = ~flat & (self.late_change < -margin / 10)
        falls = worse & (early <= 0)
        rises = ~flat & ~worse
        # A leap: more than half of what is gained comes within a factor of two, or between two neighbouring budgets.
        steps = np.diff(self._path, axis=1)
        near = np.diff(z) < 2.2 * np.log10(2.0)
        gained = self._path.max(1) - self._path[:, 0]
        most = steps[:, near].max(1) if near.any() else np.zeros(len(steps))
        leaps = rises & (z.size >= 5) & (most > 0.6 * gained) & (gained > 3 * margin)
        return ShapeProbabilities(*(float(np.mean(case)) for case in (rises, flat, falls, worse & ~falls, leaps)))

    @cached_property
    def above_baseline(self) -> Estimate | None:
        """The curve at the largest budget less the score without pretraining, positive when better; None without."""
        baseline = self.curve.baseline_value
        if baseline is None:
            return None
        state = self.state
        runs = np.atleast_1d(np.asarray(self.curve.baseline)).size
        noise = state.sigma * state.normal(0xBA5E) / np.sqrt(runs) * state.repeats.unit
        made = (self.draws([self.largest], Question.MIXTURE)[:, 0] - baseline) * state.repeats.sign - noise
        return self._estimate(made)

    @cached_property
    def noise(self) -> NoiseEstimate:
        """Standard deviation of one finetuning run at the largest budget."""
        state = self.state
        size = state.sigma * state.repeats.sizes[-1] * state.repeats.unit
        repeated = len(state.repeats.seeds) > 1 or len(state.repeats.runs) > 1
        return NoiseEstimate(self._estimate(size), repeated or state.repeats.z.size > 4)

    @cached_property
    def shared_by_run(self) -> NoiseEstimate:
        """Standard deviation of what a pretraining run does to all its budgets alike."""
        state = self.state
        return NoiseEstimate(self._estimate(state.run_spread * state.repeats.unit), len(state.repeats.runs) > 1)

    @cached_property
    def shared_by_seed(self) -> NoiseEstimate:
        """Standard deviation of what a finetuning seed does to all budgets alike."""
        state = self.state
        return NoiseEstimate(self._estimate(state.seed_spread * state.repeats.unit), len(state.repeats.seeds) > 1)

    @cached_property
    def next_budget(self) -> float:
        """The D_p, up to four times the largest, whose score would tell most about the gain at four times (tokens)."""
        tokens = np.geomspace(10 ** self.state.repeats.z[0], 4 * self.largest, 40)
        made = self.draws(np.r_[tokens, self.largest, 4 * self.largest])
        gain = made[:, -1] - made[:, -2]
        here = made[:, :-2]
        here = here - here.mean(0)
        shared = here.T @ (gain - gain.mean()) / len(gain)
        noise = np.mean(self.state.sigma**2) * self.state.repeats.unit**2 / self.state.repeats.typical
        told = shared**2 / (here.var(0) + noise + 1e-300)
        return float(tokens[int(np.argmax(told))])

    def tokens_for(self, score: float) -> Estimate:
        """Return the D_p (tokens) at which the mixture reaches ``score``: median and interval, inf where never.

        Looked for from the smallest budget to a million times the largest.
        """
        grid = np.geomspace(10 ** self.state.repeats.z[0], self.largest * _REACH, 240)
        sign = self.state.repeats.sign
        reached = first_reached(sign * self.draws(grid, Question.MIXTURE), np.full(DRAWS, sign * score), grid)
        lower, value, upper = np.quantile(reached, [(1 - self.level) / 2, 0.5, (1 + self.level) / 2], method="nearest")
        return Estimate(float(value), float(lower), float(upper), unit="tokens")

    def plot(self, axes: Any = None, **style: Any) -> Any:
        """Draw points, median and bands into matplotlib ``axes`` (made when None), which are returned."""
        from .plotting import plot_forecast

        return plot_forecast(self, axes, **style)

    def to_frame(self, pretrain_tokens: ArrayLike | None = None) -> Any:
        """Return a pandas DataFrame of the forecast, one row per D_p and question (needs pandas)."""
        import pandas  # type: ignore[import-untyped]

        tokens = self.largest * np.array([1.0, *FACTORS]) if pretrain_tokens is None else np.ravel(pretrain_tokens)
        rows = []
        for question in Question:
            made = self.predict(tokens, question)
            rows += [
                (question.value, *row) for row in zip(tokens, made.value, made.lower, made.upper, strict=True)
            ]
        return pandas.DataFrame(rows, columns=["of", "pretrain_tokens", "value", "lower", "upper"])

    def _estimate(self, drawn: FloatArray) -> Estimate:
        tail = (1 - self.level) / 2
        lower, value, upper = np.quantile(drawn, [tail, 0.5, 1 - tail])
        return Estimate(float(value), float(lower), float(upper), float(np.std(drawn)))

    def __repr__(self) -> str:
        shape = ", ".join(f"{name} {share:.0%}" for name, share in self.shape.to_dict().items() if share >= 0.01)
        lines = [f"Forecast of {self.curve.name} ({self.curve.about.title}): {shape}"]
        lines.append(f"  at {self.largest:.3g} tokens {self.reached}")
        lines += [f"  {factor:g} times the data: {gain.value:+.3g} [{gain.lower:+.3g}, {gain.upper:+.3g}]"
                  for factor, gain in self.gains.items()]  # fmt: skip
        return "\n".join(lines)


@dataclass(frozen=True)
class StudyForecast(Sequence[Forecast]):
    """The forecasts of the curves of one study, in their order; None has been left out."""

    forecasts: tuple[Forecast, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.forecasts[index]

    def __len__(self) -> int:
        return len(self.forecasts)

    def __iter__(self) -> Iterator[Forecast]:
        return iter(self.forecasts)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.forecasts))


def forecast(
    curves: Curve | Sequence[Curve],
    *,
    level: float = 0.95,
    seed: int = 0,
    worthwhile: float | None = None,
    likely: float = LIKELY,
    sure: float = SURE,
) -> StudyForecast:
    """Return the forecasts of the curves of one study; they share what is known of the noise of a metric.

    Args:
        curves: one curve or several. Held-out points are not looked at; values of 0 and below are data.
        level: coverage of the intervals.
        seed: of the draws.
        worthwhile: the smallest gain from doubling the data that is worth its cost, in points of the metric; by default
            1 % of the value reached.
        likely, sure: probabilities from which verdicts and advice speak of likely and sure.

    Raises:
        DataError: a curve with fewer than three distinct budgets. SettingError: a probability outside (0, 1).
    """
    given = [curves] if isinstance(curves, Curve) else list(curves)
    for name, value in (("level", level), ("likely", likely), ("sure", sure)):
        if not 0 < value < 1:
            raise SettingError(name, value, "not between 0 and 1", "write 0.95 for 95 %")
    repeats = []
    for curve in given:
        budgets = fitted_budgets(curve)
        if budgets < FEWEST_BUDGETS:
            raise DataError(
                f"curve {curve.name!r} ({curve.metric}): {budgets} distinct budget{'s' * (budgets != 1)} to fit\n"
                f"  a forecast needs at least {FEWEST_BUDGETS}, and 5 or more are advised"
            )
        repeats.append(reduce_to_budgets(curve))
    explained = []
    for curve, one in zip(given, repeats, strict=True):
        without = curve.baseline_value
        runs = np.atleast_1d(np.asarray(curve.baseline)).size
        start = None if without is None else (one.sign * without / one.unit, runs)
        shapes = sample_shapes(LOSS_SHAPE if curve.about.is_loss else SHAPE)
        explained.append(explain(one, shapes, start))
    made: list[Forecast | None] = [None] * len(given)
    groups = defaultdict(list)
    for place, curve in enumerate(given):
        groups[curve.metric, curve.lower_is_better].append(place)
    for places in groups.values():
        for place, weights in zip(places, _share_noise([explained[i] for i in places]), strict=True):
            curve = given[place]
            key = zlib.crc32(f"{curve.name}|{curve.metric}".encode())
            state = _Posterior(explained[place], weights, (seed, key), zlib.crc32(curve.metric.encode()))
            pays = _worthwhile(state) if worthwhile is None else worthwhile
            made[place] = Forecast(curve, level, pays, likely, sure, state)
    return StudyForecast(tuple(one for one in made if one is not None))


def _change(values: FloatArray, z: FloatArray, of: NDArray[np.bool_]) -> FloatArray:
    """Return what rows [d, b] change over the budgets ``of``, by least squares in log D [d]."""
    x = z[of] - z[of].mean()
    return values[:, of] @ x / max(float(x @ x), 1e-12) * np.ptp(z[of])


def _worthwhile(state: _Posterior) -> float:
    """Return 1 % of the value at the largest budget, in points; at values near 0 a fifth of the metric's own noise."""
    return max(WORTHWHILE_SHARE * abs(float(state.repeats.values[-1])), 0.2 * state.repeats.noise) * state.repeats.unit


def fitted_budgets(curve: Curve) -> int:
    """Return how many distinct budgets of a curve a forecast is fitted to."""
    usable = np.isfinite(curve.values) & (curve.pretrain_tokens > 0) & ~curve.held_out & (curve.case_weights > 0)
    return int(np.unique(curve.pretrain_tokens[usable]).size)


def first_reached(values: FloatArray, wanted: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the first D, interpolated in log D, where rows [d, n] reach ``wanted`` [d]; inf where none does."""
    above = values >= wanted[:, None]
    at = np.argmax(above, 1)
    before, rows = np.maximum(at - 1, 0), np.arange(len(values))
    low, high = values[rows, before], values[rows, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (wanted - low) / (high - low), 1.0)
    logs = np.log(grid)
    position = np.exp(logs[before] + np.clip(share, 0, 1) * (logs[at] - logs[before]))
    return np.where(above.any(1), np.where(at == 0, grid[0], position), np.inf)


@dataclass(frozen=True)
class _NoiseWeights:
    """Posterior of a curve's noise: logarithms [s] without the curve's own shapes, and of shared effects [s, g, g]."""

    noise: FloatArray
    shared: FloatArray


def _share_noise(curves: Sequence[Explained]) -> list[_NoiseWeights]:
    """Return the noise of every curve given all curves of one metric.

    The curves' noise lies around that of the study (``priors.NOISE.between_curves``), so curves and study are a star,
    and passing messages to its centre and back is exact. Seeds of finetuning are the same in all curves: what the
    curves say on their effect is one piece of evidence, not many, and counts once.
    """
    step = between_curves()
    prior = shared_weights(NOISE.run)[:, :, None] + shared_weights(NOISE.seed)[:, None, :]
    messages = []
    for one in curves:
        given_shapes = one.repeats.log_likelihood + prior
        told = given_shapes + one.noise_evidence[:, None, None]
        message = _log_sum(step[:, :, None, None] + told[:, None], 0)  # [study, run, seed]
        without_seed = _log_sum(message, 2)[:, :, None]
        relative = message - without_seed
        messages.append(without_seed + relative / len(curves))
    total = np.sum(messages, 0)
    made = []
    for one, message in zip(curves, messages, strict=True):
        centre = noise_weights(one.repeats.spread)[:, None, None] + total - message
        centre = centre - centre.max()
        back = _log_sum(step[:, :, None, None] + centre[None], 1)  # [curve, run, seed]
        if one.repeats.spread == NOISE.known_spread:
            back = noise_weights(NOISE.known_spread)[:, None, None] + np.zeros_like(back)
        joint = back + one.repeats.log_likelihood + prior
        made.append(_NoiseWeights(_log_sum(_log_sum(joint, 2), 1), joint))
    return made


def _log_sum(logs: FloatArray, axis: int) -> FloatArray:
    most = logs.max(axis=axis, keepdims=True)
    return np.log(np.exp(logs - most).sum(axis=axis)) + np.squeeze(most, axis)


class _Posterior:
    """Draws from the posterior of one curve. Values are up is better, in units of ``repeats.unit``.

    Attributes:
        sigma: noise of one run [d]; run_spread, seed_spread: standard deviations of shared effects [d].
        offsets: what the runs and seeds at hand add to the mixture's mean [d]; run_offset: the runs' part of it.
    """

    def __init__(self, explained: Explained, weights: _NoiseWeights, seed: tuple[int, int], metric: int) -> None:
        self.explained, self.repeats = explained, explained.repeats
        self._seed = seed
        generator = np.random.default_rng(seed)
        logs = explained.log_weight + np.log(ROUGHNESS.weights)[:, None, None] + weights.noise[None, :, None]
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
        mean, c = e.mean[self.rough, self.size, self.shape], e.covariance[self.rough, self.size, self.shape]
        first = np.sqrt(c[:, 0])
        across = c[:, 1] / first
        second = np.sqrt(np.maximum(c[:, 2] - across**2, 0))
        flat = self.family == Family.FLAT
        ends = np.where(flat, 0.0, e.ends[self.shape])
        made = np.empty((DRAWS, 2))
        todo = np.arange(DRAWS)
        for _ in range(60):
            x = generator.standard_normal((todo.size, 2))
            made[todo, 0] = mean[todo, 0] + first[todo] * x[:, 0]
            made[todo, 1] = mean[todo, 1] + across[todo] * x[:, 0] + second[todo] * x[:, 1]
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
        heights = (e.shapes.take(used).heights(z, low, high) - e.starts[used, None]) / e.spans[used, None]
        heights = heights - e.middles[used, None]
        heights[e.shapes.family[used] == Family.FLAT] = 0.0
        return self.coefficients[:, :1] + self.coefficients[:, 1:] * heights[place]

    def latent(self, z: FloatArray) -> FloatArray:
        """Return draws of the curve [d, n], its discrepancy included, within the metric's range."""
        made = self.smooth(z)
        e, repeats = self.explained, self.repeats
        generator = np.random.default_rng([*self._seed, 0xD15C])
        residual = repeats.values - (self.coefficients[:, :1] + self.coefficients[:, 1:] * e.heights[self.shape])
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
        """Return draws of the noise of a budget's mean score [d, n]."""
        generator = np.random.default_rng([*self._seed, purpose])
        size = np.abs(values) if self.repeats.relative else 1.0
        spread = self.sigma / np.sqrt(self.repeats.typical)
        return spread[:, None] * size * generator.standard_normal(values.shape)

    def normal(self, purpose: int) -> FloatArray:
        """Return standard normal draws [d] for one purpose."""
        return np.random.default_rng([*self._seed, purpose]).standard_normal(DRAWS)

    def to_points(self, values: FloatArray) -> FloatArray:
        """Return values in points of the metric."""
        return np.clip(values, self.repeats.lower, self.repeats.upper) * self.repeats.unit * self.repeats.sign
