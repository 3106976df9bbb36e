"""The translation scores of a run: printed by fairseq, or in score files; and the checkpoint that they are of.

fairseq's scores depend on its flags (tokenised or not, with ``<<unk>>`` in the reference or not), so their signatures
begin with ``fairseq:`` and carry the flags as far as the log says them.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import DataError
from ..problems import Problem
from ..scores.score_file import Score, check_format, parse_scores
from .config import component, setting
from .joining import Group, checkpoints_of
from .kinds import LogProblem
from .losses import Loss, Losses
from .printed import TRAINING, Stats, parse_exact_integer, parse_printed
from .record import Origin, Scored

Scores = dict[str, dict[str, tuple[Score, Origin]]]
_FILE, _GENERATED, _TRAINED = range(3)
_NUMBER = r"(\d+(?:\.\d+)?)"
_BLEU = re.compile(
    rf"(?P<name>BLEU4?) = (?P<value>{_NUMBER}),? (?P<precisions>{_NUMBER}(?:/{_NUMBER}){{3}}) "
    rf"\(BP ?= ?(?P<bp>{_NUMBER}),? ratio ?= ?{_NUMBER},? (?:syslen|hyp_len) ?= ?(?P<hyp>\d+),? "
    r"(?:reflen|ref_len) ?= ?(?P<ref>\d+)\)"
)
_BLEU_TUPLE = re.compile(
    rf"BLEU(?:Score)?\(score=(?P<value>{_NUMBER}(?:e-?\d+)?), counts=\[[\d, ]*\], totals=\[[\d, ]*\], "
    rf"precisions=\[(?P<precisions>[\d., e-]*)\], bp=(?P<bp>{_NUMBER}(?:e-?\d+)?), sys_len=(?P<hyp>\d+), "
    r"ref_len=(?P<ref>\d+)\)"
)
_CHRF = re.compile(rf"chrF(?P<beta>\d)(?P<words>\+*) = (?P<value>{_NUMBER})")
_NAMED = re.compile(rf"(?P<name>WER|BERTScore|METEOR): (?P<value>{_NUMBER})")
_EPOCH_FILE = re.compile(r"checkpoint(\d+)\.pt")
_UPDATES_FILE = re.compile(r"(?:checkpoint_\d+_)?(\d+)(?:\.pt)?")


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
                    place=str(first.origin),
                    remedy=group.remedy_of_two,
                )
            )
    return scores, problems


def _shown(score: Score) -> str:
    return f"{score.value:g} ({score.signature})"


def _contradict(one: Score, two: Score) -> bool:
    return one.signature != two.signature or abs(one.value - two.value) > one.resolution + two.resolution + 1e-9


def _from_files(group: Group, problems: list[Problem]) -> Iterator[_Found]:
    for said in group.all_score_files:
        try:
            check_format(said.content)
        except DataError as error:
            problems.append(LogProblem.BAD_SCORE_FILE.at(*said.origin, reason=str(error)))
            continue
        scores, unusable = parse_scores(said.content, *said.origin)
        problems += unusable
        for metric, score in scores.items():
            yield _Found(_FILE, score.details["subset"], metric, score, said.origin)


def _generated(group: Group, problems: list[Problem]) -> Iterator[_Found]:
    for start in group.starts:
        for said in start.generated:
            parsed = parse_result(said.content["result"], start.config)
            if isinstance(parsed, LogProblem):
                problems.append(parsed.at(*said.origin, result=said.content["result"].strip()[:60]))
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


def scored_checkpoint(group: Group, losses: Losses) -> tuple[Scored | None, dict[str, Loss]]:
    """Return the checkpoint that the scores of the run are of, and subset -> its loss; None without such scores.

    fairseq-generate names the checkpoint in its configuration line, a score file in ``checkpoint``, a mapping in its
    column. Where none does, it is the last one if that is the best one too, or if the run is this plug-in's own.
    """
    if not (group.all_score_files or any(start.generated for start in group.starts)):
        return None, losses.final
    names = {str(member.fields["checkpoint"]) for member in group.members if "checkpoint" in member.fields}
    names = names or {posixpath.basename(path) for path in _paths(group)}
    last = max((loss.step for loss in losses.all if loss.step > -math.inf), default=None)
    best = _best_step(group)
    name = next(iter(names)) if len(names) == 1 else ""
    if not names and (best in (None, last) or not group.stock):
        return Scored("", None, True), losses.final
    step = _step(name, group, last, best)
    if step is None:
        return Scored(", ".join(sorted(names)), None, None), {}
    is_last = step == last
    found = losses.final if is_last else losses.at(step)
    # fairseq-validate prints no updates: its losses are of the checkpoint that it was given
    validated = {loss.subset: loss for loss in losses.all if loss.checkpoint == name}
    kept = {subset: loss for subset, loss in found.items() if loss.checkpoint in ("", name)}
    return Scored(name, int(step), is_last), {**kept, **validated}


def _paths(group: Group) -> Iterator[str]:
    for start in group.starts:
        if start.generated or start.score_files or start.program.tool == "generate":
            yield from checkpoints_of(start)
    for said in group.score_files:
        if isinstance(said.content.get("checkpoint"), str):
            yield said.content["checkpoint"]


def _step(name: str, group: Group, last: float | None, best: float | None) -> float | None:
    """Return after how many updates the checkpoint of this name was saved, None where that is unknown."""
    if name in ("last", "checkpoint_last.pt"):
        return last
    if name in ("best", "checkpoint_best.pt"):
        return best
    if match := _EPOCH_FILE.fullmatch(name):
        epoch = int(match[1])
        steps = [stats.step for stats in _validations(group) if stats.epoch == epoch and stats.step > -math.inf]
        return max(steps, default=None)
    match = _UPDATES_FILE.fullmatch(name)
    return float(match[1]) if match else None


def _best_step(group: Group) -> float | None:
    """Return the update of ``checkpoint_best.pt``: fairseq judges by one metric on the first validation set."""
    configs = [start.config for start in group.starts if start.config and start.trains]
    config = configs[-1] if configs else {}
    subset = str(setting(config, "valid_subset", "dataset") or "valid").split(",")[0]
    metric = str(setting(config, "best_checkpoint_metric", "checkpoint") or "loss")
    sign = -1 if setting(config, "maximize_best_checkpoint_metric", "checkpoint") else 1
    best: tuple[float, float] | None = None
    for stats in _validations(group):
        value = stats.number(metric) if stats.tag == subset else None
        if value is None or not math.isfinite(value.value) or stats.step == -math.inf:
            continue
        # of equal ones fairseq keeps the later
        if best is None or sign * value.value <= best[0]:
            best = (sign * value.value, stats.step)
    return best[1] if best else None


def _validations(group: Group) -> Iterator[Stats]:
    for start in group.starts:
        if start.mixed is None:
            yield from (stats for stats in start.records if stats.tag not in TRAINING)


def parse_result(result: str, config: Mapping[str, Any]) -> tuple[str, Score] | LogProblem:
    """Return the metric and score that the end of ``Generate test with beam=5: ...`` says, or why it says none.

    Args:
        result: what follows the colon.
        config: settings of the configuration line, may be empty.
    """
    result = result.strip()
    match = _BLEU.fullmatch(result) or _BLEU_TUPLE.fullmatch(result)
    if match:
        full = match.re is _BLEU_TUPLE
        precisions = [parse_printed(part) for part in re.split(r"/|, ", match["precisions"])]
        value, penalty = parse_printed(match["value"]), parse_printed(match["bp"])
        if value is None or penalty is None or value.value > 100 or len(precisions) != 4 or None in precisions:
            return LogProblem.NO_BLEU
        kind = "bleu4" if not full and match["name"] == "BLEU4" else "sacrebleu"
        details = {
            "brevity_penalty": penalty.value,
            "precisions": [part.value for part in precisions if part is not None],
            "hypothesis_length": parse_exact_integer(match["hyp"]),
            "reference_length": parse_exact_integer(match["ref"]),
        }
        return "bleu", Score(value.value, _signature(kind, config), details, 0.0 if full else value.half_width)
    match = _CHRF.fullmatch(result)
    if match:
        value = parse_printed(match["value"])
        if value is None or value.value > 100:
            return LogProblem.NO_CHRF
        if value.value <= 1:
            return LogProblem.CHRF_SCALE
        signature = _signature(f"chrf{match['beta']}{match['words']}", config)
        return "chrf", Score(value.value, signature, {}, value.half_width)
    match = _NAMED.fullmatch(result)
    if match:
        value = parse_printed(match["value"])
        assert value is not None  # the pattern lets numbers through only
        name = match["name"].lower()
        return name, Score(value.value, _signature(name, config), {}, value.half_width)
    return LogProblem.UNKNOWN_SCORE


def eval_bleu_signature(config: Mapping[str, Any]) -> str:
    """Return the signature of ``valid_bleu``, which ``--eval-bleu`` makes on decoded references."""
    parts = [f"{flag}:{setting(config, f'eval_{flag}', 'task')}" for flag in ("bleu_detok", "bleu_remove_bpe")]
    tokenized = setting(config, "eval_tokenized_bleu", "task")
    return (
        "|".join(["fairseq:eval_bleu", *parts, f"tokenized:{tokenized}"])
        if config
        else "fairseq:eval_bleu|flags:unknown"
    )


def _signature(kind: str, config: Mapping[str, Any]) -> str:
    if not config:
        return f"fairseq:{kind}|flags:unknown"
    flags = {
        "bpe": component(config, "bpe"),
        "tokenizer": component(config, "tokenizer"),
        "remove_bpe": setting(config, "post_process", "common_eval") or setting(config, "remove_bpe"),
    }
    if kind == "sacrebleu":
        flags["tok"] = setting(config, "sacrebleu_tokenizer", "scoring")
        flags["lowercase"] = setting(config, "sacrebleu_lowercase", "scoring")
    return "|".join([f"fairseq:{kind}", *(f"{flag}:{value or 'none'}" for flag, value in flags.items())])
