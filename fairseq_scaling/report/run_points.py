"""Points from run records: which value of a run enters a curve, and which runs cannot."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..logs import Problem, RunRecord, Score
from ..logs.record import OTHER, TEST, VALID, subset_kind
from ..metrics import CROSS_ENTROPY, METRICS, describe, metric_name
from ..problems import ProblemKind
from .forgetting import Forgetting, forgetting_of
from .points import Point
from .starts import Starts

_CHOOSE = "--subset {metric}={subset} uses it all the same"


class RunProblem(ProblemKind):
    """Why a run, or a value of it, is on no curve."""

    UNKNOWN_SIZE = "D_p is unknown: the run is on no curve", "{start}", "say it with --mapping"
    DIVERGED = "its training diverged: on no curve"
    UNKNOWN_METRIC = (
        "metric {metric!r} is unknown",
        "",
        "give it in a table with the column lower_is_better",
    )
    NOT_FINITE = "{metric} is {value}: left out"
    OTHER_SUBSET = (
        "{metric} is of {subset}, where the curve is of {chosen}: left out",
        "",
        "--subset {metric}=NAME chooses another subset",
    )
    OTHER_KIND = ("{metric} is of {subset}, the scores are of {chosen}: left out", "", _CHOOSE)
    SEVERAL_SUBSETS = ("{metric} of {subset} was used; there are {others} too", "", "--subset NAME chooses")
    NOT_THERE = ("no {metric} of {subset}, which --subset asks for", "", "the logs have {others}")
    UNKNOWN_CHECKPOINT = (
        "cross-entropy left out: no file says which checkpoint was scored, and the last one is not the best one",
        "{said}",
        "keep fairseq-generate's configuration line (2>&1), or add a column checkpoint (best, last) to the mapping",
    )
    NO_LOSS_AT = (
        "cross-entropy left out: the log has no loss of {subset} at the checkpoint that was scored",
        "{name}",
    )
    UNFINISHED = (
        "training did not end: its cross-entropy is of fewer updates and was left out",
        "",
        "--unfinished uses it all the same",
    )
    USED_UNFINISHED = "did not finish: its values are used because of --unfinished"


@dataclass(frozen=True)
class Choice:
    """What the user chose.

    Attributes:
        subsets: metric -> subset; the empty metric stands for all others.
        unfinished: whether runs whose training did not end give points.
    """

    subsets: Mapping[str, str] = field(default_factory=dict)
    unfinished: bool = False

    def subset(self, metric: str) -> str | None:
        """Return the subset that the user chose for a metric, None where the runs decide."""
        return self.subsets.get(metric, self.subsets.get(""))


@dataclass
class RunPoints:
    """The points of the finetuning runs, the runs that gave none and why, and what finetuning made them forget."""

    points: list[Point] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    forgetting: list[Forgetting] = field(default_factory=list)
    pretraining_runs: int = 0
    finetuning_runs: int = 0


def points_of_runs(runs: Iterable[RunRecord], choice: Choice | None = None) -> RunPoints:
    """Return the points of all finetuning runs.

    A run without D_p gives points only where it says itself that D_p is unknown, because a published model was
    finetuned; they are on no curve.

    For every task, D_f, model and corpus, each metric is taken from the test sets, unless less than half of the runs
    have a value of one: then from one validation set. Cross-entropy is taken from the subsets of the scores, or from
    one of their kind, and at the checkpoint that was scored. What the user chose goes before these rules.
    """
    runs, choice = list(runs), choice or Choice()
    finetuning = [run for run in runs if run.stage == "finetuning"]
    pretraining = [run for run in runs if run.stage != "finetuning"]
    result = RunPoints(pretraining_runs=len(pretraining), finetuning_runs=len(finetuning))
    starts = Starts(finetuning)
    groups: dict[tuple[object, ...], list[RunRecord]] = {}
    for run in finetuning:
        if run.pretrain_tokens is None and not starts.is_baseline(run):
            started = f"it started from {starts.names[run.run_id]}" if run.run_id in starts.names else ""
            place = _origin(run, "pretrain_tokens")
            result.problems.append(RunProblem.UNKNOWN_SIZE.at(*place, run=run.run_id, start=started))
            if run.run_id not in starts.names:
                continue
        if run.diverged:
            # what was scored or validated before, or after, says nothing of this D_p
            result.problems.append(RunProblem.DIVERGED.at(*_origin(run), run=run.run_id))
        else:
            model = (run.architecture, run.parameters, _corpus(run))
            groups.setdefault((run.source_lang, run.target_lang, run.finetune_tokens, *model), []).append(run)
    for group in groups.values():
        _add_group(group, choice, result)
    result.points = starts.placed(result.points)
    result.forgetting = forgetting_of(finetuning, pretraining)
    return result


def _add_group(runs: Sequence[RunRecord], choice: Choice, result: RunPoints) -> None:
    """Add the points of runs that share task, D_f, model and corpus."""
    scores = {run.run_id: _scores(run) for run in runs}
    subsets: dict[str, list[str]] = {}
    for metric in dict.fromkeys(metric for found in scores.values() for metric in found):
        values = {run.run_id: scores[run.run_id].get(metric, {}) for run in runs}
        subsets[metric] = _subsets(runs, values, metric, choice, result)
    score_subsets = list(dict.fromkeys(name for names in subsets.values() for name in names))
    loss_subsets = _loss_subsets(runs, score_subsets, choice, result)
    for run in runs:
        for metric, found in scores[run.run_id].items():
            _add_scores(run, metric, subsets[metric], found, result)
        for name in loss_subsets:
            if name in run.cross_entropies:
                _add_cross_entropy(run, name, choice, result)
        if not set(loss_subsets) & set(run.cross_entropies) and choice.subset(CROSS_ENTROPY) is None:
            _say_other_subset(run, next(iter(loss_subsets), None), score_subsets, result)


def _scores(run: RunRecord) -> dict[str, dict[str, tuple[str, Score]]]:
    """Return metric -> subset -> (metric as it was written, score)."""
    by_subset = run.extra.get("scores_by_subset")
    if by_subset is None:
        by_subset = {}
        for written, score in run.scores.items():
            by_subset.setdefault(str(score.details.get("subset", "test")), {})[written] = score
    found: dict[str, dict[str, tuple[str, Score]]] = {}
    for subset, scores in by_subset.items():
        for written, score in scores.items():
            found.setdefault(metric_name(written), {})[subset] = (written, score)
    return found


def _subsets(
    runs: Sequence[RunRecord],
    values: Mapping[str, Mapping[str, object]],
    metric: str,
    choice: Choice,
    result: RunPoints,
    kind: str | None = None,
) -> list[str]:
    """Return the subsets from which a metric is taken in all runs; none where there is none.

    Of several test sets each that at least half of the runs have gives a curve.

    Args:
        values: run id -> subset -> a value.
        kind: the only kind of subset that is wanted, None for any.
    """
    kinds = {name: kind for run in runs for name, kind in run.subset_kinds.items()}
    counts = Counter(name for found in values.values() for name in found)
    counts = Counter({name: n for name, n in counts.items() if kinds.get(name, subset_kind(name)) != OTHER})
    if not counts:
        return []
    wanted = choice.subset(metric)
    first = runs[0]
    if wanted is not None:
        if wanted not in counts:
            others = ", ".join(sorted(counts))
            result.problems.append(
                RunProblem.NOT_THERE.at(*_origin(first), metric=metric, subset=wanted, others=others)
            )
            return []
        return [wanted]
    by_kind = {each: [n for n in counts if kinds.get(n, subset_kind(n)) == each] for each in (TEST, VALID)}
    if kind is None:
        tested = sum(any(name in found for name in by_kind[TEST]) for found in values.values())
        kind = TEST if 2 * tested >= sum(bool(found) for found in values.values()) else VALID
    names = by_kind[kind]
    if not names:
        return []
    # most runs have it, then the one that is called like its kind, then by name
    best = min(names, key=lambda name: (-counts[name], name != kind, name))
    used = [best]
    if kind == TEST:
        used += [name for name in sorted(names) if name != best and 2 * counts[name] >= counts[best]]
    left = sorted(set(names) - set(used))
    if left and best != kind:
        said: dict[str, Any] = {"metric": metric, "subset": ", ".join(used), "others": ", ".join(left)}
        result.problems.append(RunProblem.SEVERAL_SUBSETS.at(*_origin(first), **said))
    return used


def _add_scores(
    run: RunRecord, metric: str, subsets: Sequence[str], scores: Mapping[str, tuple[str, Score]], result: RunPoints
) -> None:
    """Add the scores of a metric on each subset that counts; a run with scores on others alone is listed."""
    for subset in subsets:
        if subset in scores:
            _add_score(run, metric, subset, scores, result)
    if subsets and scores and not set(subsets) & set(scores):
        said: dict[str, Any] = {"metric": metric, "subset": ", ".join(sorted(scores)), "chosen": subsets[0]}
        result.problems.append(RunProblem.OTHER_SUBSET.at(*_origin(run, f"scores.{metric}"), run=run.run_id, **said))


def _add_score(
    run: RunRecord, metric: str, subset: str, scores: Mapping[str, tuple[str, Score]], result: RunPoints
) -> None:
    written, score = scores[subset]
    place = _origin(run, f"scores.{subset}.{written}", f"scores.{written}")
    if metric not in METRICS:
        result.problems.append(RunProblem.UNKNOWN_METRIC.at(*place, run=run.run_id, metric=written))
    elif not math.isfinite(score.value):
        result.problems.append(RunProblem.NOT_FINITE.at(*place, run=run.run_id, metric=metric, value=score.value))
    else:
        details = {"subset": subset, **score.details, "signature": score.signature}
        lower, upper = score.interval[:2] if score.interval is not None else (None, None)
        point = _point(run, metric, score.value, details, place)
        result.points.append(replace(point, score_lower=lower, score_upper=upper, score=score))


def _loss_subsets(
    runs: Sequence[RunRecord], score_subsets: Sequence[str], choice: Choice, result: RunPoints
) -> list[str]:
    """Return the subsets of the cross-entropies: those of the scores, or one of their kind; without scores any."""
    values = {run.run_id: run.cross_entropies for run in runs}
    if not score_subsets or choice.subset(CROSS_ENTROPY) is not None:
        return _subsets(runs, values, CROSS_ENTROPY, choice, result)[:1]
    shared = [name for name in score_subsets if any(name in found for found in values.values())]
    if shared:
        return shared
    kind = runs[0].subset_kinds.get(score_subsets[0], subset_kind(score_subsets[0]))
    return _subsets(runs, values, CROSS_ENTROPY, choice, result, kind)[:1]


def _say_other_subset(run: RunRecord, chosen: str | None, score_subsets: Sequence[str], result: RunPoints) -> None:
    """List a run whose cross-entropies are of other subsets than the curve's or, without a curve, the scores'."""
    there = [name for name in run.cross_entropies if run.subset_kinds.get(name, subset_kind(name)) != OTHER]
    if not there:
        return
    place = _origin(run, "cross_entropy", f"cross_entropies.{there[0]}")
    kind = RunProblem.OTHER_SUBSET if chosen is not None else RunProblem.OTHER_KIND
    against = chosen if chosen is not None else next(iter(score_subsets), None)
    if against is not None:
        subset = ", ".join(sorted(there))
        result.problems.append(kind.at(*place, run=run.run_id, metric=CROSS_ENTROPY, subset=subset, chosen=against))


def _add_cross_entropy(run: RunRecord, subset: str, choice: Choice, result: RunPoints) -> None:
    """Add the cross-entropy of a run at the checkpoint that was scored, else at its last update."""
    losses, field_name = run.cross_entropies, "cross_entropies"
    place = _origin(run, f"cross_entropies.{subset}", "cross_entropy")
    scored = run.scored
    if scored is not None and scored.is_last is None:
        said = f"the scores are of {scored.name}" if scored.name else ""
        result.problems.append(RunProblem.UNKNOWN_CHECKPOINT.at(*place, run=run.run_id, said=said))
        return
    if scored is not None and (not scored.is_last or run.scored_cross_entropies):
        losses, field_name = run.scored_cross_entropies, "scored_cross_entropies"
        if subset not in losses:
            name = f"{scored.name} after {scored.updates} updates"
            result.problems.append(RunProblem.NO_LOSS_AT.at(*place, run=run.run_id, subset=subset, name=name))
            return
    value = losses[subset]
    if not math.isfinite(value):
        result.problems.append(RunProblem.NOT_FINITE.at(*place, run=run.run_id, metric=CROSS_ENTROPY, value=value))
    elif run.finished is False and not choice.unfinished:
        result.problems.append(RunProblem.UNFINISHED.at(*place, run=run.run_id))
    else:
        if run.finished is False:
            result.problems.append(RunProblem.USED_UNFINISHED.at(*place, run=run.run_id))
        details: dict[str, Any] = {"subset": subset}
        if scored is not None and not scored.is_last:
            details |= {"checkpoint": scored.name, "updates": scored.updates}
        place = _origin(run, f"{field_name}.{subset}", f"cross_entropies.{subset}", "cross_entropy")
        result.points.append(_point(run, CROSS_ENTROPY, value, details, place))


def _point(run: RunRecord, metric: str, value: float, details: dict[str, Any], place: tuple[str, int]) -> Point:
    description = run.description
    unique = description.pretrain_unique_tokens_by_language if description is not None else {}
    return Point(
        metric=metric,
        pretrain_tokens=math.nan if run.pretrain_tokens is None else float(run.pretrain_tokens),
        value=float(value),
        seed=run.seed,
        lower_is_better=describe(metric).lower_is_better,
        mixture=str(run.mixture) if run.mixture is not None else "",
        source_lang=run.source_lang or "",
        target_lang=run.target_lang or "",
        finetune_tokens=run.finetune_tokens,
        architecture=run.architecture or "",
        finetune_tokens_read=_too_few_read(run),
        parameters=run.parameters,
        corpus=_corpus(run),
        pretrain_seed=description.pretrain_seed if description is not None else None,
        settings=_flat(description.hyperparameters) if description is not None else {},
        alignment=run.alignment,
        unique_tokens=sum(unique.values()) if unique else None,
        run_id=run.run_id,
        file=place[0],
        line=place[1],
        details=details,
    )


def _too_few_read(run: RunRecord) -> int | None:
    """Return the tokens that a finetuning read where these are fewer than its set holds; 0 is said before training."""
    said = run.description
    if said is None or not said.finetune_tokens_read or not said.finetune_tokens_used:
        return None
    return said.finetune_tokens_read if said.finetune_tokens_read < said.finetune_tokens_used else None


def _corpus(run: RunRecord) -> str:
    return (run.description.corpus or "") if run.description is not None else ""


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return nested settings as ``optimizer.lr`` -> value as text."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{name}.")
        else:
            alone = value[0] if isinstance(value, list) and len(value) == 1 else value
            flat[above + name] = alone if isinstance(alone, str) else json.dumps(alone)
    return flat


def _origin(run: RunRecord, *fields: str) -> tuple[str, int]:
    for name in fields:
        if name in run.origin:
            return run.origin[name].file, run.origin[name].line
    files = run.extra.get("files", ())
    if files:
        return str(next(iter(files))), 0
    first = next(iter(run.origin.values()), None)
    return (first.file, 0) if first else ("", 0)
