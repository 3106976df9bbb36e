"""What so little data cannot show: found from the data itself, worded in ``render/wording.py``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .curve_result import CurveResult, PointResult
from .results import Limit, LimitKind

FEW_SIZES = 6
_FEW_DECADES = 2.0
_UNLIKE_LENGTHS = 0.05
"""Brevity penalties that differ by more than this change what BLEU and TER show."""


def limits(curves: Sequence[CurveResult]) -> list[Limit]:
    """Return the limits that hold for these curves."""
    curves = [curve for curve in curves if curve.points]
    return [] if not curves else [*_of_points(curves), *_repeated(curves), *_of_study(curves)]


def _of_points(curves: Sequence[CurveResult]) -> Iterable[Limit]:
    counts = {id(curve): len(curve.means) for curve in curves}
    single = sum(counts[id(curve)] == len(curve.points) for curve in curves)
    if single:
        yield Limit(LimitKind.SINGLE_MEASUREMENTS, {"number": single, "of": len(curves)})
    seeds = {point.pretrain_seed for curve in curves for point in curve.points}
    if len(seeds) == 1:
        yield Limit(LimitKind.ONE_PRETRAINING, {})
    few = sum(count < FEW_SIZES for count in counts.values())
    if few:
        yield Limit(LimitKind.FEW_SIZES, {"number": few, "of": len(curves), "fewest": min(counts.values())})
    low, high = min(curve.smallest for curve in curves), max(curve.largest for curve in curves)
    if math.log10(high / low) < _FEW_DECADES:
        yield Limit(LimitKind.SHORT_RANGE, {"low": low, "high": high})
    penalties = [
        penalty for curve in curves for point in (*curve.baseline, *curve.points) if (penalty := _brevity(point))
    ]
    if penalties and max(penalties) - min(penalties) >= _UNLIKE_LENGTHS:
        yield Limit(LimitKind.UNEQUAL_LENGTHS, {"low": min(penalties), "high": max(penalties)})


def _repeated(curves: Sequence[CurveResult]) -> Iterable[Limit]:
    shares = [p.unique_tokens / p.pretrain_tokens for curve in curves for p in curve.points if p.unique_tokens]
    if shares and min(shares) < 1:
        repeated = sum(any(point.unique_tokens for point in curve.points) for curve in curves)
        yield Limit(LimitKind.REPEATED_TEXT, {"number": repeated, "of": len(curves), "times": 1 / min(shares)})


def _of_study(curves: Sequence[CurveResult]) -> Iterable[Limit]:
    models = {(c.setting.architecture, c.setting.parameters) for c in curves if c.setting.architecture}
    if len(models) == 1:
        name, parameters = models.pop()
        yield Limit(LimitKind.ONE_MODEL, {"name": name, "parameters": parameters})
    sizes = {curve.setting.finetune_tokens for curve in curves} - {None}
    if len(sizes) == 1:
        yield Limit(LimitKind.ONE_FINETUNING_SIZE, {"tokens": sizes.pop()})
    missing = sum(not curve.baseline for curve in curves)
    if missing:
        yield Limit(LimitKind.NO_BASELINE, {"number": missing, "of": len(curves)})
    if any(curve.setting.signature.startswith("fairseq:") for curve in curves):
        yield Limit(LimitKind.FOREIGN_SIGNATURES, {})
    metrics = {curve.metric.name: curve.metric for curve in curves}
    if len(metrics) == 1:
        yield Limit(LimitKind.ONE_METRIC, {"metric": next(iter(metrics.values()))})


def _brevity(point: PointResult) -> float | None:
    return point.details.get("brevity_penalty")
