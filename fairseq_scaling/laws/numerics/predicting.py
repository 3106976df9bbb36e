"""What a fit predicts: values and intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

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
    value = np.exp(evaluate_log(fit, tokens)[0])
    # No interval promises more than the metric can give; a law that itself predicts more keeps its value.
    return Prediction(tokens, value, lower, np.maximum(np.minimum(upper, fit.curve.ceiling), value), level)


def log_quantiles(fit: Fitted, tokens: FloatArray, deviates: FloatArray) -> FloatArray:
    """Return log f [..., k] at deviates [k] of Student's t, for ``tokens`` of any shape and a fit of one law without
    bootstrap: by its profile, or log f + deviate * standard error."""
    if fit.state.likelihood is not None:
        return _profile(fit, tokens.ravel()).at(deviates).reshape(*tokens.shape, len(deviates))
    log_value, jacobian = evaluate_log(fit, tokens)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.sqrt(np.einsum("...i,ij,...j->...", jacobian, fit.state.covariance, jacobian))
        return log_value[..., None] + error[..., None] * deviates


@dataclass(frozen=True)
class _Profile:
    """log f [n, k] at ascending deviates [k] of Student's t; linear between them and beyond."""

    deviates: FloatArray
    logs: FloatArray

    def at(self, deviates: FloatArray) -> FloatArray:
        """Return log f [n, m] at deviates [m]."""
        left = np.clip(np.searchsorted(self.deviates, deviates) - 1, 0, len(self.deviates) - 2)
        share = (deviates - self.deviates[left]) / np.diff(self.deviates)[left]
        return self.logs[:, left] + share * (self.logs[:, left + 1] - self.logs[:, left])


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
