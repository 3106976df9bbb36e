"""Tables of mixtures: which is ahead, what their languages are worth, untried ones, and alignment known beforehand."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...quantities import format_tokens
from ..curve_result import CurveResult
from ..results import MixtureComparison, Report
from .numbers import (
    NONE,
    Table,
    columns,
    decimal,
    gain,
    interval,
    number,
    probability,
    score,
    signed,
    size,
)
from .wording import AGAIN, labels

_SHOWN = ("unigram_source", "unigram_target", "coverage_3_source", "coverage_3_target")
_NOTE_ON_WORTH = (
    " Worth: how many times as much data of the second mixture gives what the first gives; \u221e: no amount within "
    "a factor of 1,000 does."
)
_NOTE_ON_SENTENCES = (
    "Test sentences: the same difference between the runs at hand at the largest size at which both have score files "
    "(mean over seeds), with the interval and the p-value of sacrebleu's paired bootstrap: p is how often other test "
    "sentences would show so large a difference, in either direction, between equal systems. It covers the choice of "
    "the sentences. It does not cover another pretraining or finetuning; Probability and Difference do."
)


def mixtures_table(report: Report) -> Table:
    """Return which of two mixtures is ahead at the largest size both reached, and where they cross."""
    table = Table(
        "Which mixture is better",
        columns(
            "Mixture",
            "against",
            f"{report.x.symbol}#",
            "Ahead",
            "Probability#",
            "Difference#",
            "Cross at#",
            "Worth#",
            "Test sentences#",
            "p#",
        ),
        note=f"Compared at the largest size that both reached ({AGAIN}). Difference: the first less the second, in "
        "points of the metric; above zero when the first is better. Cross at: where the one that is behind last gets "
        "ahead, up to ten times the largest size."
        + (_NOTE_ON_WORTH if any(pair.worth for pair in report.mixture_comparisons) else "")
        + (f" {_NOTE_ON_SENTENCES}" if any(pair.sentences for pair in report.mixture_comparisons) else ""),
    )
    names = labels(report)
    for pair in report.mixture_comparisons:
        first, second = (names[name] for name in pair.names)
        table.add(
            [first],
            second,
            size(pair.pretrain_tokens, pair.x),
            names[pair.better],
            probability(pair.certainty),
            gain(pair.difference, pair.metric),
            interval(pair.crossing, partial(size, x=pair.x)) if pair.crossing else "unlikely",
            interval(pair.worth),
            *_on_sentences(pair),
        )
    return table


def _on_sentences(pair: MixtureComparison) -> list[str]:
    """Return difference and p-value of the paired bootstrap, and its size where that is another one."""
    tested = pair.sentences
    if tested is None:
        return [NONE, NONE]
    where = "" if tested.pretrain_tokens == pair.pretrain_tokens else f" at {size(tested.pretrain_tokens, pair.x)}"
    return [gain(tested.difference, pair.metric) + where, number(tested.p_value, 2)]


def alignment_table(report: Report) -> Table:
    """Return alignment, baseline and gain of every mixture on its leading metric."""
    table = Table(
        "Alignment of the mixtures with the task",
        columns(
            "Curve", "A#", "Unigrams source#", "Unigrams target#", "3-grams source#", "3-grams target#", "Metric",
            "Baseline#", "Difference#", "Gain over the range#",
        ),
        note=_note(report),
    )  # fmt: skip
    names = labels(report)
    for entry in report.entries:
        curve = entry.lead
        if curve.setting.alignment is None or not curve.points:
            continue
        metric, base, reached = curve.metric, curve.baseline_mean, curve.means[-1][1]
        sign = -1.0 if metric.lower_is_better else 1.0
        measures = curve.overlap.measures if curve.overlap else {}
        table.add(
            [names[curve.name]],
            number(curve.setting.alignment),
            *(NONE if measures.get(name) is None else decimal(measures[name], 2) for name in _SHOWN),
            metric.title,
            score(base, metric),
            signed(None if base is None else sign * (reached - base), metric),
            signed(_gain_over_range(curve, sign), metric),
        )
    return table


def _note(report: Report) -> str:
    """Return what the columns mean."""
    text = (
        "A = P_src P_tgt + 0.7 P_src + 0.8 P_tgt, P the share of a language in the mixture (Isik et al. 2025): 1 for "
        "half source and half target, 0 for neither. Difference: measured at the largest size, less "
        f"{report.x.none}; above zero when pretraining helped. Gain over the range: of the forecast's value from the "
        "smallest to the largest size of the curve."
    )
    sizes = sorted({curve.overlap.sample_tokens for curve in report.curves if curve.overlap})
    if sizes:
        text += (
            " Unigrams: what the mixture's distribution of SentencePiece pieces has in common with one side of the "
            "task's training pairs (sum of the minima); 3-grams: share of that side's 3-grams that occur in a sample "
            f"of {' and '.join(map(format_tokens, sizes))} tokens of the mixture. Both are measures of this tool, not "
            "of the paper."
        )
    return text


def _gain_over_range(curve: CurveResult, sign: float) -> float | None:
    if curve.forecast is None:
        return None
    values = curve.forecast.at_points.value
    change = float(sign * (values[-1] - values[0]))
    return change if np.isfinite(change) else None
