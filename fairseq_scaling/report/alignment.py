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
