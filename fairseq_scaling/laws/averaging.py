"""The weighted average of several fits of one curve, with the same interface as a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .composite import Composite, CompositeLaw
from .curve import Curve, FloatArray
from .inference import held_out_error
from .predicting import errors_at, evaluate_log, log_quantiles
from .results import Estimate, Fit, Prediction
from .statistics import t_grid

_QUANTILES = 400
"""Values of every law for the average's intervals, evenly spread over its own distribution."""

_OWN = 1 / 3
"""How much a law's own standard error counts against it."""

_AHEAD = 10.0
"""Times the largest D_p: where that error is taken, as far ahead as the answers go."""

_FLOOR, _SHARPNESS = 10.0, 2
"""Weights are nearly equal among laws up to about three times as wrong as the best one (a few errors cannot tell them
apart) and fall fast beyond."""

_LUCK = 0.02
"""Errors far below 2 % are the luck of a few splits, not a better law."""

_HUGE = 1e300


@dataclass(frozen=True)
class AverageState(Composite):
    """Component fits and their weights (both [k]).

    The weight of a law is prior / (error^2 + 10 least error^2 + (se / 3)^2 + 0.02^2)^2, se its own standard error at
    ten times the largest D_p: by the variance that the law has shown when it predicted, and in part by the one it
    expects itself, so that a law that the points leave undetermined neither decides nor makes the intervals useless.
    The same weights hold everywhere, for values, intervals and draws: weights that change along D_p would bend the
    average where none of its laws bends.
    """

    fits: tuple[Fit, ...]
    weights: FloatArray
    least: float
    """The least rolling-origin error of any law, the noise of the points it was seen at taken off; 0 without any."""

    def surprise(self, tokens: FloatArray) -> FloatArray:
        """Return the standard deviation that the intervals add to every law's own [n]: beyond the points, none is
        trusted to err less, with each of the first two doublings, than the best of them has erred about one doubling
        beyond fewer points."""
        top = self.fits[0].curve.pretrain_tokens[self.fits[0].used].max()
        return self.least * np.clip(np.log(tokens / top) / np.log(2), 0.0, 2.0)

    def interval_weights(self) -> FloatArray:
        """Return weights that sum to 1 over the laws that have an interval of their own [k]; 0 where none has."""
        usable = np.array([_has_interval(one) for one in self.fits])
        share = np.where(usable, self.weights, 0.0)
        return np.asarray(share / share.sum() if share.any() else usable / max(1, usable.sum()), float)

    def log_value(self, tokens: FloatArray) -> FloatArray:
        logs = _log_values(self.fits, tokens.ravel())
        return _mean(_shares(self.weights, logs), logs).reshape(tokens.shape)

    def predict(self, tokens: FloatArray, level: float) -> Prediction:
        return _predict(self, tokens, level)

    def draws(self, tokens: FloatArray, size: int, seed: int) -> FloatArray:
        return _draws(self, tokens, size, seed)

    def describe(self) -> dict[str, Any]:
        return {"laws": [one.law.name for one in self.fits], "weights": self.weights.tolist()}


class AverageLaw(CompositeLaw):
    """Weighted geometric mean of laws; it has no parameters of its own, and no solver."""

    name = "average"
    title = "weighted average of the laws"
    formula = "exp(sum_k w_k log f_k(D))"
    latex = r"\exp\left(\sum_k w_k \log f_k(D_p)\right)"
    source = "Bates and Granger, The Combination of Forecasts (1969); weights from rolling-origin errors"


AVERAGE = AverageLaw()


def errors_ahead(fits: Sequence[Fit]) -> FloatArray:
    """Return what fits of one law, to any curves, expect to err at ten times their largest D_p [f]."""
    largest = [fit.curve.pretrain_tokens[fit.used].max() for fit in fits]
    return errors_at(fits, _AHEAD * np.array(largest))


def average_fit(curve: Curve, fits: Sequence[Fit], prior: FloatArray, errors: FloatArray, expected: FloatArray) -> Fit:
    """Return the average of ``fits`` as a Fit; its coefficients are the weights.

    Args:
        prior: what each law is worth before the curve is seen [k].
        errors: rolling-origin RMSLE [k]; NaN where a law was not tried (it gets no weight while others were).
        expected: ``errors_ahead`` of the fits [k].
    """
    first = fits[0]
    tried = np.isfinite(errors)
    prior = np.where(tried | ~tried.any(), prior, 0.0)
    least = 0.0
    if tried.any():
        best = int(np.nanargmin(errors))
        least = float(np.sqrt(max(0.0, errors[best] ** 2 - np.nan_to_num(fits[best].sigma) ** 2)))
    errors = np.nan_to_num(errors)
    shown = errors**2 + _FLOOR * np.min(errors[prior > 0]) ** 2 + _LUCK**2
    weights = _weights(prior, shown, _OWN * expected)
    state = AverageState(tuple(fits), weights, least)
    residuals = np.full(len(curve), np.nan)
    positive = (curve.pretrain_tokens > 0) & np.isfinite(curve.values) & (curve.values > 0)
    residuals[positive] = np.log(curve.values[positive]) - state.log_value(curve.pretrain_tokens[positive])
    heaviest = fits[int(np.argmax(weights))]
    order = np.argsort(-weights)
    return Fit(
        curve=curve,
        law=AVERAGE,
        coefficients={f"weight of {fits[i].law.name}": Estimate(float(weights[i])) for i in order},
        objective=float("nan"),
        delta=first.delta,
        protocol=first.protocol,
        interval=first.interval,
        level=first.level,
        used=first.used,
        judged=first.judged,
        left_out=first.left_out,
        residuals=residuals,
        degrees_of_freedom=heaviest.degrees_of_freedom,
        sigma=float(np.sqrt(np.mean(residuals[first.used] ** 2))),
        condition_number=float("nan"),
        identified=True,
        reasons=(),
        notes=("an average of laws has weights, no coefficients of its own",),
        held_out=held_out_error(curve, residuals, first.judged),
        iterations=sum(fit.iterations for fit in fits),
        converged=all(fit.converged for fit in fits),
        state=state,
    )


def _predict(state: AverageState, tokens: FloatArray, level: float) -> Prediction:
    """Return the average with the interval of the mixture of the laws' own uncertainties."""
    flat = tokens.ravel()
    logs = _log_values(state.fits, flat)
    value = np.exp(_mean(_shares(state.weights, logs), logs))
    weights = state.interval_weights()
    keep = np.flatnonzero(weights > 1e-4)
    if not keep.size:
        nothing = np.full(tokens.shape, np.nan)
        return Prediction(tokens, value.reshape(tokens.shape), nothing, nothing, level)
    weights = _shares(weights, logs)
    parts = [_equally_likely(state.fits[i], flat, state.surprise(flat)) for i in keep]
    share = np.concatenate([np.tile(weights[i] / len(one), (len(one), 1)) for i, one in zip(keep, parts, strict=True)])
    tail = (1 - level) / 2
    lower, upper = _weighted_quantiles(np.concatenate(parts), share, (tail, 1 - tail))
    lower, upper = np.minimum(lower, value), np.maximum(upper, value)
    shape = tokens.shape
    return Prediction(tokens, value.reshape(shape), lower.reshape(shape), upper.reshape(shape), level)


def _draws(state: AverageState, tokens: FloatArray, size: int, seed: int) -> FloatArray:
    """Return draws [size, ...] of the mixture; one law per draw, in proportion to its weight.

    All NaN where no law has an interval of its own.
    """
    share = state.interval_weights()
    if not share.any():
        return np.full((size, *tokens.shape), np.nan)
    counts = np.diff(np.r_[0, np.round(size * np.cumsum(share)).astype(int)])
    parts = [
        _finite(one.draws(tokens, int(count), 1000 * seed + i))
        for i, (one, count) in enumerate(zip(state.fits, counts, strict=True))
        if count
    ]
    generator = np.random.default_rng([seed, 0xA7E])
    drawn = generator.permutation(np.concatenate(parts))
    added = np.multiply.outer(generator.standard_normal(len(drawn)), state.surprise(tokens))
    with np.errstate(over="ignore"):
        return np.minimum(drawn * np.exp(added), _HUGE)


def _equally_likely(fit: Fit, tokens: FloatArray, surprise: FloatArray) -> FloatArray:
    """Return values [m, n] at ``tokens`` [n] which a fit of one law holds for equally likely, with a normal error of
    standard deviation ``surprise`` [n] on top: quantile by quantile, as the variances of two normal errors add up."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if fit.state.draws is not None:
            logs = np.sort(np.log(fit.draws(tokens, _QUANTILES)), 0)
        else:
            logs = log_quantiles(fit, tokens, t_grid(_QUANTILES, fit.state.freedom)).T
        centre = evaluate_log(fit, tokens)[0]
        own, added = logs - centre, t_grid(len(logs), np.inf)[:, None] * surprise
        both = np.where(own * added > 0, np.sign(added) * np.hypot(own, added), own + added)
        return _finite(np.minimum(np.exp(centre + both), fit.curve.ceiling))


def _log_values(fits: Sequence[Fit], tokens: FloatArray) -> FloatArray:
    """Return log f [k, n] at ``tokens`` [n]."""
    return np.stack([evaluate_log(one, tokens)[0] for one in fits])


def _weights(prior: FloatArray, shown: FloatArray, spread: FloatArray) -> FloatArray:
    """Return weights, which sum to 1, from priors, shown variances and expected errors (all [k])."""
    active = prior > 0
    # Where no law knows its uncertainty they are taken as equal; otherwise one that does not is left out.
    spread = spread if np.any(np.isfinite(spread[active])) else np.zeros(len(spread))
    with np.errstate(over="ignore"):
        variance = shown + spread**2
        raw = prior / (variance / np.min(variance[active])) ** _SHARPNESS
    return np.asarray(raw / raw.sum())


def _shares(weights: FloatArray, logs: FloatArray) -> FloatArray:
    """Return the weights [k, n] among the laws that have a value at D_p, from ``weights`` [k] and log f [k, n]."""
    raw = np.where(np.isfinite(logs), weights[:, None], 0.0)
    with np.errstate(invalid="ignore"):
        return raw / raw.sum(0)


def _mean(weights: FloatArray, values: FloatArray) -> FloatArray:
    return np.sum(np.where(weights > 0, weights * np.where(np.isfinite(values), values, 0.0), 0.0), 0)


def _has_interval(fit: Fit) -> bool:
    return bool(np.all(np.isfinite(fit.state.covariance)) and fit.state.freedom > 0)


def _finite(drawn: FloatArray) -> FloatArray:
    return np.nan_to_num(drawn, nan=0.0, posinf=_HUGE)


def _weighted_quantiles(values: FloatArray, weights: FloatArray, levels: Sequence[float]) -> list[FloatArray]:
    """Return quantiles over the first axis of values [m, n] with weights [m, n]."""
    # Along rows that lie in one piece in memory everything here takes half the time.
    values, weights = np.ascontiguousarray(values.T), np.ascontiguousarray(weights.T)
    order = np.argsort(values, -1)
    reached = np.cumsum(np.take_along_axis(weights, order, -1), -1)
    reached /= reached[:, -1:]
    rows = np.arange(len(values))
    found = []
    for level in levels:
        at = np.minimum(np.sum(reached < level, -1), values.shape[1] - 1)
        found.append(values[rows, order[rows, at]])
    return found
