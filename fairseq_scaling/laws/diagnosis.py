"""Name the kind of a curve, with a test against monotonicity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..quantities import format_tokens
from .curve import Curve, Groups
from .fitting import fit as fit_law
from .isotonic import ShapeTest, shape_test
from .results import Choice, Fit, Verdict

SIGNIFICANT = 0.05
FEWEST_BUDGETS = 4
FLAT_SHARE = 0.05
"""A curve is flat when the points leave room for no change over its range larger than this share of its value, or four
times the noise, but never more than three times this share; otherwise it is trendless."""


def diagnose(curve: Curve, fit: Fit | Choice | None = None, *, noise: float | None = None, seed: int = 0) -> Verdict:
    """Return the verdict on a curve (its held-out points included).

    Args:
        fit: a fit or choice for the curve; None fits the metric's default law.
        noise: standard deviation of one measurement in points of the metric. None takes the curve's seeds, then
            ``curve.attributes["noise"]``, then a stated assumption (``metrics.METRICS``).
        seed: of the simulated distribution of the test.
    """
    groups = curve.groups()
    sigma, freedom, source = measurement_noise(curve, noise)
    evidence: dict[str, Any] = {
        "budgets": groups.size,
        "noise": sigma,
        "noise_source": source,
        "noise_degrees_of_freedom": freedom if np.isfinite(freedom) else None,
        "improves": False,
    }
    if groups.size < FEWEST_BUDGETS:
        sentence = (
            f"{groups.size} budget{'s' * (groups.size != 1)} of pretraining data; at least {FEWEST_BUDGETS} are needed "
            f"to tell a law from chance."
        )
        return Verdict("too few points", sentence, evidence, float("nan"))
    sign = -1.0 if curve.lower_is_better else 1.0
    counts = groups.counts.astype(float)
    test = shape_test(sign * groups.values, counts, sigma, freedom, seed)
    view = _View(curve, groups, sign * groups.values, sigma, source, test)
    evidence |= view.numbers()
    evidence["improves"] = bool(test.up < SIGNIFICANT and test.monotone >= SIGNIFICANT)
    kind, sentence, points = _kind(view, fit, evidence)
    sentence += _against_baseline(view, evidence)
    return Verdict(kind, sentence, evidence, test.monotone, points)


def measurement_noise(curve: Curve, noise: float | None = None) -> tuple[float, float, str]:
    """Return the standard deviation of one measurement in points, for comparing budgets, its degrees of freedom and
    where it comes from."""
    if noise is not None:
        return float(noise), np.inf, "given"
    measured, freedom = curve.noise_between_budgets()
    if freedom >= 2 and measured > 0:
        return measured, float(freedom), "seeds"
    if curve.attributes.get("noise"):
        return float(curve.attributes["noise"]), np.inf, "given"
    usable = curve.values[np.isfinite(curve.values)]
    middle = float(np.median(np.abs(usable))) if usable.size else 1.0
    return max(curve.about.noise_at(middle), 1e-12), np.inf, "assumed"


@dataclass(frozen=True)
class _View:
    curve: Curve
    groups: Groups
    better: np.ndarray
    """Means of the budgets, larger is better [g]."""
    noise: float
    source: str
    test: ShapeTest

    @property
    def log_tokens(self) -> np.ndarray:
        return np.log(self.groups.pretrain_tokens)

    def line(self) -> tuple[float, float]:
        """Return the gain over the whole range by a straight line in log D, and its standard error from the noise."""
        x, weight = self.log_tokens, self.groups.counts
        x = x - np.average(x, weights=weight)
        squares = np.sum(weight * x * x)
        reach = x[-1] - x[0]
        return float(reach * np.sum(weight * x * self.better) / squares), float(reach * self.noise / np.sqrt(squares))

    def numbers(self) -> dict[str, Any]:
        gain, error = self.line()
        return {
            "p_not_monotone": self.test.monotone,
            "p_not_falling": self.test.falling,
            "p_trend_up": self.test.up,
            "p_trend_down": self.test.down,
            "gain_over_range": gain,
            "gain_standard_error": error,
            "isotonic": (-self.test.rising if self.curve.lower_is_better else self.test.rising).tolist(),
        }

    def points_of(self, budgets: np.ndarray) -> tuple[int, ...]:
        return tuple(int(i) for i in np.flatnonzero(np.isin(self.groups.index, budgets)))


def _kind(view: _View, fit: Fit | Choice | None, evidence: dict[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    test, metric, span = view.test, view.curve.metric, _span(view.groups)
    gain, error = view.line()
    by = f"(noise of one run {view.noise:.2g}, {view.source})"
    worse = "rises" if view.curve.lower_is_better else "falls"

    if test.monotone < SIGNIFICANT:
        if test.down < SIGNIFICANT and test.falling >= SIGNIFICANT and gain < 0:
            sentence = (
                f"{metric} {worse} by {-gain:.3g} from {span}: more pretraining hurts (p = {test.down:.2g}) {by}."
            )
            return "inverse", sentence, view.points_of(np.arange(1, view.groups.size))
        drops = np.flatnonzero(np.abs(test.excess) > 1.0)
        reversals = _reversals(view)
        explained = _explained(view)
        evidence |= {"reversals": reversals, "explained_by_monotone": explained}
        if reversals >= 3 and explained > 0.75 and test.up < SIGNIFICANT:
            sentence = (
                f"{metric} improves over {span} but jumps by more than the noise {reversals} times on the way {by}."
            )
            return "noisy", sentence, view.points_of(drops)
        where = ", ".join(format_tokens(view.groups.pretrain_tokens[i]) for i in drops) or "several budgets"
        sentence = (
            f"{metric} does not simply improve with pretraining: the points at {where} contradict any curve that only "
            f"improves (p = {test.monotone:.2g}) {by}."
        )
        return "non-monotonic", sentence, view.points_of(drops)

    if test.up >= SIGNIFICANT:
        if test.down < SIGNIFICANT and gain < 0:
            sentence = f"{metric} {worse} by {-gain:.3g} from {span} (p = {test.down:.2g}) {by}."
            return "inverse", sentence, view.points_of(np.arange(1, view.groups.size))
        ceiling = abs(gain) + 2 * error
        middle = float(np.median(np.abs(view.better)))
        small = max(FLAT_SHARE * middle, min(4 * view.noise, 3 * FLAT_SHARE * middle))
        evidence["largest_gain_compatible"] = ceiling
        if ceiling < small:
            sentence = f"{metric} stays flat from {span}: at most {ceiling:.2g} is gained over the whole range {by}."
            return "saturated", sentence, ()
        sentence = (
            f"no trend from {span} that stands out of the noise; a change of up to {ceiling:.2g} could hide in it {by}."
        )
        return "trendless", sentence, ()

    breakthrough = _breakthrough(view)
    if breakthrough is not None:
        at = format_tokens(view.groups.pretrain_tokens[breakthrough])
        sentence = (
            f"{metric} stays flat at first and then leaps at {at} tokens: the earlier points do not foretell it {by}."
        )
        return "breakthrough", sentence, view.points_of(np.array([breakthrough]))
    late = _late_gain(view)
    evidence |= {"late_gain": late[0], "late_gain_standard_error": late[1]}
    if late[2] and late[0] + 2 * late[1] < max(0.15 * gain, 2 * view.noise) and late[0] < 0.05 * gain:
        sentence = (
            f"{metric} improved at first but not over the last budgets ({late[0]:+.2g}): "
            f"it has reached its plateau {by}."
        )
        return "saturated", sentence, ()
    law = fit if fit is not None else _safe_fit(view.curve)
    if law is None:
        return "follows the law", f"{metric} improves steadily with pretraining from {span} {by}.", ()
    one = law.fit if isinstance(law, Choice) else law
    residual = one.residuals[np.isfinite(one.residuals)]
    typical = float(np.sqrt(np.mean(residual**2)))
    evidence |= {"law": one.law.name, "residual": typical}
    relative = view.noise / max(float(np.median(np.abs(view.better))), 1e-12)
    total = abs(float(np.log(np.max(np.abs(view.better)) / max(np.min(np.abs(view.better)), 1e-12))))
    if gain < 3 * error or (typical > 3 * relative and typical > total / 3):
        sentence = f"{metric} improves from {span} by {gain:.3g}, but the scatter is nearly as large {by}."
        return "noisy", sentence, ()
    sentence = f"{metric} improves from {span} by {gain:.3g}, and the {one.law.title} is off by {typical:.1%} {by}."
    return "follows the law", sentence, ()


def _against_baseline(view: _View, evidence: dict[str, Any]) -> str:
    """Compare the largest budget with the runs without pretraining, in the evidence and, when it matters, in words."""
    baseline = view.curve.baseline_value
    if baseline is None:
        return ""
    sign = -1.0 if view.curve.lower_is_better else 1.0
    above = float(sign * (view.groups.values[-1] - baseline))
    # What a seed does at every budget alike it may do to the baseline, too, or not.
    noise = np.fmax(view.noise, view.curve.seed_noise()[0])
    error = float(noise * np.sqrt(1 / view.groups.counts[-1] + 1 / np.atleast_1d(np.asarray(view.curve.baseline)).size))
    evidence |= {"gain_over_baseline": above, "gain_over_baseline_standard_error": error}
    if above < -2 * error:
        return f" It is still worse than without pretraining ({baseline:.3g})."
    if above < 2 * error:
        return f" It is no better than without pretraining ({baseline:.3g})."
    return ""


def _span(groups: Groups) -> str:
    return f"{format_tokens(groups.pretrain_tokens[0])} to {format_tokens(groups.pretrain_tokens[-1])} tokens"


def _reversals(view: _View) -> int:
    """Return how often the curve turns by more than the noise."""
    steps = np.diff(view.better)
    limit = 1.5 * view.noise * np.sqrt(1 / view.groups.counts[1:] + 1 / view.groups.counts[:-1])
    signs = np.sign(steps[np.abs(steps) > limit])
    return int(np.sum(signs[1:] != signs[:-1]))


def _explained(view: _View) -> float:
    weight = view.groups.counts
    mean = np.average(view.better, weights=weight)
    total = np.sum(weight * (view.better - mean) ** 2)
    return float(1 - np.sum(weight * (view.better - view.test.rising) ** 2) / total) if total > 0 else 0.0


def _breakthrough(view: _View) -> int | None:
    """Return the budget of a leap: most of the rise in one step, hardly any in at least two steps before it."""
    rising = view.test.rising
    total = rising[-1] - rising[0]
    steps = np.diff(rising)
    if total < 5 * view.noise or len(steps) < 4:
        return None
    leap = int(np.argmax(steps))
    share = steps[leap] / total
    wide = np.diff(view.log_tokens)
    usual = wide[leap] <= 2 * np.median(wide)
    if leap >= 2 and usual and share > 0.5 and rising[leap] - rising[0] < 0.15 * total:
        return leap + 1
    return None


def _late_gain(view: _View) -> tuple[float, float, bool]:
    """Return the slope's gain over the upper half of log D, its standard error, and whether three budgets lie there."""
    x, weight = view.log_tokens, view.groups.counts
    upper = x >= (x[0] + x[-1]) / 2 - 1e-9
    if upper.sum() < 3:
        return float("nan"), float("nan"), False
    x, weight, y = x[upper], weight[upper], view.better[upper]
    x = x - np.average(x, weights=weight)
    squares = np.sum(weight * x * x)
    reach = x[-1] - x[0]
    return float(reach * np.sum(weight * x * y) / squares), float(reach * view.noise / np.sqrt(squares)), True


def _safe_fit(curve: Curve) -> Fit | None:
    from ..errors import DataError

    try:
        return fit_law(curve)
    except DataError:
        return None
