"""Alignment measured beforehand, joined to the curves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from ..alignment_file import Alignment
from ..errors import ScalingError
from ..mixture import Mixture
from ..problems import Problem, ProblemKind, in_order
from ..quantities import format_tokens
from .points.curves import CurvePoints


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
    matched = Matched()
    used, strange = set(), set()
    candidates: dict[str, list[Alignment]] = {}
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for curve in curves:
        alike = [entry for entry in alignments if _same_setting(curve, entry)]
        # A run names its corpus by the first digits of the fingerprint.
        ours = [entry for entry in alike if entry.corpus.startswith(curve.first.corpus)]
        candidates[curve.name] = ours
        counts[curve.first.task].update({entry.sample_tokens for entry in ours})
        used |= {entry.file for entry in alike}
        if alike and not ours:
            found, own = alike[0].corpus[:12], curve.first.corpus
            strange.add(AlignmentProblem.OTHER_CORPUS.at(alike[0].file, curve=curve.name, found=found, own=own))
    matched.problems += in_order(strange)
    for name, task in {curve.name: curve.first.task for curve in curves}.items():
        sizes = counts[task]
        size = max(sizes, key=lambda size: (sizes[size], size), default=0)
        fitting = [entry for entry in candidates[name] if entry.sample_tokens == size]
        if fitting:
            matched.by_curve[name] = fitting[0]
        elif candidates[name]:
            entry = candidates[name][0]
            own, other = format_tokens(entry.sample_tokens), format_tokens(size)
            matched.problems.append(AlignmentProblem.OTHER_SAMPLE.at(entry.file, curve=name, size=own, other=other))
    for file in dict.fromkeys(entry.file for entry in alignments):
        if file not in used:
            matched.problems.append(AlignmentProblem.NO_CURVE.at(file))
    return matched


def _same_setting(curve: CurvePoints, entry: Alignment) -> bool:
    first = curve.first
    same_task = (first.source_lang, first.target_lang) == (entry.source_lang, entry.target_lang)
    return same_task and _parsed(first.mixture) == frozenset(entry.mixture.items())


def _parsed(mixture: str) -> Hashable:
    """Return the shares in any order; nothing for what is no mixture (a table may hold anything)."""
    try:
        return frozenset(Mixture.parse(mixture).items())
    except ScalingError:
        return None
