"""The forecast: what the tool stands behind. One posterior per curve, fitted together for all curves of a study.

A curve is ``level + gain * shape(D) + discrepancy + shared effects + noise`` (docs/statistics.md). Everything that is
said of it, values, gains, probabilities, verdict and advice, is read off the same draws from its posterior.
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
from .numerics.evidence import explain
from .numerics.noise import fitted_points, reduce_to_budgets
from .numerics.posterior import DRAWS, Posterior, share_noise
from .numerics.shapes import sample_shapes
from .plotting import grid_of_axes, plot_curve
from .priors import LOSS_SHAPE, SHAPE
from .results import Estimate, Prediction, estimate_from_draws, first_reached

FEWEST_BUDGETS = 3
"""No forecast is made from fewer distinct budgets."""

FACTORS = (2.0, 4.0, 10.0)
"""Multiples of the largest budget at which gains are given."""

LIKELY, SURE = 0.7, 0.95
"""The two probabilities on which verdicts and advice rest; both are options."""

WORTHWHILE_SHARE = 0.01
"""A doubling of the data that adds less than this share of the value reached is not worth its cost, unless told
otherwise."""

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
    state: Posterior = field(repr=False)

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

        Changes are those of straight lines in log D over the whole range and over its halves. Flat: none of the three
        changes by ``margin``. Otherwise it gets worse where it loses more than a tenth of the margin over the second
        half; it bends if it has gained before, and falls if not. Else it rises (and may have levelled off).
        """
        z, margin = self.state.repeats.z, self.margin
        whole = _change(self._path, z, np.ones(z.size, bool))
        early = _change(self._path, z, z <= (z[0] + z[-1]) / 2 + 1e-9)
        flat = np.max(np.abs([whole, early, self.late_change]), 0) < margin
        worse = ~flat & (self.late_change < -margin / 10)
        falls = worse & (early <= 0)
        rises = ~flat & ~worse
        # A leap: more than 60 % of what is gained comes between two neighbouring budgets about a factor of two apart.
        steps = np.diff(self._path, axis=1)
        near = np.diff(z) < 2.2 * np.log10(2.0)
        gained = self._path.max(1) - self._path[:, 0]
        most = steps[:, near].max(1) if near.any() else np.zeros(len(steps))
        leaps = rises & (z.size >= 5) & (most > 0.6 * gained) & (gained > 3 * margin)
        return ShapeProbabilities(*(float(np.mean(case)) for case in (rises, flat, falls, worse & ~falls, leaps)))

    @cached_property
    def above_baseline(self) -> Estimate | None:
        """The curve at the largest budget less the score without pretraining, positive when better; None without.

        Of the mixture run again. What a finetuning seed does to both cancels where the baseline has the curve's seeds.
        """
        baseline = self.curve.baseline_value
        if baseline is None:
            return None
        state, runs = self.state, self.curve.baseline_runs
        names = [None] * runs if self.curve.baseline_seeds is None else self.curve.baseline_seeds
        shares: defaultdict[object, float] = defaultdict(float, state.repeats.seeds)
        for number, name in enumerate(names):
            shares[f"baseline {number}" if name is None else str(name)] -= 1 / runs
        at_largest = state.latent(state.repeats.z[-1:])[:, 0]
        made = state.to_points(at_largest - state.run_offset - state.seed_offset(shares, state.seed_spread))
        noise = state.sigma * state.normal(0xBA5E) / np.sqrt(runs) * state.repeats.unit
        return self._estimate((made - baseline) * state.repeats.sign - noise)

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
        """Draw points, median and the bands of both questions up to ``reach`` (10) times the largest D_p."""
        grid = np.geomspace(10 ** self.state.repeats.z[0], style.pop("reach", 10.0) * self.largest, 60)
        bands = {question.value: self.predict(grid, question) for question in reversed(Question)}
        return plot_curve(self.curve, bands, ~self.curve.held_out, axes, **style)

    def to_frame(self, pretrain_tokens: ArrayLike | None = None) -> Any:
        """Return a pandas DataFrame of the forecast, one row per D_p and question (needs pandas)."""
        import pandas  # type: ignore[import-untyped]

        tokens = self.largest * np.array([1.0, *FACTORS]) if pretrain_tokens is None else np.ravel(pretrain_tokens)
        rows = []
        for question in Question:
            made = self.predict(tokens, question)
            rows += [(question.value, *row) for row in zip(tokens, made.value, made.lower, made.upper, strict=True)]
        return pandas.DataFrame(rows, columns=["of", "pretrain_tokens", "value", "lower", "upper"])

    def _estimate(self, drawn: FloatArray) -> Estimate:
        return estimate_from_draws(drawn, self.level)

    def __repr__(self) -> str:
        shape = ", ".join(f"{name} {share:.0%}" for name, share in vars(self.shape).items() if share >= 0.01)
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

    def plot(self) -> Any:
        """Draw each forecast into a panel of its own (see ``Forecast.plot``) and return the matplotlib axes [n]."""
        axes = grid_of_axes(len(self))
        for panel, one in zip(axes, self, strict=True):
            one.plot(panel).set_title(one.curve.name)
        return axes

    def to_frame(self, pretrain_tokens: ArrayLike | None = None) -> Any:
        """Return ``Forecast.to_frame`` of all, with columns ``curve`` and ``metric`` in front (needs pandas)."""
        import pandas

        frames = []
        for one in self:
            frame = one.to_frame(pretrain_tokens)
            frame.insert(0, "curve", one.curve.name)
            frame.insert(1, "metric", one.curve.metric)
            frames.append(frame)
        return pandas.concat(frames, ignore_index=True)

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
        start = None if without is None else (one.sign * without / one.unit, curve.baseline_runs)
        shapes = sample_shapes(LOSS_SHAPE if curve.about.is_loss else SHAPE)
        explained.append(explain(one, shapes, start))
    made: list[Forecast | None] = [None] * len(given)
    keys = _keys(given)
    groups = defaultdict(list)
    for place, curve in enumerate(given):
        groups[curve.metric, curve.lower_is_better].append(place)
    for places in groups.values():
        for place, weights in zip(places, share_noise([explained[i] for i in places]), strict=True):
            curve = given[place]
            state = Posterior(explained[place], weights, (seed, keys[place]), zlib.crc32(curve.metric.encode()))
            pays = _worthwhile(state) if worthwhile is None else worthwhile
            made[place] = Forecast(curve, level, pays, likely, sure, state)
    return StudyForecast(tuple(one for one in made if one is not None))


def _keys(curves: Sequence[Curve]) -> list[int]:
    """Return what sets the random numbers of every curve apart: metric and setting, not how file or curve is called.

    Curves that are alike in these are numbered.
    """
    names = ("mixture", "source_lang", "target_lang", "finetune_tokens", "architecture")
    settings = ["|".join([one.metric, *(str(one.attributes.get(name)) for name in names)]) for one in curves]
    return [zlib.crc32(f"{one} {settings[:i].count(one)}".encode()) for i, one in enumerate(settings)]


def _change(values: FloatArray, z: FloatArray, of: NDArray[np.bool_]) -> FloatArray:
    """Return what rows [d, b] change over the budgets ``of``, by least squares in log D [d]."""
    x = z[of] - z[of].mean()
    return values[:, of] @ x / max(float(x @ x), 1e-12) * np.ptp(z[of])


def _worthwhile(state: Posterior) -> float:
    """Return 1 % of the value at the largest budget, in points; at values near 0 a fifth of the metric's own noise."""
    return max(WORTHWHILE_SHARE * abs(float(state.repeats.values[-1])), 0.2 * state.repeats.noise) * state.repeats.unit


def fitted_budgets(curve: Curve) -> int:
    """Return how many distinct budgets of a curve a forecast is fitted to."""
    return int(np.unique(curve.pretrain_tokens[fitted_points(curve)]).size)
