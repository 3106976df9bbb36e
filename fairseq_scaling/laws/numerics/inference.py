"""From a minimum to a fit: variance, coefficients with intervals, what is identified."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..curve import Curve, FloatArray, Groups
from ..fitted import Fit
from ..law import Law
from ..results import Estimate, HeldOutError, LeftOut
from .bootstrap import refit
from .engine import Solved
from .profile import Likelihood, State
from .statistics import f_quantile, huber_inflation, t_quantile

_WORTH_OF_SEEDS = 2.0
"""Degrees of freedom that the variance by seeds counts at most beside that of the residuals, in the manner of Smyth
(Statistical Applications in Genetics and Molecular Biology 3, 2004); none where the residuals contradict it."""


class Settings(NamedTuple):
    """What ``fit_many`` was told, beside law and threshold."""

    protocol: str
    interval: str
    level: float
    n_boot: int
    seed: int


class Chosen(NamedTuple):
    """The points that enter a fit [n], those that judge it [n], and the others with the reason."""

    used: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    left_out: tuple[LeftOut, ...]


def infer(
    curve: Curve, law: Law, chosen: Chosen, solved: Solved, squares: FloatArray, delta: float, settings: Settings
) -> Fit:
    """Return the fit at the minimum of one problem.

    Budgets, not points, are the independent measurements: residuals are averaged over the seeds of a budget first, so
    that the variance holds the run-to-run differences that the seeds of one pretraining run share.

    Args:
        solved: the minimum, of one row. squares: the least-squares minimum [p], whose residuals give the variance.
    """
    used, theta, scale = chosen.used, solved.theta, solved.scale
    groups = curve.groups(used)
    log_tokens = np.log(groups.pretrain_tokens)
    z = scale.z(log_tokens)
    budget_weight = groups.weights
    member = groups.index[used]
    weights = curve.case_weights[used]
    observed = np.log(curve.values[used])
    means = np.bincount(member, weights * observed, groups.size) / budget_weight
    freedom = float(groups.size - law.size)
    notes, reasons = [], []

    fitted, jacobian = (part[0] for part in law.evaluate(theta[None], z[None]))
    loose = means - scale.level - law.evaluate(squares[None], z[None])[0][0]
    variance = float(np.sum(budget_weight * loose**2) / freedom) if freedom > 0 else np.nan
    freedom = max(freedom, 0.0)
    known, repeats = _variance_by_seeds(curve, used, groups)
    if repeats and groups.size >= law.size and not variance > f_quantile(0.95, freedom, repeats) * known:
        worth = min(repeats, _WORTH_OF_SEEDS)
        variance = (freedom * np.nan_to_num(variance) + worth * known) / (freedom + worth)
        freedom += worth
        if groups.size == law.size:
            notes.append("as many budgets as parameters: the intervals rest on the spread of the seeds alone")
    sigma = float(np.sqrt(variance))
    variance *= huber_inflation(delta / sigma if sigma > 0 else np.inf)
    covariance = _covariance(jacobian, budget_weight, variance)

    draws = likelihood = None
    if settings.interval == "profile":
        if variance > 0 and freedom > 0 and np.all(np.isfinite(covariance)):
            # The residuals are those of least squares, so that theta is the minimum of this sum of squares, too.
            likelihood = Likelihood(z, fitted + loose, budget_weight, variance)
    elif settings.interval != "delta" and np.isfinite(sigma):
        wanted = (settings.interval, settings.n_boot, settings.seed)
        draws = refit(law, scale, theta, log_tokens, means, budget_weight, delta, sigma, freedom, *wanted)
    state = State(theta, scale, covariance, freedom, draws, likelihood)
    coefficients, natural_jacobian = _coefficients(law, state, settings.level)
    condition = _condition(jacobian, budget_weight, natural_jacobian)
    reasons += law.limits(theta)
    reasons += _too_few(law, groups.size)
    if np.isfinite(sigma):
        reasons += _undetermined(coefficients)
    if not solved.converged:
        notes.append(f"the solver stopped after {int(solved.iterations)} steps")
    if condition > 1e3:
        notes.append(f"condition number {condition:.1e}: the coefficients trade off, read the predictions instead")

    residuals = np.full(len(curve), np.nan)
    positive = (curve.pretrain_tokens > 0) & np.isfinite(curve.values) & (curve.values > 0)
    with np.errstate(all="ignore"):
        predicted = (
            law.evaluate(theta[None], scale.z(np.log(curve.pretrain_tokens[positive]))[None])[0][0] + scale.level
        )
    residuals[positive] = np.log(curve.values[positive]) - predicted
    return Fit(
        curve=curve,
        law=law,
        coefficients=coefficients,
        objective=float(solved.objective),
        delta=delta,
        protocol=settings.protocol,
        interval=settings.interval,
        level=settings.level,
        **chosen._asdict(),
        residuals=residuals,
        degrees_of_freedom=max(0, groups.size - law.size),
        sigma=sigma,
        condition_number=condition,
        identified=not reasons,
        reasons=tuple(reasons),
        notes=tuple(notes),
        held_out=held_out_error(curve, residuals, chosen.judged),
        iterations=int(solved.iterations),
        converged=bool(solved.converged),
        state=state,
    )


def held_out_error(curve: Curve, residuals: FloatArray, judged: NDArray[np.bool_]) -> HeldOutError | None:
    """Return the errors on the points ``judged``, or None where there are none. A prediction that does not exist is
    inf."""
    if not judged.any():
        return None
    log_error = np.where(np.isfinite(residuals[judged]), residuals[judged], np.inf)
    values = curve.values[judged]
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = values * np.exp(-log_error)
        return HeldOutError(
            rmsle=float(np.sqrt(np.mean(log_error**2))),
            relative=float(np.mean(np.abs(predicted / values - 1))),
            absolute=float(np.mean(np.abs(predicted - values))),
            bias=float(np.mean(-log_error)),
            n=int(judged.sum()),
        )


def _variance_by_seeds(curve: Curve, used: NDArray[np.bool_], groups: Groups) -> tuple[float, float]:
    """Return the variance of a measurement around the law that the seeds lead one to expect, and degrees of freedom.

    Seeds of finetuning show their own noise; each budget's pretraining adds to it (Sellam et al., The MultiBERTs, ICLR
    2022). How much, a few residuals cannot say: the two are assumed to be equal. (nan, 0) where no budget was measured
    twice.

    Args:
        used: the points of the fit [n].
        groups: their budgets.
    """
    if groups.counts.max(initial=0) < 2:
        return float("nan"), 0.0
    logs = np.log(np.where(used, curve.values, np.nan))
    noise, freedom = replace(curve, values=logs).noise_between_budgets()
    return noise**2 * (1 + float(np.mean(groups.weights))), float(freedom)


def _covariance(jacobian: FloatArray, weight: FloatArray, variance: float) -> FloatArray:
    """Return variance * (J' W J)^-1 [p, p]; NaN where the points do not determine theta at all."""
    size = jacobian.shape[1]
    if not np.isfinite(variance) or not np.all(np.isfinite(jacobian)):
        return np.full((size, size), np.nan)
    root = jacobian * np.sqrt(weight)[:, None]
    length = np.sqrt(np.sum(root**2, 0))
    length[length == 0] = 1.0
    _, values, right = np.linalg.svd(root / length, full_matrices=True)
    full = np.zeros(size)
    full[: values.size] = values
    # Directions the points do not see get a huge variance instead of none.
    inverse = 1 / np.maximum(full, 1e-7) ** 2
    return variance * (right.T * inverse) @ right / np.outer(length, length)


def _coefficients(law: Law, state: State, level: float) -> tuple[dict[str, Estimate], FloatArray]:
    with np.errstate(all="ignore"):
        values, slopes = law.natural(state.theta, state.scale)
        tail = (1 - level) / 2
        if state.draws is not None:
            drawn = np.stack([law.natural(theta, state.scale)[0] for theta in state.draws])
            lower, upper = np.nanquantile(
                np.where(np.isinf(drawn), np.sign(drawn) * 1e300, drawn), [tail, 1 - tail], axis=0
            )
            error = drawn.std(0, ddof=1)
        else:
            error = np.sqrt(np.diag(slopes @ state.covariance @ slopes.T))
            reach = t_quantile(1 - tail, state.freedom) * error
            lower, upper = values - reach, values + reach
    estimates = {}
    for i, parameter in enumerate(law.parameters):
        low, high = float(lower[i]), float(upper[i])
        if np.isfinite(low):
            low, high = max(low, parameter.lower), min(high, parameter.upper)
        estimates[parameter.name] = Estimate(float(values[i]), low, high, float(error[i]), parameter.unit)
    return estimates, slopes


def _condition(jacobian: FloatArray, weight: FloatArray, natural: FloatArray) -> float:
    """Return the condition number of the Jacobian by natural coefficients, its columns scaled to length 1."""
    if not np.all(np.isfinite(natural)) or not np.all(np.isfinite(jacobian)):
        return float("inf")
    try:
        by_natural = (jacobian * np.sqrt(weight)[:, None]) @ np.linalg.inv(natural)
    except np.linalg.LinAlgError:
        return float("inf")
    size = np.max(np.abs(by_natural), 0)  # first to size 1: squares of steep columns overflow
    by_natural = by_natural / np.where(size > 0, size, 1.0)
    length = np.sqrt(np.sum(by_natural**2, 0))
    if not np.all(length > 0) or len(jacobian) < jacobian.shape[1]:
        return float("inf")
    return float(np.linalg.cond(by_natural / length))


def _too_few(law: Law, budgets: int) -> list[str]:
    spare = budgets - law.size
    if spare < 0:
        return [f"{budgets} budgets cannot determine {law.size} parameters: many laws of this form fit equally well"]
    if spare == 0:
        return [f"{budgets} budgets for {law.size} parameters: the law passes through the points, untested"]
    if spare == 1:
        return [f"{budgets} budgets for {law.size} parameters: one degree of freedom, the intervals are very wide"]
    return []


def _undetermined(coefficients: dict[str, Estimate]) -> list[str]:
    reasons = []
    for name, estimate in coefficients.items():
        reach = estimate.upper - estimate.lower
        # A logarithm is loose when its factor is unknown by more than ten either way, anything else at +- 100 %.
        loose = reach > 2 * np.log(10) if name.startswith("log ") else reach > 2 * abs(estimate.value)
        if loose:
            reasons.append(f"{name} = {estimate} is not determined by these points")
    return reasons
