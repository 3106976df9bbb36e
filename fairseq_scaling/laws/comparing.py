"""Metrics of one study side by side: does cross-entropy tell the same story as the score?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .curve import Curve
from .diagnosis import diagnose
from .registry import is_loss
from .results import MetricComparison, Verdict

_NO_ANSWER = ("too few points", "noisy")


def compare_metrics(
    curves: Sequence[Curve], verdicts: Mapping[str, Verdict] | Sequence[Verdict] | None = None, name: str = ""
) -> MetricComparison:
    """Compare the metrics of one mixture, task and D_f.

    Args:
        curves: the same runs under different metrics, cross-entropy among them or not.
        verdicts: verdicts in the order of the curves, or by metric; None makes them.
        name: what the group is called; by default the first curve's name.
    """
    if verdicts is None:
        made = [diagnose(curve) for curve in curves]
    elif isinstance(verdicts, Mapping):
        made = [verdicts[curve.metric] for curve in curves]
    else:
        made = list(verdicts)
    name = name or (curves[0].name if curves else "")
    kinds = {curve.metric: verdict.kind for curve, verdict in zip(curves, made, strict=True)}
    losses = [(c, v) for c, v in zip(curves, made, strict=True) if is_loss(c.metric)]
    scores = [(c, v) for c, v in zip(curves, made, strict=True) if not is_loss(c.metric)]
    if not losses or not scores:
        missing = "cross-entropy" if not losses else "a translation score"
        return MetricComparison(name, "unclear", f"{name}: {missing} was not measured.", False, kinds)
    loss_curve, loss_verdict = losses[0]
    relation = _relation(scores[0][0], loss_curve)
    loss_improves = _improves(loss_verdict)
    against = [(c, v) for c, v in scores if v.kind in ("non-monotonic", "inverse")]
    flat = [(c, v) for c, v in scores if v.kind in ("trendless", "saturated") and not _improves(v)]
    up = [(c, v) for c, v in scores if _improves(v)]

    def listed(pairs: Sequence[tuple[Curve, Verdict]]) -> str:
        return ", ".join(f"{c.metric} ({v.kind})" for c, v in pairs)

    if loss_improves and (against or flat):
        several = len(against) + len(flat) > 1
        if against:
            how = "do not follow" if several else "does not follow"
        else:
            how = f"{'show' if several else 'shows'} no improvement beyond the noise"
        sentence = (
            f"{name}: CROSS-ENTROPY IMPROVES WHILE {(against or flat)[0][0].metric.upper()} DOES NOT. "
            f"{listed(against + flat)} {how}; deciding by cross-entropy alone would mislead."
        )
        return MetricComparison(name, "misleading", sentence, True, kinds, relation)
    if loss_verdict.kind in _NO_ANSWER or not (up or against or flat):
        return MetricComparison(
            name, "unclear", f"{name}: too few or too noisy points to compare metrics.", False, kinds, relation
        )
    if loss_improves:
        return MetricComparison(
            name, "agree", f"{name}: cross-entropy and {listed(up)} improve together.", False, kinds, relation
        )
    if up:
        sentence = f"{name}: {listed(up)} improves although {loss_curve.metric} does not ({loss_verdict.kind})."
        return MetricComparison(name, "score only", sentence, True, kinds, relation)
    sentence = f"{name}: neither {loss_curve.metric} ({loss_verdict.kind}) nor {listed(against + flat)} improves."
    return MetricComparison(name, "neither", sentence, False, kinds, relation)


def _improves(verdict: Verdict) -> bool:
    return bool(verdict.evidence.get("improves", False))


def _relation(score: Curve, loss: Curve) -> dict[str, Any] | None:
    """Return score = c exp(-k L) over the budgets both were measured at (Gordon et al. 2021), or None with fewer
    than three."""
    ours, theirs = score.groups(), loss.groups()
    _, first, second = np.intersect1d(ours.pretrain_tokens, theirs.pretrain_tokens, return_indices=True)
    y, x = ours.values[first], theirs.values[second]
    keep = y > 0
    if keep.sum() < 3 or score.lower_is_better:
        return None
    y, x = np.log(y[keep]), x[keep]
    centred = x - x.mean()
    squares = float(np.sum(centred**2))
    if squares <= 0:
        return None
    slope = float(np.sum(centred * y) / squares)
    intercept = float(y.mean() - slope * x.mean())
    residual = y - intercept - slope * x
    spread = float(np.sum((y - y.mean()) ** 2))
    return {
        "formula": "score = c * exp(-k * L)",
        "source": "Gordon, Duh, Kaplan, Data and Parameter Scaling Laws for Neural Machine Translation (EMNLP 2021)",
        "k": -slope,
        "log c": intercept,
        "residual": float(np.sqrt(np.mean(residual**2))),
        "r_squared": float(1 - np.sum(residual**2) / spread) if spread > 0 else float("nan"),
        "budgets": int(keep.sum()),
        "holds": bool(slope < 0 and spread > 0 and np.sum(residual**2) < 0.2 * spread),
    }
