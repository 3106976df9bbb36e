"""What so little data cannot show: one sentence for each limit that the data themselves have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ...quantities import format_tokens
from ..curve_result import CurveResult
from ..results import Report
from .numbers import number, size

FEW_SIZES = 6
_FEW_DECADES = 2.0
_UNLIKE_LENGTHS = 0.05
"""Brevity penalties that differ by more than this change what BLEU and TER show."""


def limits(report: Report) -> list[str]:
    """Return the limits of the curves that have points."""
    curves = [curve for curve in report.curves if curve.points]
    return [*_of_points(curves), *_of_study(curves)] if curves else []


def _of_points(curves: Sequence[CurveResult]) -> Iterator[str]:
    of = f"of {len(curves)} curves"
    x = curves[0].x
    single = sum(len(curve.means) == len(curve.points) for curve in curves)
    if single:
        yield (
            f"Each point of {single} {of} is one measurement: the noise between finetuning seeds is estimated from the "
            "scatter and from other studies. Two more seeds at two or three sizes would measure it."
        )
    if len({point.pretrain_seed for curve in curves for point in curve.points}) == 1:
        yield (
            "Each mixture was pretrained once. How much another pretraining run of the same mixture would differ comes "
            "from other studies (see Noise), it was not measured."
        )
    counts = [len(curve.means) for curve in curves]
    if few := sum(count < FEW_SIZES for count in counts):
        yield f"{few} {of} have fewer than {FEW_SIZES} sizes (the fewest: {min(counts)})."
    low, high = min(curve.smallest for curve in curves), max(curve.largest for curve in curves)
    if math.log10(high / low) < _FEW_DECADES:
        yield (
            f"The sizes span a factor of {number(high / low)} ({size(low, x)} to {size(high, x)}). Over so short a "
            "range curves of different shape look alike."
        )
    penalties = [point.details.get("brevity_penalty") for c in curves for point in (*c.baseline, *c.points)]
    known = [penalty for penalty in penalties if penalty]
    if known and max(known) - min(known) >= _UNLIKE_LENGTHS:
        yield (
            f"Outputs are not equally long (brevity penalty {min(known):.2f} to {max(known):.2f}): part of what BLEU "
            "and TER show is length. Read the n-gram precisions too; they do not count what is missing."
        )
    times = [p.pretrain_tokens / p.unique_tokens for curve in curves for p in curve.points if p.unique_tokens]
    if times and max(times) > 1:
        repeated = sum(any(point.unique_tokens for point in curve.points) for curve in curves)
        yield (
            f"{repeated} {of} were pretrained on repeated text, up to {number(max(times), 2)} times the same. A "
            "repeated token counts like a new one here, but teaches less (Muennighoff et al. 2023): more new text "
            "would gain more than the forecast says, more repetition less."
        )


def _of_study(curves: Sequence[CurveResult]) -> Iterator[str]:
    x = curves[0].x
    models = {(c.setting.architecture, c.setting.parameters) for c in curves if c.setting.architecture}
    if len(models) == 1:
        name, parameters = models.pop()
        count = f" ({format_tokens(parameters)} parameters)" if parameters else ""
        yield f"There is one model, {name}{count}: the report cannot say whether another size behaves the same."
    sizes = {curve.setting.finetune_tokens for curve in curves} - {None}
    if len(sizes) == 1:
        yield (
            f"There is one finetuning size, {format_tokens(sizes.pop() or 0)} tokens. In the paper the gain shrinks as "
            "the finetuning set grows (finding 4); these data cannot show it."
        )
    missing = sum(not curve.baseline for curve in curves)
    if missing:
        yield (
            f"{missing} of {len(curves)} curves have no baseline ({x.none}): the report can say whether more {x.title} "
            "help, but not whether any did."
        )
    if any(curve.setting.signature.startswith("fairseq:") for curve in curves):
        yield (
            "Some scores were printed by fairseq, which does not record the tokenization. They do not compare with "
            "other work; score the outputs with score-translations."
        )
    metrics = {curve.metric.title for curve in curves}
    if len(metrics) == 1:
        yield f"There is one metric, {metrics.pop()}: others may tell another story."
