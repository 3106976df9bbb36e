"""Fit laws to curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, SettingError
from ..quantities import format_tokens
from .curve import Curve
from .fitted import Fit
from .forms.function import FunctionLaw
from .forms.registry import default_law, get_law
from .law import Law
from .numerics.engine import scale_of, solve
from .numerics.inference import Chosen, Settings, infer
from .results import LeftOut

PAPER_BUDGETS = 4
"""Isik et al. fit the coefficients on the four points with the least pretraining data and hold out the rest."""

SCORE_DELTA, LOSS_DELTA = 0.1, 1e-3
"""Huber thresholds of Isik et al. (appendix) for scores and for cross-entropy."""

_INTERVALS = {kind: kind for kind in ("profile", "delta", "case", "parametric")} | {"bootstrap": "parametric"}


def fit(curve: Curve, law: Law | str | Callable[..., Any] | None = None, **options: Any) -> Fit:
    """Fit one law to one curve; options are those of ``fit_many``."""
    return fit_many([curve], law, **options)[0]


def fit_many(
    curves: Sequence[Curve],
    law: Law | str | Callable[..., Any] | None = None,
    *,
    delta: float | None = None,
    protocol: str = "all",
    interval: str = "profile",
    level: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> list[Fit]:
    """Fit a law to every curve, as one batch.

    The objective is sum_i w_i * Huber_delta(log y_i - log f(D_i)), minimised globally inside the law's bounds.

    Args:
        curves: held-out points, points with D_p = 0 and values at or below 0 are left out, and listed in the fit.
        law: a law or its name; None takes the paper's law of the curve's metric (``default_law``). Or a plain function
            f(tokens, *parameters) on arrays; its parameters' defaults are where the search starts (``FunctionLaw``).
        delta: Huber threshold; None takes the paper's (0.1 for scores, 1e-3 for cross-entropy).
        protocol: ``all``, or ``paper``: fit the four smallest budgets, hold out the rest.
        interval: ``profile`` (profile likelihood, t quantiles), ``delta`` (delta method), ``case`` or ``parametric``
            (bootstrap, ``n_boot`` refits; ``bootstrap`` is short for ``parametric``). With ``profile`` the coefficients
            still have the intervals of the delta method.
        level: coverage of the intervals.
        seed: of the bootstrap's random numbers.

    Raises:
        SettingError: an unknown law, protocol or interval, a function whose parameters have no defaults, a level
            outside (0, 1), or a delta not above 0.
        DataError: a curve without any usable point.
    """
    if interval not in _INTERVALS:
        raise SettingError("interval", interval, "unknown", f"choose one of {', '.join(_INTERVALS)}")
    if not 0 < level < 1:
        raise SettingError("level", level, "not between 0 and 1", "write 0.95 for 95 % intervals")
    if delta is not None and not delta > 0:
        raise SettingError("delta", delta, "the Huber threshold must be above 0", "the paper uses 0.1 and 1e-3")
    settings = Settings(protocol, _INTERVALS[interval], level, n_boot, seed)
    by_law: dict[Law, list[int]] = {}
    for position, curve in enumerate(curves):
        by_law.setdefault(_law_of(curve, law, protocol), []).append(position)
    fits: dict[int, Fit] = {}
    for one, positions in by_law.items():
        fits |= zip(positions, _fit_batch([curves[i] for i in positions], one, delta, settings), strict=True)
    return [fits[position] for position in range(len(curves))]


def _law_of(curve: Curve, law: Law | str | Callable[..., Any] | None, protocol: str) -> Law:
    if law is None:
        return default_law(curve)
    if isinstance(law, Law | str):
        return get_law(law)
    points = stack_points([curve], [select_points(curve, protocol).used])
    return FunctionLaw(law, scale_of(*points)[0])


def default_delta(curve: Curve) -> float:
    """Return the paper's Huber threshold: 1e-3 for cross-entropies (by the metric's name), 0.1 for everything else."""
    return LOSS_DELTA if "cross_entropy" in curve.metric.lower() else SCORE_DELTA


def select_points(curve: Curve, protocol: str = "all") -> Chosen:
    """Return which points enter a fit.

    Raises:
        SettingError: an unknown protocol. DataError: no point is left to fit.
    """
    if protocol not in ("all", "paper"):
        raise SettingError("protocol", protocol, "unknown", "choose all or paper")
    tokens, values = curve.pretrain_tokens, curve.values
    usable = np.ones(len(curve), bool)
    left_out = []
    for index in range(len(curve)):
        if tokens[index] == 0:
            reason = "no pretraining (D_p = 0): a baseline, not a point of the law"
        elif not np.isfinite(values[index]):
            reason = "the value is missing"
        elif values[index] <= 0:
            reason = f"{curve.metric} {values[index]:g} is not above 0 and has no logarithm"
        elif curve.case_weights[index] == 0:
            reason = "its weight is 0"
        else:
            continue
        usable[index] = False
        left_out.append(LeftOut(index, float(tokens[index]), float(values[index]), reason))
    judged = usable & curve.held_out
    used = usable & ~curve.held_out
    if protocol == "paper":
        budgets = np.unique(tokens[used])
        if budgets.size > PAPER_BUDGETS:
            late = used & (tokens > budgets[PAPER_BUDGETS - 1])
            used, judged = used & ~late, judged | late
    if not used.any():
        raise DataError(
            f"curve {curve.name!r} ({curve.metric}): no point to fit; {len(curve)} points, "
            f"{int(judged.sum())} of them held out, {len(left_out)} unusable\n"
            + "".join(f"  at {format_tokens(p.pretrain_tokens)} tokens: {p.reason}\n" for p in left_out[:3])
            + "  a fit needs values above 0 at budgets above 0"
        )
    return Chosen(used, judged, tuple(left_out))


def stack_points(
    curves: Sequence[Curve], masks: Sequence[NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return log D_p, log values and weights of the masked points, padded to [b, n] with weight 0."""
    width = max(int(mask.sum()) for mask in masks)
    log_tokens = np.zeros((len(curves), width))
    log_values = np.zeros((len(curves), width))
    weight = np.zeros((len(curves), width))
    for row, (curve, mask) in enumerate(zip(curves, masks, strict=True)):
        count = int(mask.sum())
        log_tokens[row, :count] = np.log(curve.pretrain_tokens[mask])
        log_tokens[row, count:] = log_tokens[row, 0]
        log_values[row, :count] = np.log(curve.values[mask])
        weight[row, :count] = curve.case_weights[mask]
    return log_tokens, log_values, weight


def _fit_batch(curves: Sequence[Curve], law: Law, delta: float | None, settings: Settings) -> list[Fit]:
    chosen = [select_points(curve, settings.protocol) for curve in curves]
    log_tokens, log_values, weight = stack_points(curves, [points.used for points in chosen])
    deltas = np.array([default_delta(curve) if delta is None else float(delta) for curve in curves])
    solved = solve(law, log_tokens, log_values, weight, deltas)
    # The variance comes from least squares: a nearly absolute loss interpolates points, its residuals are too small.
    z, target = solved.scale.z(log_tokens), log_values - solved.scale.level[:, None]
    residual = np.where(weight > 0, target - law.evaluate(solved.theta, z)[0], 0.0)
    rough = np.any(np.abs(residual) > deltas[:, None], 1)
    squares = solved.theta.copy()
    if rough.any():
        wide = np.full(int(rough.sum()), np.inf)
        part = (log_tokens[rough], log_values[rough], weight[rough], wide, solved.scale[rough])
        squares[rough] = solve(law, *part, starts=1, tolerance=1e-9, guess=solved.theta[rough][:, None]).theta
    return [
        infer(curve, law, points, solved[row], squares[row], float(deltas[row]), settings)
        for row, (curve, points) in enumerate(zip(curves, chosen, strict=True))
    ]
