"""Laws of two inputs: over the curves of one loss that differ in D_f alone, or in the size of the model alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .. import laws
from ..laws.results import estimate_from_draws
from ..metrics import Metric
from ..quantities import FINETUNE_TOKENS, PARAMETERS, PRETRAIN_TOKENS, Quantity
from .curve_result import CurveResult, Setting

FEWEST_SIZES, FEWEST_POINTS = 3, 8
"""Of fewer sizes a law would only interpolate; of fewer points it would have hardly more than it has coefficients."""
_REFITS = 400
_LAWS = {FINETUNE_TOKENS: laws.SURFACES["joint"], PARAMETERS: laws.SURFACES["L_ND"]}


@dataclass(frozen=True)
class JointResult:
    """One law over D_p and a second input.

    Attributes:
        law: ``joint``, L = E + A / (D_p^alpha D_f^beta) (Zhang et al. 2024), or ``L_ND``, L = E + A / N^alpha + B /
            D_p^beta (Hoffmann et al. 2022).
        second, sizes: what the curves differ in, and its values.
        residual: root mean square of the logarithms.
        doubled: what twice the input would gain beyond the largest sizes, in points of the loss, positive when better:
            ``pretrain_tokens``, the name of the second input, or ``both``.
        size_exponent: of ``L_ND``, beta / (alpha + beta): with compute proportional to N D the best N grows as compute
            to this power.
    """

    law: str
    curves: tuple[str, ...]
    metric: Metric
    second: Quantity
    sizes: tuple[int, ...]
    coefficients: Mapping[str, laws.Estimate]
    residual: float
    doubled: Mapping[str, laws.Estimate]
    size_exponent: laws.Estimate | None = None


def joint_results(curves: Sequence[CurveResult], level: float, seed: int) -> list[JointResult]:
    """Return the laws of two inputs, where a loss was measured at three values of the second one or more."""
    found = []
    for second in _LAWS:
        groups: dict[Hashable, list[CurveResult]] = defaultdict(list)
        for curve in curves:
            if curve.metric.is_loss and _of(curve.setting, second) and curve.x.name == PRETRAIN_TOKENS.name:
                groups[curve.metric.name, _alike(curve, second)].append(curve)
        for members in groups.values():
            rows = np.array([row for curve in members for row in _rows(curve, second)], float).reshape(-1, 3)
            enough = all(np.unique(column).size >= FEWEST_SIZES for column in rows.T[:2])
            if enough and len(np.unique(rows[:, :2], axis=0)) >= FEWEST_POINTS:
                found.append(_fit(members, second, rows, level, seed))
    return found


def _of(setting: Setting, second: Quantity) -> int:
    return (setting.finetune_tokens if second == FINETUNE_TOKENS else setting.parameters) or 0


def _alike(curve: CurveResult, second: Quantity) -> Hashable:
    """Return what the curves of one law share: everything but the second input."""
    one = curve.setting
    shared = (one.task, one.mixture_label, one.corpus, one.test_set)
    if second == FINETUNE_TOKENS:
        return (*shared, one.architecture, one.parameters)
    # A table's curves may differ in what their names alone say; the part that says the model's size may.
    family = [part for part in curve.name.split(" / ") if part != one.architecture and " parameters" not in part]
    return (*shared, one.finetune_tokens, tuple(family))


def _rows(curve: CurveResult, second: Quantity) -> Iterator[tuple[float, float, float]]:
    """Yield D_p, the second input and the value of every point, also of curves too short for a forecast."""
    for point in curve.points:
        if not point.held_out and 0 < point.value < np.inf:
            yield point.pretrain_tokens, _of(curve.setting, second), point.value


def _fit(curves: Sequence[CurveResult], second: Quantity, rows: np.ndarray, level: float, seed: int) -> JointResult:
    surface = _LAWS[second]
    inputs = {PRETRAIN_TOKENS.name: rows[:, 0], second.name: rows[:, 1]}
    one, two = (inputs[name] for name in surface.inputs)
    fit = laws.fit_surface(one, two, rows[:, 2], surface, level=level, n_boot=_REFITS, seed=seed)
    assert fit.draws is not None
    draws = fit.draws
    largest = {name: float(column.max()) for name, column in inputs.items()}

    def at(*doubled: str) -> np.ndarray:
        """Return the draws of the loss at the largest sizes, these inputs doubled."""
        first, second = (np.array(largest[name] * (2 if name in doubled else 1)) for name in surface.inputs)
        return surface.value(draws, first, second)

    exponent = None
    if surface.name == "L_ND":
        alpha, beta = draws[:, 3], draws[:, 4]
        exponent = estimate_from_draws(beta / (alpha + beta), level)
    steps = {PRETRAIN_TOKENS.name: (PRETRAIN_TOKENS.name,), second.name: (second.name,), "both": surface.inputs}
    return JointResult(
        surface.name,
        tuple(dict.fromkeys(curve.name for curve in curves)),
        curves[0].metric,
        second,
        tuple(sorted({_of(curve.setting, second) for curve in curves})),
        fit.coefficients,
        float(np.sqrt(np.mean(fit.residuals**2))),
        {name: estimate_from_draws(at() - at(*names), level) for name, names in steps.items()},
        exponent,
    )
