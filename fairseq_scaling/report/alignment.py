"""Alignment measured beforehand, joined to the curves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ..alignment_file import Alignment
from ..errors import ScalingError
from ..mixture import Mixture
from ..problems import Problem, ProblemKind, in_order
from .points.curves import CurvePoints


class AlignmentProblem(ProblemKind):
    """Why a measured alignment stands beside no curve."""

    OTHER_CORPUS = "its alignment was measured in the corpus {found}, its runs are of {own}: left out"
    NO_CURVE = "alignment of mixtures and tasks that no curve has: left out"


def match(curves: Sequence[CurvePoints], alignments: Sequence[Alignment]) -> tuple[dict[str, Alignment], list[Problem]]:
    """Return curve name -> the measurement of its mixture, task and corpus, and why other measurements are not used.

    A curve that does not know its corpus takes any. Of several measurements that of the largest sample counts.
    """
    matched: dict[str, Alignment] = {}
    used, strange = set(), set()
    for curve in curves:
        alike = [entry for entry in alignments if _same_setting(curve, entry)]
        # A run names its corpus by the first digits of the fingerprint.
        ours = [entry for entry in alike if entry.corpus.startswith(curve.first.corpus)]
        used |= {entry.file for entry in alike}
        if ours:
            matched[curve.name] = max(ours, key=lambda entry: entry.sample_tokens)
        elif alike:
            found, own = alike[0].corpus[:12], curve.first.corpus
            strange.add(AlignmentProblem.OTHER_CORPUS.at(alike[0].file, curve=curve.name, found=found, own=own))
    problems = in_order(strange)
    for file in dict.fromkeys(entry.file for entry in alignments):
        if file not in used:
            problems.append(AlignmentProblem.NO_CURVE.at(file))
    return matched, problems


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
