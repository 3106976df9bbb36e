"""What a fit predicts: values, intervals, draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..curve import Curve, FloatArray
from ..law import Law
from ..results import Prediction
from .profile import State, deviations
from .statistics import t_quantile

_SHARES = (0.75, 0.9, 0.975, 0.995)
"""Quantiles of Student's t at which a profile is traced, on both sides, beside those of the fit's level."""

_PLACES = 12
"""Where more predictions are asked for, about so many profiles are traced, evenly in log D, and interpolated."""

_KEPT = 8
"""Profiles that a fit keeps."""


class Fitted(Protocol):
    """What is used of a ``Fit``."""

    @property
    def curve(self) -> Curve: ...
    @property
    def law(self) -> Law: ...
    @property
    def level(self) -> float: ...
    @property
    def state(self) -> Any: ...


def predict(fit: Fitted, pretrain_tokens: ArrayLike, level: float) -> Prediction:
    """Return the law's values with pointwise intervals (see ``Fit.predict``)."""
    tokens = np.asarray(pretrain_tokens, float)
    state: State = fit.state
    tail = (1 - level) / 2
    if state.draws is not None:
        drawn = np.exp(_evaluate_draws(fit, tokens, state.draws))
        with np.errstate(invalid="ignore"):
            lower, upper = np.quantile(np.where(np.isnan(drawn), 0.0, drawn), [tail, 1 - tail], axis=0)
    else:
        reach = t_quantile(1 - tail, state.freedom)
        with np.errstate(over="ignore", invalid="ignore"):
            lower, upper = np.exp(np.moveaxis(log_quantiles(fit, tokens, np.array([-reach, reach])), -1, 0))
    value = values(fit, tokens)
    return Prediction(tokens, value, lower, _capped(fit, upper, value), level)


def values(fit: Fitted, pretrain_tokens: ArrayLike) -> FloatArray:
    """Return the law's values without intervals (see ``Fit.values``)."""
    tokens = np.asarray(pretrain_tokens, float)
    return np.exp(evaluate_log(fit, tokens)[0])


def log_quantiles(fit: Fitted, tokens: FloatArray, deviates: FloatArray) -> FloatArray:
    """Return log f [..., k] at deviates [k] of Student's t, for ``tokens`` of any shape and a fit of one law without
    bootstrap: by its profile, or log f + deviate * standard error."""
    if fit.state.likelihood is not None:
        return _profile(fit, tokens.ravel()).at(deviates).reshape(*tokens.shape, len(deviates))
    log_value, jacobian = evaluate_log(fit, tokens)
    with np.errstate(over="ignore", invalid="ignore"):
        return log_value[..., None] + _error(jacobian, fit.state.covariance)[..., None] * deviates


def elasticity(fit: Fitted, pretrain_tokens: ArrayLike) -> FloatArray:
    """Return d log f / d log D_p (see ``Fit.elasticity``), by a central difference."""
    tokens = np.asarray(pretrain_tokens, float)
    step = 1e-4

    return (evaluate_log(fit, tokens * np.exp(step))[0] - evaluate_log(fit, tokens * np.exp(-step))[0]) / (2 * step)


def draws(fit: Fitted, pretrain_tokens: ArrayLike, size: int, seed: int) -> FloatArray:
    """Return draws of the law's values from its uncertainty [size, ...] (see ``Fit.draws``)."""
    tokens = np.asarray(pretrain_tokens, float)
    state: State = fit.state
    generator = np.random.default_rng([seed, 0xD4A3])
    if state.draws is not None:
        chosen = state.draws[generator.integers(len(state.draws), size=size)]
        return np.minimum(np.exp(_evaluate_draws(fit, tokens, chosen)), fit.curve.ceiling)
    if not np.all(np.isfinite(state.covariance)) or state.freedom <= 0:
        return np.full((size, *tokens.shape), np.nan)
    log_value, jacobian = evaluate_log(fit, tokens)
    covariance = state.covariance if state.likelihood is None else _given_bounds(fit)
    variances, vectors = np.linalg.eigh(covariance)
    thetas = generator.standard_normal((size, len(vectors))) @ (vectors * np.sqrt(np.maximum(variances, 0))).T
    thetas *= np.sqrt(state.freedom / generator.chisquare(state.freedom, size))[:, None]
    moved = np.tensordot(thetas, jacobian, (1, -1))
    with np.errstate(all="ignore"):
        if state.likelihood is None:
            log_values = log_value + moved
        else:
            # Student's t everywhere, tied as the linear model ties them; the profile says what each t stands for.
            deviates = np.nan_to_num(moved / _error(jacobian, covariance))
            log_values = _profile(fit, tokens.ravel()).each(deviates.reshape(size, -1)).reshape(moved.shape)
        return np.minimum(np.exp(log_values), fit.curve.ceiling)


@dataclass(frozen=True)
class _Profile:
    """log f [n, k] at ascending deviates [k] of Student's t; linear between them and beyond."""

    deviates: FloatArray
    logs: FloatArray

    def at(self, deviates: FloatArray) -> FloatArray:
        """Return log f [n, m] at deviates [m]."""
        left, share = self._between(deviates)
        return self.logs[:, left] + share * (self.logs[:, left + 1] - self.logs[:, left])

    def each(self, deviates: FloatArray) -> FloatArray:
        """Return log f [m, n] at deviates [m, n] that differ from place to place."""
        left, share = self._between(deviates)
        places = np.arange(len(self.logs))
        low = self.logs[places, left]
        return low + share * (self.logs[places, left + 1] - low)

    def _between(self, deviates: FloatArray) -> tuple[NDArray[np.int_], FloatArray]:
        left = np.clip(np.searchsorted(self.deviates, deviates) - 1, 0, len(self.deviates) - 2)
        return left, (deviates - self.deviates[left]) / np.diff(self.deviates)[left]


def _profile(fit: Fitted, tokens: FloatArray) -> _Profile:
    """Return the profile of log f at ``tokens`` [n]; NaN where the law has no value."""
    if tokens.tobytes() not in fit.state.tables:
        trace([fit], [tokens])
    return fit.state.tables[tokens.tobytes()]


def trace(fits: Sequence[Fitted], tokens: Sequence[FloatArray]) -> None:
    """Trace the profiles of many fits at once, each at its ``tokens`` [n], so that each predicts there in no time.

    Fits without profile intervals are passed over.
    """
    alike: dict[Hashable, list[tuple[Fitted, FloatArray, FloatArray, FloatArray]]] = defaultdict(list)
    for fit, places in zip(fits, tokens, strict=True):
        state: State = fit.state
        if state.likelihood is None:
            continue
        shares = sorted({*_SHARES, round(0.5 + fit.level / 2, 12)})
        roots = np.array([t_quantile(share, state.freedom) for share in shares])
        at = np.unique(np.log(places)[np.isfinite(evaluate_log(fit, places)[0])])
        if at.size > _PLACES:
            # fewer are enough far beyond the points
            bend = min(at[-1], state.scale.middle + state.scale.half + np.log(10.0))
            at = np.union1d(np.linspace(at[0], bend, _PLACES), np.linspace(bend, at[-1], 5))
        alike[fit.law, state.likelihood.z.size, at.size, roots.size].append((fit, places, at, roots))
    for members in alike.values():
        states = [fit.state for fit, *_ in members]
        law, roots = members[0][0].law, np.stack([roots for *_, roots in members])
        z = np.stack([state.scale.z(at) for state, (*_, at, _) in zip(states, members, strict=True)])
        thetas, likelihoods = np.stack([state.theta for state in states]), [state.likelihood for state in states]
        moved = deviations(law, thetas, likelihoods, z, roots) if z.shape[1] else np.zeros((len(z), 0, 2, 0))
        for (fit, places, at, own), ends in zip(members, moved, strict=True):
            _keep(fit, places, at, own, ends)


def _keep(fit: Fitted, tokens: FloatArray, at: FloatArray, roots: FloatArray, ends: FloatArray) -> None:
    """Put the profile at ``tokens`` [n] into the fit's tables: ``ends`` [m, 2, k] down and up at log D ``at`` [m]."""
    tables = fit.state.tables
    logs = np.tile(evaluate_log(fit, tokens)[0][:, None], 2 * len(roots) + 1)
    if at.size:
        down, up = ends.transpose(1, 2, 0)
        moved = np.concatenate([-down[::-1], np.zeros((1, at.size)), up])
        logs += np.stack([np.interp(np.log(tokens), at, row) for row in moved], -1)
    if len(tables) >= _KEPT:
        tables.clear()
    tables[tokens.tobytes()] = _Profile(np.r_[-roots[::-1], 0.0, roots], logs)


def _error(jacobian: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the standard errors [...] of log f with derivatives [..., p] by theta."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.einsum("...i,ij,...j->...", jacobian, covariance, jacobian))


def _given_bounds(fit: Fitted) -> FloatArray:
    """Return the covariance of theta [p, p] if the parameters at their bounds stay there."""
    covariance, theta = fit.state.covariance, fit.state.theta
    held = (theta <= fit.law.lower) | (theta >= fit.law.upper)
    if not held.any() or not np.all(np.isfinite(covariance)):
        return covariance
    free = ~held
    answer = covariance[:, held] @ np.linalg.pinv(covariance[np.ix_(held, held)])
    return np.where(free[:, None] & free, covariance - answer @ covariance[held], 0.0)


def evaluate_log(fit: Fitted, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log f and its derivatives by theta at ``tokens`` (any shape) of a fit of one law."""
    state: State = fit.state
    with np.errstate(all="ignore"):
        z = state.scale.z(np.log(tokens).ravel())
        value, jacobian = fit.law.evaluate(state.theta[None], z[None])
        return (value[0] + state.scale.level).reshape(tokens.shape), jacobian[0].reshape(
            *tokens.shape, jacobian.shape[-1]
        )


def _evaluate_draws(fit: Fitted, tokens: FloatArray, thetas: FloatArray) -> FloatArray:
    state: State = fit.state
    with np.errstate(all="ignore"):
        z = state.scale.z(np.log(tokens).ravel())
        value = fit.law.evaluate(thetas, z[None])[0] + state.scale.level
        return value.reshape(len(thetas), *tokens.shape)


def _capped(fit: Fitted, upper: FloatArray, value: FloatArray) -> FloatArray:
    """No interval promises more than the metric can give; a law that itself predicts more keeps its value."""
    return np.maximum(np.minimum(upper, fit.curve.ceiling), value)
