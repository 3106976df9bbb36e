"""Pretraining and finetuning data together: one law over both for a mixture that was finetuned on several D_f."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import laws
from ..metrics import Metric
from ..quantities import PRETRAIN_TOKENS
from .curve_result import CurveResult, Use

FEWEST_SIZES = 3
"""Of fewer finetuning sizes the law over both would only interpolate."""
_REFITS = 400


@dataclass(frozen=True)
class JointResult:
    """L = E + A / (D_p^alpha D_f^beta) over all curves of one mixture, task and loss (Zhang et al. 2024).

    ``doubled`` says what twice the data would gain beyond the largest sizes, in points of the loss, positive when
    better: ``pretraining``, ``finetuning``, or ``both``. ``residual`` is the root mean square of the logarithms.
    """

    curves: tuple[str, ...]
    metric: Metric
    finetune_tokens: tuple[int, ...]
    coefficients: Mapping[str, laws.Estimate]
    residual: float
    doubled: Mapping[str, laws.Estimate]


def joint_results(curves: Sequence[CurveResult], level: float, seed: int) -> list[JointResult]:
    """Return the law over D_p and D_f of every mixture whose loss was measured with three finetuning sizes or more."""
    groups: dict[Hashable, list[CurveResult]] = defaultdict(list)
    for curve in curves:
        one = curve.setting
        if curve.metric.is_loss and curve.forecast and one.finetune_tokens and curve.x.name == PRETRAIN_TOKENS.name:
            model = (one.architecture, one.parameters, one.corpus, one.test_set)
            groups[curve.metric.name, one.task, one.mixture_label, *model].append(curve)
    found = []
    for members in groups.values():
        if len({curve.setting.finetune_tokens for curve in members}) >= FEWEST_SIZES:
            found.append(_fit(members, level, seed))
    return found


def _fit(curves: Sequence[CurveResult], level: float, seed: int) -> JointResult:
    rows = [
        (point.pretrain_tokens, curve.setting.finetune_tokens or 0, point.value)
        for curve in curves
        for point in curve.points
        if point.use is Use.FITTED and point.value > 0
    ]
    pretrained, finetuned, values = np.array(rows, float).T
    fit = laws.fit_surface(pretrained, finetuned, values, "joint", level=level, n_boot=_REFITS, seed=seed)
    assert fit.draws is not None
    largest = np.log([pretrained.max(), finetuned.max()])
    steps = {"pretraining": (1, 0), "finetuning": (0, 1), "both": (1, 1)}
    drawn = fit.draws[:, 1] - fit.draws[:, 2:] @ largest
    doubled = {}
    for name, step in steps.items():
        shrunk = fit.draws[:, 2:] @ (np.log(2) * np.array(step))
        gains = np.exp(drawn) - np.exp(drawn - shrunk)
        lower, value, upper = np.quantile(gains, [(1 - level) / 2, 0.5, (1 + level) / 2])
        doubled[name] = laws.Estimate(float(value), float(lower), float(upper))
    return JointResult(
        tuple(dict.fromkeys(curve.name for curve in curves)),
        curves[0].metric,
        tuple(sorted({curve.setting.finetune_tokens or 0 for curve in curves})),
        fit.coefficients,
        float(np.sqrt(np.mean(fit.residuals**2))),
        doubled,
    )
