"""Profile likelihood: how far a prediction can move before the points protest.

With S(theta) the sum of squares of a fit, S0 its value at the best theta and s^2 the variance, the signed root of a
value v of log f(D) is

    q(v) = sign(v - best) sqrt((min {S(theta): log f(D; theta) = v} - S0) / s^2)

and the v with |q(v)| <= t are the interval (Venzon and Moolgavkar, Applied Statistics 37, 1988; Bates and Watts,
Nonlinear Regression Analysis and Its Applications, 1988, chapter 6). Where log f is linear in theta this is the delta
method; elsewhere the interval stays within what the law can do, and is as lopsided as the law is.

Its ends are looked for from the other side: the largest and the least log f(D) with S(theta) <= S0 + t^2 s^2, by
Gauss-Newton steps from the best theta, for all D, sides and t at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curve import FloatArray
from ..law import Law, Scale
from .solver import solve_scaled

_STEPS = 20
_PATIENCE = 4
"""Steps after which the linear parameters are solved for as well, after every step: it follows bent valleys."""

_FAR = np.log(1000.0)
"""Nobody needs to know by how much more than a factor of this a prediction may be wrong."""

_LEAP = 2.0
"""How far a step may move log f, by its own reckoning."""

_PRECISION = 0.02
"""A search ends when t^2 is met to this share, and mends the rest linearly."""


@dataclass(frozen=True)
class Likelihood:
    """What the points say of theta: S(theta) = sum_i weight_i (values_i - log f(z_i; theta))^2 and its variance.

    ``z``, ``values`` (logarithms in the law's scale) and ``weight`` are those of the budgets' means [g].
    """

    z: FloatArray
    values: FloatArray
    weight: FloatArray
    variance: float


@dataclass(frozen=True)
class State:
    """The solver's view of a fit: theta [p], its scaling, covariance [p, p], degrees of freedom, and what its intervals
    are made from: bootstrap thetas [b, p], the likelihood, or (where both are None) the covariance."""

    theta: FloatArray
    scale: Scale
    covariance: FloatArray
    freedom: float
    draws: FloatArray | None = None
    likelihood: Likelihood | None = None
    """For profile intervals, None where nothing is known of the variance, or it is 0."""
    tables: dict[bytes, Any] = field(default_factory=dict, repr=False, compare=False)
    """Profiles that were already traced (``predicting``)."""


def deviations(
    law: Law, theta: FloatArray, likelihoods: Sequence[Likelihood], at: FloatArray, roots: FloatArray
) -> FloatArray:
    """Return how far log f can move down and up before S rises to S0 + roots^2 s^2, for f fits of one law.

    Args:
        theta: the best fits [f, p].
        likelihoods: of equally many budgets [f].
        at: z of the predictions [f, m]; the law must have a value there.
        roots: ascending, above 0 [f, k].

    Returns:
        Distances [f, m, 2, k], not below 0.
    """
    (count, places), size = at.shape, 2 * roots.shape[1]
    shape = (count, places, 2, roots.shape[1])
    each = places * size  # rows of one fit
    budgets = [np.stack([getattr(one, name) for one in likelihoods]) for name in ("z", "values", "weight")]
    z, values, weight = (np.repeat(column, each, 0) for column in budgets)
    weight /= np.repeat([one.variance for one in likelihoods], each)[:, None]
    side = np.broadcast_to(np.array([-1.0, 1.0])[:, None], shape).ravel()
    slack = np.broadcast_to(roots[:, None, None] ** 2, shape).ravel()
    points = np.concatenate([z, np.repeat(at.ravel(), size)[:, None]], 1)
    moved, found, squares = _climb(law, np.repeat(theta, each, 0), _Rows(points, values, weight, side, slack))
    # What was found for another place, side or t of the same fit may lead further here.
    with np.errstate(all="ignore"):
        there = law.evaluate(found, np.repeat(at, each, 0))[0] - np.repeat(law.evaluate(theta, at)[0], each, 0)
        there = there.reshape(count, each, places).transpose(0, 2, 1)[:, :, None]
        over = np.sqrt(np.maximum(squares.reshape(count, 1, each) / roots[..., None] ** 2, 1.0))[:, None]
        there = np.nan_to_num(np.where(over < 1 + _PRECISION, there / over, 0.0))
    farthest = np.stack([-there.min(-1), there.max(-1)], 2)
    return np.maximum.accumulate(np.maximum(moved.reshape(shape), farthest), -1)


class _Columns:
    """Arrays with a common first axis [b]."""

    def __getitem__(self, index: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
        return type(self)(*(getattr(self, one.name)[index] for one in fields(self)))  # type: ignore[arg-type]


@dataclass
class _Rows(_Columns):
    """What is looked for, a row for each fit, place, side and t: points and, last, the place [b, g + 1]; values and
    weights / s^2 of the points [b, g]; -1 or 1; t^2 [b]."""

    points: FloatArray
    values: FloatArray
    weight: FloatArray
    side: FloatArray
    slack: FloatArray


@dataclass
class _Look(_Columns):
    """The problems at theta [b, p]: side * log f [b], S / s^2 [b], J'WJ [b, p, p], J'Wr and side * df [b, p]."""

    theta: FloatArray
    reached: FloatArray
    squares: FloatArray
    curvature: FloatArray
    descent: FloatArray
    slope: FloatArray

    def take(self, other: _Look, where: NDArray[np.bool_]) -> _Look:
        """Return self with the rows ``where`` [b] of another."""
        if np.all(where):
            return other
        pairs = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return _Look(*(np.where(where.reshape(-1, *[1] * (old.ndim - 1)), new, old) for old, new in pairs))


def _climb(law: Law, theta: FloatArray, rows: _Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how far side * log f gets from theta [b, p] with S <= S0 + slack s^2 [b], theta there [b, p], and
    (S - S0) / s^2 [b]."""
    count = rows.side.size
    now = _look(law, theta, rows)
    origin, limit = now.reached, now.squares + rows.slack
    damping, price = np.full(count, 1e-3), np.sqrt(rows.slack)
    moved, found, squares = np.zeros(count), now.theta.copy(), np.zeros(count)
    least, places = now.squares, np.arange(count)
    for number in range(1, _STEPS + 1):
        step, price = _step(law, now, limit, damping, price)
        trial = _look(law, np.clip(now.theta + step, law.lower, law.upper), rows)
        if 0 < law.linear < theta.size and number > _PATIENCE:
            answer = _step(law, trial, limit, np.full(len(places), 1e-9), price, law.linear)[0]
            other = _look(law, np.clip(trial.theta + answer, law.lower, law.upper), rows)
            trial = trial.take(other, _better(trial, other, limit, price))
        better = _better(now, trial, limit, price)
        with np.errstate(invalid="ignore"):
            still = np.abs(trial.reached - now.reached) < _PRECISION / 2 * np.abs(trial.reached - origin) + 1e-9
            met = np.abs(trial.squares - limit) < _PRECISION * rows.slack
        now = now.take(trial, better)
        damping = np.where(better, damping * 0.1, np.maximum(damping, 1e-4) * 10)
        done = (better & still & met) | (damping > 1e6) | (now.reached - origin > _FAR) | (number == _STEPS)
        if not np.any(done):
            continue
        reach = (now.reached - origin)[done]
        # Along the profile dS = 2 price d log f.
        mend = (limit - now.squares)[done] / (2 * np.maximum(price[done], 1e-12))
        moved[places[done]] = reach + np.clip(mend, -0.2 * np.abs(reach), 0.02 * np.abs(reach))
        found[places[done]], squares[places[done]] = now.theta[done], now.squares[done] - least[places[done]]
        stay = ~done
        if not np.any(stay):
            break
        rows, now = rows[stay], now[stay]
        places, origin, limit, damping, price = (x[stay] for x in (places, origin, limit, damping, price))
    return moved, found, squares


def _look(law: Law, theta: FloatArray, rows: _Rows) -> _Look:
    with np.errstate(all="ignore"):
        value, jacobian = law.evaluate(theta, rows.points)
        residual = rows.values - value[:, :-1]
        squares = np.sum(rows.weight * residual**2, 1)
        inner = jacobian[:, :-1]
        weighted = (inner * rows.weight[..., None]).transpose(0, 2, 1)
        return _Look(
            theta,
            rows.side * value[:, -1],
            np.where(np.isfinite(squares), squares, np.inf),
            weighted @ inner,
            (weighted @ residual[..., None])[..., 0],
            rows.side[:, None] * jacobian[:, -1],
        )


def _step(
    law: Law, now: _Look, limit: FloatArray, damping: FloatArray, price: FloatArray, only: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the step [b, p] to the end of the linear model's S <= limit, and the price there, half dS / d log f [b].

    Args:
        price: that of the step before, to see which parameters would leave their bounds.
        only: so many parameters, the first ones, may move.
    """
    diagonal = np.diagonal(now.curvature, axis1=1, axis2=2)
    floor = 1e-12 * np.max(diagonal, 1, keepdims=True) + 1e-290
    ridge = damping[:, None] * np.maximum(diagonal, floor) + floor
    eye = np.eye(diagonal.shape[1])
    wish = now.descent + price[:, None] * now.slope
    free = ~((now.theta <= law.lower) & (wish < 0) | (now.theta >= law.upper) & (wish > 0))
    free[:, only:] &= only is None
    matrix = np.where(free[:, :, None] & free[:, None, :], now.curvature + ridge[:, :, None] * eye, eye)
    sides = np.where(free[..., None], np.stack([now.descent, now.slope], -1), 0.0)
    with np.errstate(all="ignore"):
        down, along = np.moveaxis(solve_scaled(matrix, sides), -1, 0)
        room = limit - now.squares + np.sum(now.descent * down, 1)
        price = np.sqrt(np.maximum(room, 0) / np.maximum(np.sum(now.slope * along, 1), 1e-300))
        step = down + price[:, None] * along
        step *= np.minimum(1.0, _LEAP / np.maximum(np.abs(np.sum(now.slope * step, 1)), 1e-300))[:, None]
    return np.nan_to_num(step), np.nan_to_num(price)


def _better(now: _Look, trial: _Look, limit: FloatArray, price: FloatArray) -> NDArray[np.bool_]:
    """Return whether a trial is better [b]: what S exceeds the limit by costs half as much again as it can bring.

    Where the linearised problem has no way to the limit (price 0), a smaller S is better.
    """
    with np.errstate(all="ignore"):
        excess = np.maximum(trial.squares - limit, 0) - np.maximum(now.squares - limit, 0)
        gain = trial.reached - now.reached - 0.75 / np.maximum(price, 1e-12) * excess
        return np.isfinite(trial.reached) & np.where(price > 0, gain > 0, trial.squares < now.squares)
