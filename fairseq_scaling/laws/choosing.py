"""Choose the law of a curve by what it predicts, not by how well it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .averaging import average_fit, errors_ahead
from .curve import Curve, FloatArray
from .engine import solve
from .fitting import default_delta, fit_many, select_points
from .law import Law
from .registry import default_law, get_law, laws_for
from .results import Candidate, Choice, Fit

MAX_SPLITS = 10
HORIZON = 0.7
"""A split is judged on the budgets up to exp(0.7), about twice, beyond its last one (one budget at least)."""

_FIRST_SHARE = 0.4
_PRIOR = {"power_law": 0.3, "bnsl1": 0.3}
_SCORE_PRIOR = {
    "power_law": 0.03,
    "linear_log": 0.03,
    "log_law": 0.03,
    "power_ceiling": 0.1,
    "logistic": 10.0,
    "saturating": 0.3,
    "m4": 0.3,
    "bnsl1": 0.3,
}
"""Weights of the laws before the curve is seen, 1 for the others: six parameters are often too many, for scores four
and five, too; scores have a ceiling, which the first three laws for them know nothing of. Chosen on BLEU of real
translation systems by the size of their training data (``tests/laws/data/bleu_curves.csv`` and others), where the
logistic with free ceiling predicts three to six times nearer than the log-law."""

_SCORE_PRIOR_ABOVE_BASELINE = {**_SCORE_PRIOR, "logistic": 5.0, "saturating": 1.0, "m4": 1.0}
"""The same where a score without pretraining was measured: the curve starts from there, as these two laws can, and not
from 0, as the logistic has to."""


def choose(
    curve: Curve,
    laws: Sequence[Law | str] | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "profile",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    average: bool = True,
) -> Choice:
    """Choose the law of one curve by rolling-origin error on the points not held out (see ``choose_many``)."""
    options = {
        "delta": delta,
        "protocol": protocol,
        "interval": interval,
        "level": level,
        "n_boot": n_boot,
        "seed": seed,
    }
    return choose_many([curve], laws, average=average, **options)[0]  # type: ignore[arg-type]


def choose_many(
    curves: Sequence[Curve],
    laws: Sequence[Law | str] | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "profile",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
    average: bool = True,
) -> list[Choice]:
    """Choose a law for every curve: each candidate is fitted to the first k budgets and predicts the next ones.

    Held-out points are never looked at. A law with more parameters than budgets minus one is no candidate.

    Args:
        laws: candidates; None takes ``laws_for`` the curve.
        average: let the tool stand behind the average of the candidates, weighted by their rolling-origin errors,
            where there are several: with few points the errors cannot tell good laws apart, and combined forecasts are
            better than picked ones (Bates and Granger 1969). False picks the law with the least error.
        others: as in ``fit_many``.
    """
    trials: dict[Law, list[_Trial]] = {}
    per_curve: list[list[_Trial]] = []
    for curve in curves:
        used = select_points(curve, protocol)[0]
        groups = curve.groups(used)
        candidates = tuple(get_law(law) for law in laws) if laws is not None else laws_for(curve)
        possible = [law for law in candidates if law.size <= max(groups.size - 1, 2)] or [default_law(curve)]
        threshold = default_delta(curve) if delta is None else float(delta)
        values = np.log(groups.values)
        own = [
            _Trial(law, curve, np.log(groups.pretrain_tokens), values, groups.weights, threshold, _splits(groups.size))
            for law in possible
        ]
        for trial in own:
            trials.setdefault(trial.law, []).append(trial)
        per_curve.append(own)

    for law, batch in trials.items():
        _run(law, batch)
        fits = fit_many(
            [trial.curve for trial in batch],
            law,
            delta=delta,
            protocol=protocol,
            interval=interval,
            level=level,
            n_boot=n_boot,
            seed=seed,
        )
        for trial, made, expected in zip(batch, fits, errors_ahead(fits), strict=True):
            trial.fit, trial.expected = made, float(expected)
    return [_decide(curve, own, average) for curve, own in zip(curves, per_curve, strict=True)]


@dataclass
class _Trial:
    """One law on one curve: budgets, splits, and (later) the error of every split, the fit to all points and the error
    that it expects ahead."""

    law: Law
    curve: Curve
    log_tokens: FloatArray
    log_values: FloatArray
    weight: FloatArray
    delta: float
    splits: list[int]
    errors: FloatArray | None = None
    fit: Fit | None = None
    expected: float = np.inf


def _splits(budgets: int) -> list[int]:
    """Return the numbers of budgets to fit: from three or 40 % on, at most ``MAX_SPLITS``, evenly spread."""
    first = max(3, int(np.ceil(_FIRST_SHARE * budgets)))
    if first > budgets - 1:
        return []
    return sorted({int(k) for k in np.round(np.linspace(first, budgets - 1, MAX_SPLITS))})


def _run(law: Law, batch: Sequence[_Trial]) -> None:
    """Fit every split of every trial as one batch and set ``errors`` (NaN where the law has too many parameters)."""
    tasks = [(trial, row, k) for trial in batch for row, k in enumerate(trial.splits) if k >= law.size + (law.size > 4)]
    for trial in batch:
        trial.errors = np.full(len(trial.splits), np.nan)
    if not tasks:
        return
    width = max(k for _, _, k in tasks)
    log_tokens, log_values, weight = (np.zeros((len(tasks), width)) for _ in range(3))
    for i, (trial, _, k) in enumerate(tasks):
        log_tokens[i, :k], log_tokens[i, k:] = trial.log_tokens[:k], trial.log_tokens[0]
        log_values[i, :k] = trial.log_values[:k]
        weight[i, :k] = trial.weight[:k]
    deltas = np.array([trial.delta for trial, _, _ in tasks])
    solved = solve(law, log_tokens, log_values, weight, deltas, starts=3, tolerance=1e-5, max_iterations=40)
    for i, (trial, row, k) in enumerate(tasks):
        ahead = trial.log_tokens[k:]
        ahead = ahead[: max(1, int(np.sum(ahead <= trial.log_tokens[k - 1] + HORIZON)))]
        scale = solved.scale[i]
        with np.errstate(all="ignore"):
            predicted = law.evaluate(solved.theta[i : i + 1], scale.z(ahead)[None])[0][0] + scale.level
        error = predicted - trial.log_values[k : k + ahead.size]
        # A law without a value there is as wrong as a factor of twenty.
        trial.errors[row] = np.sqrt(np.mean(np.where(np.isfinite(error), np.clip(error, -3, 3), 3.0) ** 2))  # type: ignore[index]


def _decide(curve: Curve, trials: Sequence[_Trial], average: bool) -> Choice:
    table = np.stack([trial.errors for trial in trials])  # type: ignore[misc]
    tried = np.isfinite(table)
    splits = tried.sum(1)
    with np.errstate(all="ignore"):
        # A law that needs more points than a split has is given the middle error of the others there.
        filled = np.where(tried, table, _median(table))
        errors = np.sqrt(np.mean(filled**2, 1)) if table.shape[1] else np.full(len(trials), np.nan)
    errors = np.where(splits > 0, errors, np.nan)
    names = [trial.law.name for trial in trials]
    known_before = _known_before(curve)
    prior = np.array([known_before.get(name, 1.0) for name in names])
    known = np.isfinite(errors)
    fits = [trial.fit for trial in trials if trial.fit is not None]
    mean = average_fit(curve, fits, prior, errors, np.array([trial.expected for trial in trials]))
    weights = mean.state.weights
    order = sorted(
        range(len(trials)), key=lambda i: (not known[i], errors[i] if known[i] else -weights[i], fits[i].law.size)
    )
    candidates = [
        Candidate(
            fits[i],
            float(errors[i]),
            int(splits[i]),
            float(weights[i]),
            "" if splits[i] else "too few budgets to try it",
        )
        for i in order
    ]
    budgets = len(trials[0].log_tokens)
    sure = bool(known.sum() > 1 and table.shape[1] >= 2)
    best = candidates[0]
    if not average or len(candidates) == 1:
        reason = (
            f"least rolling-origin error ({best.error:.4f})"
            if known.any()
            else f"{_count(budgets)} too few to compare laws"
        )
        return Choice(curve, best.fit, tuple(candidates), reason + ".", sure)
    if known.any():
        reason = (
            f"weighted average of {len(fits)} laws by their rolling-origin errors; "
            f"best single law {best.fit.law.name} ({best.error:.4f})."
        )
    else:
        reason = f"{_count(budgets)} too few to compare laws: average of {len(fits)} laws."
    pooled = float(np.sqrt(np.sum(weights * np.nan_to_num(errors) ** 2))) if known.any() else float("nan")
    first = Candidate(mean, pooled, int(splits.max(initial=0)), 1.0)
    return Choice(curve, mean, (first, *candidates), reason, sure)


def _known_before(curve: Curve) -> Mapping[str, float]:
    """Return what laws are worth before the curve is seen; 1 where it says nothing of a law."""
    if curve.lower_is_better:
        return _PRIOR
    return _SCORE_PRIOR if curve.baseline_value is None else _SCORE_PRIOR_ABOVE_BASELINE


def _count(budgets: int) -> str:
    return "1 budget is" if budgets == 1 else f"{budgets} budgets are"


def _median(table: FloatArray) -> FloatArray:
    """Return the median of the tried laws per split; 0 where none was."""
    result = np.zeros(table.shape[1])
    for column in range(table.shape[1]):
        tried = table[np.isfinite(table[:, column]), column]
        result[column] = np.median(tried) if tried.size else 0.0
    return result
