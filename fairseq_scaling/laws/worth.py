"""What a token of each language is worth for a task, and a forecast for a mixture that nobody has trained.

Mixtures of one task are taken to climb the same curve at different speeds: D tokens of mixture m bring what ``k_m D``
tokens of a reference bring. The speed is what its languages add up to, ``k_m = sum over languages of share * worth``
with no worth below 0. Where mixtures differ in more than speed, the misfit of this sum says so and widens what is
forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from .curve import FloatArray
from .forecast import Forecast, Question
from .results import Estimate, Prediction, estimate_from_draws

FEWEST_MIXTURES = 3
"""Of two mixtures only a comparison is made."""

MISFIT, MISFIT_WEIGHT = 0.2, 3.0
"""Prior of the misfit: its standard deviation (of log k), and the number of mixtures it counts as. Set by hand: no
public study of more mixtures than languages was found to learn it from."""

_DRAWS = 500
_STEP = 0.05  # decades between the shifts that are tried
_REACH = 2.0  # decades of shift at most

_UNIT = "tokens of the reference"


@dataclass(frozen=True, eq=False)
class LanguageWorth:
    """What the languages of a study are worth for one task and metric.

    Attributes:
        worth: language -> how many tokens of the language ``best`` one of its tokens is worth.
        best: the language whose tokens are worth most.
        speeds: name of a curve -> k, how many tokens of the reference one token of its mixture is worth.
        reference: name of the reference's curve, the one that gained most.
        misfit: standard deviation of log k around the sum over languages.
        measured: whether there are more mixtures than languages; if not, the misfit comes from the prior alone.
    """

    worth: dict[str, Estimate]
    best: str
    speeds: dict[str, Estimate]
    reference: str
    misfit: float
    measured: bool
    level: float
    _forecasts: tuple[Forecast, ...] = field(repr=False)
    _shares: FloatArray = field(repr=False)
    _logs: FloatArray = field(repr=False)  # log k of the mixtures [d, m]
    _worths: FloatArray = field(repr=False)  # [d, l]
    _errors: FloatArray = field(repr=False)  # misfit of a mixture that was not tried [d]

    def predict(self, mixture: Mapping[str, float], pretrain_tokens: ArrayLike) -> Prediction:
        """Return the mean over runs of a mixture (language -> share) at ``pretrain_tokens``, with intervals.

        It climbs the curve of the mixture at hand whose shares are nearest.

        Raises:
            DataError: a language that no mixture of the study holds, or shares that do not sum to 1.
        """
        tokens = np.asarray(pretrain_tokens, float)
        tail = (1 - self.level) / 2
        made = self._draws(mixture, tokens.ravel())
        lower, value, upper = np.quantile(made, [tail, 0.5, 1 - tail], axis=0).reshape(3, *tokens.shape)
        return Prediction(tokens, value, lower, upper, self.level)

    def chance_ahead(self, mixture: Mapping[str, float], name: str, pretrain_tokens: float) -> float:
        """Return the probability that a mixture (language -> share) is ahead of the curve ``name``, both run again.

        Raises:
            DataError: as ``predict``, or no curve of that name.
        """
        for forecast in self._forecasts:
            if forecast.curve.name == name:
                at = np.array([pretrain_tokens], float)
                theirs = _read(forecast, np.broadcast_to(np.log10(at), (len(self._logs), 1)))
                ahead = (self._draws(mixture, at) - theirs) * forecast.state.repeats.sign
                return float(np.mean(ahead > 0) + np.mean(ahead == 0) / 2)
        raise DataError(f"curve {name!r}: it is none of the mixtures\n  there are {', '.join(self.speeds)}")

    def _draws(self, mixture: Mapping[str, float], tokens: FloatArray) -> FloatArray:
        """Return draws of the mean over runs of a mixture [d, n] at ``tokens`` [n]."""
        unknown = [language for language in mixture if language not in self.worth and mixture[language]]
        if unknown:
            raise DataError(
                f"language {unknown[0]!r}: no mixture of the study holds it, so its worth is not known\n"
                f"  languages that were tried: {', '.join(self.worth)}"
            )
        shares = np.array([float(mixture.get(language, 0.0)) for language in self.worth])
        if np.any(shares < 0) or abs(shares.sum() - 1) > 1e-6:
            raise DataError(f"mixture {dict(mixture)}: the shares must be at least 0 and sum to 1")
        near = int(np.argmin(np.abs(self._shares - shares).sum(1)))
        apart = float(np.abs(self._shares[near] - shares).sum())
        speed = np.log(np.maximum(self._worths @ shares, 1e-300)) - self._logs[:, near]
        # A mixture that was tried has its own curve; the misfit comes in with the first tenth that is exchanged.
        speed = speed * min(1.0, apart / 0.2) + self._errors * min(1.0, apart / 0.2)
        return _read(self._forecasts[near], np.log10(tokens)[None] + np.maximum(speed[:, None], -1e3) / np.log(10))


def worth_of_languages(forecasts: Sequence[Forecast], mixtures: Sequence[Mapping[str, float]]) -> LanguageWorth:
    """Return what the languages of ``mixtures`` (language -> share, one for each forecast) are worth.

    Raises:
        DataError: fewer than three mixtures, different metrics, fewer mixtures than languages (or languages that the
            mixtures do not tell apart), a curve that does not rise, or mixtures that differ by more than a factor of
            100 in speed.
    """
    languages = sorted({language for mixture in mixtures for language, share in mixture.items() if share > 0})
    shares = np.array([[float(mixture.get(language, 0.0)) for language in languages] for mixture in mixtures])
    _check(forecasts, shares, languages)
    reference = int(np.argmax([forecast.gained.value for forecast in forecasts]))
    logs = np.stack([_shift(one, forecasts[reference]) for one in forecasts], 1)
    if np.any(np.mean(np.abs(logs) > 0.98 * _REACH * np.log(10), 0) > 0.2):
        raise DataError("the worth of languages: two mixtures differ by more than a factor of 100 in speed\n"
                        "  their curves are not one curve at different speeds")  # fmt: skip
    generator = np.random.default_rng([len(forecasts), 0x30A7])
    spare = len(forecasts) - len(languages)
    worths = _nonnegative(shares, logs)
    middle = _nonnegative(shares, np.median(logs, 0)[None])[0]
    left = np.log(np.maximum(shares @ middle, 1e-12)) - np.median(logs, 0)
    squares = MISFIT_WEIGHT * MISFIT**2 + float(left @ left)
    sizes = np.sqrt(squares / generator.chisquare(MISFIT_WEIGHT + spare, len(logs)))
    # The speeds at hand have their misfit, too: without it the worths of as many mixtures as languages would be exact.
    worths = _nonnegative(shares, logs + sizes[:, None] * generator.standard_normal(logs.shape))
    level = forecasts[0].level
    best = int(np.argmax(np.median(worths, 0)))
    with np.errstate(divide="ignore"):
        # A draw in which the best language is worth nothing says nothing of the others.
        ratios = np.where(worths[:, [best]] > 0, worths / np.where(worths > 0, worths, 1.0)[:, [best]], np.inf)
    unit = f"tokens of {languages[best]}"
    return LanguageWorth(
        {name: estimate_from_draws(ratios[:, i], level, unit, "nearest") for i, name in enumerate(languages)},
        languages[best],
        {one.curve.name: estimate_from_draws(np.exp(logs[:, i]), level, _UNIT) for i, one in enumerate(forecasts)},
        forecasts[reference].curve.name,
        float(np.median(sizes)),
        spare > 0,
        level,
        tuple(forecasts),
        shares,
        logs,
        worths,
        sizes * generator.standard_normal(len(logs)),
    )


def _read(forecast: Forecast, at: FloatArray) -> FloatArray:
    """Return the mixture's draws [d, n], each read off its own curve at log10 D of ``at`` [d, n]."""
    grid = np.linspace(-2 * _REACH, 2 * _REACH, 161) + np.log10(forecast.largest)
    curves = forecast.draws(10**grid, Question.MIXTURE)[: len(at)]
    return np.stack([np.interp(x, grid, curve) for x, curve in zip(at, curves, strict=True)])


def _check(forecasts: Sequence[Forecast], shares: FloatArray, languages: Sequence[str]) -> None:
    what = "the worth of languages"
    if len(forecasts) < FEWEST_MIXTURES:
        raise DataError(f"{what}: {len(forecasts)} mixtures of one task\n  it needs at least {FEWEST_MIXTURES}")
    metrics = sorted({forecast.curve.metric for forecast in forecasts})
    if len(metrics) > 1:
        raise DataError(f"{what}: curves of {' and '.join(metrics)}\n  give the curves of one metric")
    if np.linalg.matrix_rank(shares) < len(languages):
        raise DataError(
            f"{what}: {len(shares)} mixtures do not tell {len(languages)} languages apart ({', '.join(languages)})\n"
            "  train at least as many mixtures as there are languages, with different shares"
        )
    for forecast in forecasts:
        if not (forecast.shape.rises > 0.5 and forecast.gained.lower > 0):
            raise DataError(
                f"{what}: curve {forecast.curve.name!r} does not surely get better with more data\n"
                "  a curve that does not rise has no speed"
            )


def _shift(one: Forecast, reference: Forecast) -> FloatArray:
    """Return log k [d]: the reference reaches at k D tokens what ``one`` reaches at D, by least squares over its
    budgets."""
    if one is reference:
        return np.zeros(_DRAWS)
    budgets = 10**one.state.repeats.z
    values = one.draws(budgets, Question.MIXTURE)[:_DRAWS]
    shifts = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    grid = np.arange(np.log10(budgets[0]) - _REACH, np.log10(budgets[-1]) + _REACH + _STEP, _STEP)
    theirs = reference.draws(10**grid, Question.MIXTURE)[:_DRAWS]
    places = (np.log10(budgets) - grid[0]) / _STEP
    whole = places.astype(int)
    share = places - whole
    squares = np.empty((len(shifts), _DRAWS))
    first = -round(_REACH / _STEP)
    for i in range(len(shifts)):
        at = np.clip(whole + first + i, 0, grid.size - 2)
        moved = theirs[:, at] * (1 - share) + theirs[:, at + 1] * share
        squares[i] = np.sum((moved - values) ** 2, 1)
    return shifts[np.argmin(squares, 0)] * np.log(10)


def _nonnegative(shares: FloatArray, logs: FloatArray) -> FloatArray:
    """Return the worths [d, l] of the speeds exp(logs) [d, m], by relative errors."""
    from scipy.optimize import nnls

    ones = np.ones(len(shares))
    return np.stack([nnls(shares / np.exp(row)[:, None], ones)[0] for row in logs])
