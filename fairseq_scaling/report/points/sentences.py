"""Two mixtures on the same test sentences: sacrebleu's paired bootstrap of their runs at the largest common size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import DataError
from ...laws import Estimate
from ...problems import Problem, ProblemKind
from ...scores.bootstrap import PairedBootstrap
from ...scores.score_file import Score
from ...scores.scoring import METRICS
from .comparable import SAME_SIZE
from .curves import CurvePoints


class SentenceProblem(ProblemKind):
    """Why two scores have no paired bootstrap although their score files say that they compare."""

    DAMAGED = (
        "the counts of the test sentences are damaged: no paired bootstrap",
        "of the scores at {size}",
        "write the score files again with score-translations",
    )


@dataclass(frozen=True)
class SentenceTest:
    """What the choice of test sentences adds to the difference of two mixtures. It says nothing of another run.

    Attributes:
        pretrain_tokens: the largest size at which both have scores.
        runs: how many runs each has there; their mean score counts.
        difference: first less second, in points, positive when the first is better, with its interval.
        p_value: how often resamples differ so much, in either direction, where the mixtures are equal.
        sentences: of the test set.
    """

    pretrain_tokens: float
    runs: tuple[int, int]
    difference: Estimate
    p_value: float
    sentences: int


def compare_sentences(
    first: CurvePoints, second: CurvePoints, bootstrap: PairedBootstrap, problems: list[Problem]
) -> SentenceTest | None:
    """Return how two mixtures differ on their test sentences; None where the score files do not hold what it takes.

    Args:
        first, second: of one metric and test set.
        bootstrap: of this metric; shared by the pairs of a study, since it keeps what it has resampled.
        problems: is given one where the counts of the sentences are damaged.
    """
    if first.metric not in METRICS:
        return None
    for size in sorted({point.pretrain_tokens for point in first.points}, reverse=True):
        ours, theirs = _scores(first, size), _scores(second, size)
        if not ours or not theirs:
            continue
        # the second less the first of these
        systems = (ours, theirs) if first.lower_is_better else (theirs, ours)
        try:
            found = bootstrap.compare(*systems)
        except DataError:
            at = first.quantity.amount(size, 3)
            problems.append(SentenceProblem.DAMAGED.at(first.first.file, curve=first.name, size=at))
            return None
        if found is None:
            return None
        difference = Estimate(found.value, *found.interval[:2])
        return SentenceTest(size, (len(ours), len(theirs)), difference, found.p_value, found.sentences)
    return None


def _scores(curve: CurvePoints, size: float) -> Sequence[Score]:
    """Return the scores at a size of which the sentences are known."""
    at = [point.score for point in curve.points if abs(point.pretrain_tokens - size) <= SAME_SIZE * size]
    return [score for score in at if score is not None and score.statistics is not None]
