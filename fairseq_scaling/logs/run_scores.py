"""The translation scores of a run, from score files, fairseq-generate and ``--eval-bleu``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..errors import DataError
from ..problems import Problem
from ..scores.score_file import Score, check_format, parse_scores
from .joining import Group
from .kinds import LogProblem
from .printed_scores import eval_bleu_signature, parse_result
from .record import Origin
from .records import TRAINING, Stats

Scores = dict[str, dict[str, tuple[Score, Origin]]]
_FILE, _GENERATED, _TRAINED = range(3)


class _Found(NamedTuple):
    """A score and how far it is to be believed: score files (raw references) go before what fairseq printed."""

    rank: int
    subset: str
    metric: str
    score: Score
    origin: Origin


def collect_scores(group: Group) -> tuple[Scores, list[Problem]]:
    """Return subset -> metric -> (score, where it stands), and the problems.

    Of one subset and metric the best kind of source counts. Where that kind says two things, neither is used.
    """
    problems: list[Problem] = []
    by_place: dict[tuple[str, str], list[_Found]] = {}
    for found in (*_from_files(group, problems), *_generated(group, problems), *_trained(group)):
        by_place.setdefault((found.subset, found.metric), []).append(found)
    scores: Scores = {}
    for (subset, metric), candidates in sorted(by_place.items()):
        rank = min(found.rank for found in candidates)
        first, *others = [found for found in candidates if found.rank == rank]
        other = next((found for found in others if _contradict(first.score, found.score)), None)
        if other is None:
            scores.setdefault(subset, {})[metric] = (first.score, first.origin)
        else:
            problems.append(
                LogProblem.TWO_SCORES.at(
                    *other.origin,
                    run=group.run_id,
                    metric=metric,
                    subset=subset,
                    value=_shown(other.score),
                    other=_shown(first.score),
                    place=f"{first.origin.file}:{first.origin.line}",
                    remedy=group.remedy_of_two,
                )
            )
    return scores, problems


def _shown(score: Score) -> str:
    return f"{score.value:g} ({score.signature})"


def _contradict(one: Score, two: Score) -> bool:
    return one.signature != two.signature or abs(one.value - two.value) > one.resolution + two.resolution + 1e-9


def _from_files(group: Group, problems: list[Problem]) -> Iterator[_Found]:
    for said in [*(each for start in group.starts for each in start.score_files), *group.score_files]:
        try:
            check_format(said.content)
        except DataError as error:
            problems.append(LogProblem.BAD_SCORE_FILE.at(*said.origin, reason=str(error)))
            continue
        scores, messages = parse_scores(said.content)
        problems += [LogProblem.NO_SCORE_VALUE.at(*said.origin, reason=message) for message in messages]
        for metric, score in scores.items():
            yield _Found(_FILE, score.details["subset"], metric, score, said.origin)


def _generated(group: Group, problems: list[Problem]) -> Iterator[_Found]:
    for start in group.starts:
        for said in start.generated:
            parsed = parse_result(said.content["result"], start.config)
            if isinstance(parsed, str):
                problems.append(LogProblem.NO_SCORE_VALUE.at(*said.origin, reason=parsed))
                continue
            metric, score = parsed
            details = {**score.details, "subset": said.content["subset"], "beam": int(said.content["beam"])}
            if said.content.get("sentences") is not None:
                details["sentences"] = said.content["sentences"]
            found = Score(score.value, score.signature, details, score.resolution)
            yield _Found(_GENERATED, str(said.content["subset"]), metric, found, said.origin)


def _trained(group: Group) -> Iterable[_Found]:
    """Yield ``valid_bleu`` at the last update that has one."""
    last: dict[str, tuple[Stats, str]] = {}
    for start in group.starts:
        if start.mixed is not None:
            continue
        for stats in start.records:
            if stats.tag in TRAINING or stats.number("bleu") is None:
                continue
            if stats.tag not in last or stats.step >= last[stats.tag][0].step:
                last[stats.tag] = (stats, eval_bleu_signature(start.config))
    for subset, (stats, signature) in last.items():
        bleu = stats.number("bleu", 2)
        if bleu is not None and 0 <= bleu.value <= 100:
            score = Score(bleu.value, signature, {"subset": subset, "updates": stats.updates}, bleu.half_width)
            yield _Found(_TRAINED, subset, "bleu", score, stats.origin)
