"""What the laws advise: more data, other data, enough data, or more measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..quantities import format_tokens
from .averaging import AverageState
from .composite import Composite
from .curve import Curve, FloatArray
from .diagnosis import diagnose
from .fitting import fit as fit_law
from .inference import State
from .predicting import evaluate_log
from .results import Advice, Choice, Estimate, Fit, MixtureComparison, Verdict

GAIN_FACTORS = (2.0, 4.0, 10.0)
WORTHWHILE_SHARE = 0.01
"""A doubling of the data that adds less than this share of the value reached is not worth its cost, unless told
otherwise."""

_ENDING = ("stop", "finetuning data suffices", "change the data")
"""After these more of the same pretraining is not wanted."""

_DRAWS = 4000
_WELL_ALIGNED = 0.9  # of the paper's score, in which balanced source and target make 1
_REACH = 1e6
"""How far beyond the largest budget a wanted score is looked for."""


def advise(
    curve: Curve,
    fit: Fit | Choice | None = None,
    verdict: Verdict | None = None,
    *,
    worthwhile: float | None = None,
    factors: Sequence[float] = GAIN_FACTORS,
) -> Advice:
    """Return the paper's advice for a curve.

    Args:
        fit, verdict: made when None.
        worthwhile: the smallest gain from doubling the data that is worth its cost, in points of the metric; by default
            1 % of the value reached.
        factors: of the largest D_p measured, for the gains.
    """
    one = _fit_of(fit) if fit is not None else fit_law(curve)
    verdict = diagnose(curve, one) if verdict is None else verdict
    gains = _gains(one, curve, [2.0, *factors])
    doubling = gains[2.0]
    reached = float(curve.groups().values[-1])
    worthwhile = WORTHWHILE_SHARE * abs(reached) if worthwhile is None else worthwhile
    action, why = _action(verdict, doubling, worthwhile, curve)
    settled = _is_settled(action, verdict, doubling, worthwhile)
    if action == "add data" and _against_baseline(verdict) < -2:
        below = -verdict.evidence["gain_over_baseline"]
        most = _gains(one, curve, [10.0])[10.0]
        if most.value < below:
            action, why = "change the data", "even ten times the data is expected to stay worse than no pretraining."
            settled = bool(most.upper < below)
    top = format_tokens(float(curve.groups().pretrain_tokens[-1]))
    sentence = f"{action[0].upper()}{action[1:]}: {why}"
    if verdict.kind in ("follows the law", "breakthrough", "noisy") and np.isfinite(doubling.value):
        sentence += f" Twice the data beyond {top} tokens promises {_signed(doubling)} {curve.metric}."
    chosen = {factor: gains[factor] for factor in factors}
    return Advice(action, sentence, why, chosen, _next_budget(one, curve), settled)


def tokens_for(fit: Fit | Choice, score: float, level: float | None = None) -> Estimate:
    """Return the D_p (tokens) at which the law reaches ``score``, with an interval; inf where it never does.

    Looked for from the smallest budget to a million times the largest.
    """
    one = _fit_of(fit)
    groups = one.curve.groups()
    grid = np.geomspace(groups.pretrain_tokens[0], groups.pretrain_tokens[-1] * _REACH, 600)
    sign = -1.0 if one.curve.lower_is_better else 1.0
    value = _first_reached(sign * one.values(grid)[None], sign * score, grid)[0]
    level = one.level if level is None else level
    tail = (1 - level) / 2
    drawn = one.draws(grid, _DRAWS)
    if np.isnan(drawn).all():
        return Estimate(float(value), unit="tokens")
    reached = _first_reached(sign * drawn, sign * score, grid)
    lower, upper = np.quantile(reached, [tail, 1 - tail], method="nearest")
    return Estimate(float(value), float(lower), float(upper), unit="tokens")


def compare_mixtures(
    first: Fit | Choice, second: Fit | Choice, pretrain_tokens: float, *, size: int = _DRAWS, seed: int = 0
) -> MixtureComparison:
    """Return which of two curves is ahead at ``pretrain_tokens``, with what probability, and where their laws cross."""
    return compare_pairs([first, second], [(0, 1, pretrain_tokens)], size=size, seed=seed)[0]


def compare_pairs(
    fits: Sequence[Fit | Choice], pairs: Sequence[tuple[int, int, float]], *, size: int = _DRAWS, seed: int = 0
) -> list[MixtureComparison]:
    """Return what ``compare_mixtures`` does for many pairs: (place of the first in ``fits``, of the second, D_p).

    Where curves have the same budgets, as those of a study, each is drawn once, however many pairs it stands in.
    """
    made = [_fit_of(fit) for fit in fits]
    known: dict[tuple[int, float, float, float], FloatArray] = {}

    def draws(place: int, tokens: float, grid: FloatArray) -> FloatArray:
        key = (place, tokens, grid[0], grid[-1])
        if key not in known:
            # Different seeds: the curves were measured independently.
            known[key] = made[place].draws(np.r_[tokens, grid], size, len(made) * seed + place)
        return known[key]

    comparisons = []
    for one, two, tokens in pairs:
        budgets = [made[place].curve.groups().pretrain_tokens for place in (one, two)]
        grid = np.geomspace(min(own[0] for own in budgets), 10 * max(own[-1] for own in budgets), 200)
        drawn = draws(one, tokens, grid) - draws(two, tokens, grid)
        comparisons.append(_comparison(made[one], made[two], tokens, grid, drawn))
    return comparisons


def _comparison(one: Fit, two: Fit, pretrain_tokens: float, grid: FloatArray, drawn: FloatArray) -> MixtureComparison:
    """Return the comparison of two laws from draws of their difference, at D_p and along the grid [b, 1 + g]."""
    names = (one.curve.name, two.curve.name)
    sign = -1.0 if one.curve.lower_is_better else 1.0
    point = sign * (one.values([pretrain_tokens]) - two.values([pretrain_tokens]))
    drawn = sign * drawn
    difference = drawn[:, 0]
    if np.isnan(difference).all():
        ahead, interval = float("nan"), Estimate(float(point[0]))
    else:
        ahead = float(np.mean(difference > 0))
        lower, upper = np.nanquantile(difference, [0.025, 0.975])
        interval = Estimate(float(point[0]), float(lower), float(upper))
    first_wins = point[0] > 0 if np.isnan(ahead) else ahead >= 0.5
    better = names[0] if first_wins else names[1]
    probability = ahead if first_wins else 1 - ahead
    crossings = _crossings(drawn[:, 1:], grid)
    share = float(np.mean(np.isfinite(crossings))) if crossings.size else 0.0
    crossing = Estimate(float("nan"), unit="tokens")
    where = "their laws do not cross there"
    if share >= 0.5:
        middle, lower, upper = np.nanquantile(crossings, [0.5, 0.025, 0.975])
        crossing = Estimate(float(middle), float(lower), float(upper), unit="tokens")
        where = f"their laws cross near {format_tokens(float(middle))} tokens"
    sure = "" if np.isnan(probability) else f" with probability {probability:.0%}"
    sentence = (
        f"At {format_tokens(pretrain_tokens)} tokens {better} is ahead{sure} "
        f"by {abs(point[0]):.2g} {one.curve.metric}; {where}."
    )
    return MixtureComparison(
        names, float(pretrain_tokens), better, float(probability), interval, crossing, share, sentence
    )


def _fit_of(fit: Fit | Choice) -> Fit:
    return fit.fit if isinstance(fit, Choice) else fit


def _action(verdict: Verdict, doubling: Estimate, worthwhile: float, curve: Curve) -> tuple[str, str]:
    metric = curve.metric
    if verdict.kind == "too few points":
        return "run more points", verdict.sentence
    if verdict.kind in ("non-monotonic", "inverse"):
        if float(curve.attributes.get("alignment") or 0.0) >= _WELL_ALIGNED:
            # The paper's advice, other data, is for mixtures that are not aligned; this one has nothing to gain there.
            return (
                "run more points",
                f"{metric} does not improve steadily although the mixture is aligned with the task; look at the noise "
                "(more seeds), the learning rates and the length of the outputs first.",
            )
        return (
            "change the data",
            f"{metric} does not improve steadily with more of this mixture; it may not be aligned enough with the "
            "task.",
        )
    if verdict.kind == "trendless":
        return "run more points", "the noise hides whatever trend there is; more seeds or a wider range would show it."
    if verdict.kind == "saturated":
        if verdict.evidence.get("improves"):
            return "stop", f"{metric} has reached its plateau."
        if _against_baseline(verdict) > 2:
            smallest = format_tokens(float(curve.groups().pretrain_tokens[0]))
            return "stop", f"{metric} stays flat: the first {smallest} tokens bring what pretraining brings."
        return (
            "finetuning data suffices",
            f"{metric} stays flat: the finetuning set is large enough, pretraining adds nothing.",
        )
    if verdict.kind == "noisy" and not doubling.lower > 0:
        return "run more points", "the scatter is nearly as large as the gain; more seeds would separate them."
    if np.isfinite(doubling.upper) and doubling.upper < worthwhile:
        return "stop", f"doubling the data gains less than {worthwhile:.2g} {metric}."
    if doubling.value < worthwhile:
        return "stop", f"doubling the data is expected to gain less than {worthwhile:.2g} {metric}."
    if np.isfinite(doubling.lower) and doubling.lower > 0:
        return "add data", f"{metric} still improves with pretraining."
    return "run more points", f"{metric} improves, but the points do not yet say whether it goes on."


def _is_settled(action: str, verdict: Verdict, doubling: Estimate, worthwhile: float) -> bool:
    """Return whether an advice ends pretraining, and does so by more than an expected gain."""
    if action == "stop" and verdict.kind != "saturated":
        return bool(doubling.upper < worthwhile)
    return action in _ENDING


def _against_baseline(verdict: Verdict) -> float:
    """Return the gain of the largest budget over no pretraining, in its standard errors; 0 where that is not known."""
    gain = float(verdict.evidence.get("gain_over_baseline", 0.0))
    error = float(verdict.evidence.get("gain_over_baseline_standard_error", 0.0))
    return gain / error if error else float(np.sign(gain)) * np.inf if gain else 0.0


def _gains(fit: Fit, curve: Curve, factors: Sequence[float]) -> dict[float, Estimate]:
    """Return gains over the law's value at the largest budget, positive when better."""
    sign = -1.0 if curve.lower_is_better else 1.0
    top = float(curve.groups().pretrain_tokens[-1])
    at = top * np.array([1.0, *factors])
    value = fit.values(at)
    drawn = fit.draws(at, _DRAWS)
    tail = (1 - fit.level) / 2
    gains = {}
    for i, factor in enumerate(factors, 1):
        with np.errstate(invalid="ignore", over="ignore"):
            change = sign * (drawn[:, i] - drawn[:, 0])
        point = float(sign * (value[i] - value[0]))
        if np.isnan(change).all():
            gains[factor] = Estimate(point)
            continue
        lower, upper = np.nanquantile(change, [tail, 1 - tail])
        with np.errstate(invalid="ignore", over="ignore"):  # a wild draw may be as large as numbers go
            spread = float(np.nanstd(change))
        gains[factor] = Estimate(point, float(min(lower, point)), float(max(upper, point)), spread)
    return gains


def _next_budget(fit: Fit, curve: Curve) -> float:
    """Return the D_p up to twice the largest one whose measurement would shrink the variance at ten times it most."""
    if isinstance(fit.state, AverageState):
        fit = fit.state.fits[int(np.argmax(fit.state.weights))]
    if isinstance(fit.state, Composite):
        return float("nan")
    state: State = fit.state
    if not np.all(np.isfinite(state.covariance)) or not np.isfinite(fit.sigma):
        return float("nan")
    budgets = curve.groups().pretrain_tokens
    candidates = np.geomspace(budgets[0], 2 * budgets[-1], 120)
    there = evaluate_log(fit, np.array([10 * budgets[-1]]))[1][0]
    here = evaluate_log(fit, candidates)[1]
    spread = np.einsum("ni,ij,nj->n", here, state.covariance, here)
    shared = here @ state.covariance @ there
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = shared**2 / (spread + fit.sigma**2)
    return float(candidates[int(np.nanargmax(gain))]) if np.any(np.isfinite(gain)) else float("nan")


def _first_reached(values: FloatArray, wanted: float, grid: FloatArray) -> FloatArray:
    """Return the first grid position, interpolated in log D, where rows [b, n] reach ``wanted``; inf where none
    does."""
    above = values >= wanted
    hit = above.any(1)
    at = np.argmax(above, 1)
    before = np.maximum(at - 1, 0)
    rows = np.arange(len(values))
    low, high = values[rows, before], values[rows, at]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, (wanted - low) / (high - low), 1.0)
    position = np.exp(np.log(grid[before]) + np.clip(share, 0, 1) * (np.log(grid[at]) - np.log(grid[before])))
    return np.where(hit, np.where(at == 0, grid[0], position), np.inf)


def _crossings(difference: FloatArray, grid: FloatArray) -> FloatArray:
    """Return where every draw [b, n] changes sign last; NaN where it does not."""
    with np.errstate(invalid="ignore"):
        change = np.sign(difference[:, 1:]) * np.sign(difference[:, :-1]) < 0
    last = change.shape[1] - 1 - np.argmax(change[:, ::-1], 1)
    return np.where(change.any(1), np.sqrt(grid[last] * grid[last + 1]), np.nan)


def _signed(gain: Estimate) -> str:
    interval = "" if not np.isfinite(gain.lower) else f" [{gain.lower:+.2g}, {gain.upper:+.2g}]"
    return f"{gain.value:+.2g}{interval}"
