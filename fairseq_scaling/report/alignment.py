"""Alignment measured beforehand: joined to the curves, and whether it ranks mixtures as pretraining did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..alignment_file import Alignment
from ..errors import ScalingError
from ..laws.curve import FloatArray
from ..metrics import order
from ..mixture import Mixture
from ..problems import Problem, in_order, remark
from ..quantities import format_tokens
from .analysis import CurveAnalysis
from .points.curves import CurvePoints

FEWEST_MIXTURES = 3
"""Of two mixtures any measure puts one first: a rank correlation of them would be 1 or -1 whatever was measured."""
PAPER = "alignment"


@dataclass
class Matched:
    """Curve name -> what was measured of its mixture and task, and why other measurements are not used."""

    by_curve: dict[str, Alignment] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def match(curves: Sequence[CurvePoints], alignments: Sequence[Alignment]) -> Matched:
    """Return the measurement that belongs to each curve: of its mixture, task and corpus, one sample size for a task.

    A curve that does not know its corpus takes any. Of several sample sizes that fits most curves, then the largest.
    """
    candidates: dict[str, list[Alignment]] = {}
    tasks: dict[str, str] = {}
    used, strange = set(), set()
    for curve in curves:
        alike = [entry for entry in alignments if _same_setting(curve, entry)]
        candidates[curve.name] = [entry for entry in alike if _same_corpus(curve, entry)]
        tasks[curve.name] = curve.first.task
        used |= {entry.file for entry in alike}
        if alike and not candidates[curve.name]:
            found, own = alike[0].corpus[:12], curve.first.corpus
            message = f"measured in the corpus {found}, the runs of {curve.name} are of {own}: left out"
            strange.add(remark(alike[0].file, 0, message))
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for name, entries in candidates.items():
        counts[tasks[name]].update({entry.sample_tokens for entry in entries})
    sizes = {task: max(count, key=lambda size: (count[size], size)) for task, count in counts.items() if count}
    matched = Matched(problems=in_order(strange))
    for name, entries in candidates.items():
        size = sizes.get(tasks[name])
        fitting = [entry for entry in entries if entry.sample_tokens == size]
        if fitting:
            matched.by_curve[name] = fitting[0]
        elif entries and size is not None:
            others = f"a sample of {format_tokens(entries[0].sample_tokens)} tokens, others with {format_tokens(size)}"
            message = f"{name} was measured with {others}: left out; measure all mixtures with one scaling-alignment"
            matched.problems.append(remark(entries[0].file, 0, message))
    for file in dict.fromkeys(entry.file for entry in alignments):
        if file not in used:
            message = "alignment of mixtures and tasks that no curve has: left out"
            matched.problems.append(remark(file, 0, message))
    return matched


def rank_agreements(analyses: Sequence[CurveAnalysis], matched: Matched) -> list[dict[str, Any]]:
    """Return, per task, D_f, model and corpus, how alignment ranks the mixtures against what pretraining brought.

    Compared on the first metric, and at two D_p that all mixtures reached: ``from_tokens``, the largest of their
    smallest, and ``to_tokens``, the smallest of their largest. ``gain`` is how much better the law's value is at the
    second than at the first, ``difference`` how much better than no pretraining. ``correlations`` holds Spearman's rank
    correlation of each measure with both (None where it is not defined), empty below ``FEWEST_MIXTURES`` mixtures.
    """
    groups: dict[Hashable, list[CurveAnalysis]] = defaultdict(list)
    for analysis in analyses:
        first = analysis.data.first
        if analysis.choice is not None and first.alignment is not None and _parsed(first.mixture) and first.task:
            model = (first.architecture, first.parameters, first.corpus)
            groups[first.task, first.finetune_tokens, *model].append(analysis)
    return [_agreement(_rivals(members), matched) for members in groups.values()]


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation (ties share their mean rank), None of fewer than three, or of equal values."""
    first, second = _ranks(one), _ranks(other)
    if len(one) < FEWEST_MIXTURES or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Sequence[float]) -> FloatArray:
    """Return the ranks from 1 of the values; importing scipy.stats for this would take longer than all fits."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _rivals(members: Sequence[CurveAnalysis]) -> list[CurveAnalysis]:
    """Return one curve per mixture, of the first metric."""
    metric = min((member.data.metric for member in members), key=order)
    rivals: dict[Hashable, CurveAnalysis] = {}
    for member in members:
        if member.data.metric == metric:
            rivals.setdefault(_parsed(member.data.first.mixture), member)
    return list(rivals.values())


def _agreement(rivals: Sequence[CurveAnalysis], matched: Matched) -> dict[str, Any]:
    names = [rival.data.name for rival in rivals]
    sizes = [[point.pretrain_tokens for point in rival.data.points] for rival in rivals]
    low, high = max(map(min, sizes)), min(map(max, sizes))
    gains, differences = {}, {}
    for rival in rivals:
        assert rival.choice is not None
        sign = -1.0 if rival.data.lower_is_better else 1.0
        start, end = rival.choice.predict([low, high]).value
        if low < high:
            gains[rival.data.name] = float(sign * (end - start))
        if rival.data.baselines:
            base = np.mean([point.value for point in rival.data.baselines])
            differences[rival.data.name] = float(sign * (end - base))
    enough = len(rivals) >= FEWEST_MIXTURES
    return {
        "curves": names,
        "metric": rivals[0].data.metric,
        "mixtures": len(rivals),
        "from_tokens": low,
        "to_tokens": high,
        "gain": gains,
        "difference": differences,
        "correlations": _correlations(rivals, matched, gains, differences) if enough else [],
    }


def _correlations(
    rivals: Sequence[CurveAnalysis], matched: Matched, gains: dict[str, float], differences: dict[str, float]
) -> list[dict[str, Any]]:
    measured: dict[str, dict[str, float]] = {PAPER: {}}
    for rival in rivals:
        name, paper = rival.data.name, rival.data.first.alignment
        found = matched.by_curve.get(name)
        others = {} if found is None else {key: value for key, value in found.measures.items() if key != PAPER}
        for measure, value in {PAPER: paper, **others}.items():
            if value is not None:
                measured.setdefault(measure, {})[name] = value
    rows = []
    for measure, values in measured.items():
        row: dict[str, Any] = {"measure": measure, "mixtures": len(values)}
        for title, results in (("gain", gains), ("difference", differences)):
            both = [name for name in values if name in results]
            row[title] = spearman([values[name] for name in both], [results[name] for name in both])
        rows.append(row)
    return rows


def _same_setting(curve: CurvePoints, entry: Alignment) -> bool:
    first = curve.first
    same_task = (first.source_lang, first.target_lang) == (entry.source_lang, entry.target_lang)
    return same_task and _parsed(first.mixture) == frozenset(entry.mixture.items())


def _same_corpus(curve: CurvePoints, entry: Alignment) -> bool:
    # A run names its corpus by the first digits of the fingerprint.
    return entry.corpus.startswith(curve.first.corpus)


def _parsed(mixture: str) -> Hashable:
    """Return the shares in any order; nothing for what is no mixture (a table may hold anything)."""
    try:
        return frozenset(Mixture.parse(mixture).items())
    except ScalingError:
        return None
