"""Alignment measured beforehand: joined to the curves, and whether it ranks mixtures as pretraining did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..alignment_file import Alignment
from ..errors import ScalingError
from ..laws.curve import FloatArray
from ..metrics import order
from ..mixture import Mixture
from ..problems import Problem, ProblemKind, in_order
from ..quantities import format_tokens
from .curve_result import CurveResult
from .points.curves import CurvePoints
from .results import Agreement, Correlation

FEWEST_MIXTURES = 3
"""Of two mixtures any measure puts one first: a rank correlation of them would be 1 or -1 whatever was measured."""
PAPER = "alignment"


class AlignmentProblem(ProblemKind):
    """Why a measured alignment stands beside no curve."""

    OTHER_CORPUS = "its alignment was measured in the corpus {found}, its runs are of {own}: left out"
    OTHER_SAMPLE = (
        "its alignment was measured with a sample of {size} tokens, that of others with {other}: left out",
        "",
        "measure all mixtures with one scaling-alignment",
    )
    NO_CURVE = "alignment of mixtures and tasks that no curve has: left out"


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
            problem = AlignmentProblem.OTHER_CORPUS.at(alike[0].file, curve=curve.name, found=found, own=own)
            strange.add(problem)
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
            own, other = format_tokens(entries[0].sample_tokens), format_tokens(size)
            problem = AlignmentProblem.OTHER_SAMPLE.at(entries[0].file, curve=name, size=own, other=other)
            matched.problems.append(problem)
    for file in dict.fromkeys(entry.file for entry in alignments):
        if file not in used:
            matched.problems.append(AlignmentProblem.NO_CURVE.at(file))
    return matched


def rank_agreements(curves: Sequence[CurveResult]) -> list[Agreement]:
    """Return, per task, D_f, model and corpus, how alignment ranks the mixtures against what pretraining brought.

    Compared on the first metric, and at two D_p that all mixtures reached: ``from_tokens``, the largest of their
    smallest, and ``to_tokens``, the smallest of their largest. ``gain`` is how much better the forecast's value is at
    the second than at the first, ``difference`` how much better than no pretraining. ``correlations`` is empty below
    ``FEWEST_MIXTURES`` mixtures.
    """
    groups: dict[Hashable, list[CurveResult]] = defaultdict(list)
    for curve in curves:
        one = curve.setting
        if curve.forecast is not None and one.alignment is not None and _parsed(one.mixture) and one.task:
            groups[one.task, one.finetune_tokens, one.architecture, one.parameters, one.corpus].append(curve)
    return [_agreement(_rivals(members)) for members in groups.values()]


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


def _rivals(members: Sequence[CurveResult]) -> list[CurveResult]:
    """Return one curve per mixture, of the first metric."""
    metric = min((member.metric.name for member in members), key=order)
    rivals: dict[Hashable, CurveResult] = {}
    for member in members:
        if member.metric.name == metric:
            rivals.setdefault(_parsed(member.setting.mixture), member)
    return list(rivals.values())


def _agreement(rivals: Sequence[CurveResult]) -> Agreement:
    low, high = max(rival.smallest for rival in rivals), min(rival.largest for rival in rivals)
    metric = rivals[0].metric
    sign = -1.0 if metric.lower_is_better else 1.0
    gains, differences = {}, {}
    for rival in rivals:
        assert rival.forecast is not None
        at = rival.forecast.continued
        start, end = np.interp(np.log([low, high]), np.log(at.pretrain_tokens), at.value)
        if low < high:
            gains[rival.name] = float(sign * (end - start))
        if rival.baseline_mean is not None:
            differences[rival.name] = float(sign * (end - rival.baseline_mean))
    correlations = _correlations(rivals, gains, differences) if len(rivals) >= FEWEST_MIXTURES else ()
    names = tuple(rival.name for rival in rivals)
    return Agreement(names, metric, rivals[0].x, len(rivals), low, high, gains, differences, tuple(correlations))


def _correlations(
    rivals: Sequence[CurveResult], gains: dict[str, float], differences: dict[str, float]
) -> list[Correlation]:
    measured: dict[str, dict[str, float]] = {PAPER: {}}
    for rival in rivals:
        others = {} if rival.overlap is None else rival.overlap.measures
        for measure, value in {**others, PAPER: rival.setting.alignment}.items():
            if value is not None:
                measured.setdefault(measure, {})[rival.name] = value
    found = []
    for measure, values in measured.items():
        ranked = []
        for outcomes in (gains, differences):
            both = [name for name in values if name in outcomes]
            ranked.append(spearman([values[name] for name in both], [outcomes[name] for name in both]))
        found.append(Correlation(measure, len(values), *ranked))
    return found


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
