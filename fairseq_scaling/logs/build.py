"""One group of starts -> one run record, and what keeps it from being a complete one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..problems import Problem
from ..run import Defect, read_description
from .config import component, differences, setting
from .joining import Group
from .kinds import LogProblem
from .losses import Losses, collect_losses
from .printed import parse_exact_integer
from .record import CLAIMED, Origin, RunRecord, preferred, subset_kind
from .run_scores import Scores, collect_scores, scored_checkpoint
from .starts import Said, Start

_LONGEST_NAME = 200


@dataclass
class _Claims:
    """What the files say of the fields of a run: the first claim counts, another one is a problem."""

    run_id: str
    values: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, name: str, value: Any, origin: Origin, quiet: bool = False) -> None:
        if name not in self.values:
            self.values[name], self.origin[name] = value, origin
        elif self.values[name] != value and not quiet:
            kept = {"kept": self.values[name], "place": str(self.origin[name])}
            self.problems.append(LogProblem.CONTRADICTION.at(*origin, run=self.run_id, name=name, value=value, **kept))

    def replace(self, name: str, claim: tuple[Any, Origin] | None) -> None:
        """Let one claim count instead of all others, or none."""
        self.values.pop(name, None)
        if claim is not None:
            self.values[name], self.origin[name] = claim


def build_record(group: Group) -> tuple[RunRecord, list[Problem]]:
    """Return the run record of the group and the problems found in making it."""
    claims = _Claims(group.run_id)
    _claim_descriptions(claims, group)
    _claim_configurations(claims, group)
    _claim_mapping(claims, group)
    losses = collect_losses(group)
    scores, score_problems = collect_scores(group)
    stage = claims.values.setdefault("stage", "finetuning")
    if stage == "pretraining" and (losses.consumed or any(start.run for start in group.starts)):
        # D_p of a pretraining is what it consumed, not the largest budget it was meant to reach
        claims.replace("pretrain_tokens", losses.consumed)
    main = _main_start(group)
    record = _record(group, main, claims, losses, scores)
    problems = [*claims.problems, *losses.problems, *score_problems, *_start_problems(group, main)]
    return record, problems + list(_missing(record, group, main, losses))


def _descriptions(group: Group) -> list[Said]:
    """Return the SCALING_RUN objects of logs, then those that score files repeat."""
    said = [start.run for start in group.starts if start.run is not None]
    files = [each for each in group.all_score_files if isinstance(each.content.get("run"), dict)]
    return said + [Said(each.content["run"], each.origin) for each in files]


def _claim_descriptions(claims: _Claims, group: Group) -> None:
    """Claim what the run says of itself."""
    for said in _descriptions(group):
        description, unusable = read_description(said.content)
        for defect, name, value in unusable:
            if defect is Defect.NOT_EXACT:
                problem = LogProblem.NO_EXACT_VALUE.at(*said.origin, run=group.run_id, name=name, value=str(value)[:60])
                claims.problems.append(problem)
        if description is None:
            continue
        for name in CLAIMED:
            value = getattr(description, name)
            if value is not None and (name != "stage" or "stage" in said.content):
                claims.add(name, str(value) if name == "stage" else value, said.origin)


def _claim_configurations(claims: _Claims, group: Group) -> None:
    """Claim what the logs of stock runs say: configuration, dictionaries, number of parameters."""
    for start in group.starts:
        origin = start.program.origin
        if not start.config or origin is None or start.run is not None or not start.trains:
            continue
        config, task = start.config, component(start.config, "task") or ""
        languages = [setting(config, name, "task") for name in ("source_lang", "target_lang")]
        if task:
            translates = "translation" in task or all(languages)
            claims.add("stage", "finetuning" if translates else "pretraining", origin, quiet=True)
        architecture = component(config, "arch") or component(config, "model")
        for name, value in zip(("source_lang", "target_lang", "architecture"), (*languages, architecture), strict=True):
            if isinstance(value, str) and value.strip() and len(value) <= _LONGEST_NAME:
                claims.add(name, value, origin)
        seed = parse_exact_integer(setting(config, "seed", "common"))
        if seed is not None and 0 <= seed < 10**18:
            claims.add("seed", seed, origin)
        if len(start.languages) == 2 and "multi" not in task:
            # fairseq loads the dictionary of the source language first
            for name, said in zip(("source_lang", "target_lang"), start.languages, strict=True):
                if name not in claims.values:
                    claims.add(name, *said)
        if start.parameters is not None:
            claims.add("parameters", *start.parameters)


def _claim_mapping(claims: _Claims, group: Group) -> None:
    for member in group.members:
        for name, value in member.fields.items():
            if name == "stage" and group.stock:
                claims.replace("stage", None)
            if value is not None and name in CLAIMED:
                claims.add(name, value, member.origins[name])


def _main_start(group: Group) -> Start | None:
    """Return the start that went furthest, of equals the last one."""
    trained = [start for start in group.starts if start.trains and start.program.tool not in ("generate", "validate")]
    return max(reversed(trained), key=lambda start: start.last_step, default=None)


def _record(group: Group, main: Start | None, claims: _Claims, losses: Losses, by_subset: Scores) -> RunRecord:
    values, origin = claims.values, claims.origin
    validated = str(setting(main.config, "valid_subset", "dataset") or "").split(",") if main is not None else []
    final = losses.final
    kinds = {subset: subset_kind(subset, validated) for subset in (*final, *by_subset)}
    scores = {}
    for metric in sorted({metric for found in by_subset.values() for metric in found}):
        subset = preferred((subset, kinds[subset]) for subset, found in by_subset.items() if metric in found)
        if subset is not None:
            scores[metric], origin[f"scores.{metric}"] = by_subset[subset][metric]
    for subset, found in by_subset.items():
        origin.update({f"scores.{subset}.{metric}": place for metric, (_, place) in found.items()})
    scored, scored_losses = scored_checkpoint(group, losses)
    main_subset = preferred((subset, kinds[subset]) for subset in final)
    placed = {f"scored_cross_entropies.{subset}": loss for subset, loss in scored_losses.items()}
    placed |= {f"cross_entropies.{subset}": loss for subset, loss in final.items()}
    if main_subset is not None:
        placed["cross_entropy"] = final[main_subset]
    origin.update({name: loss.origin for name, loss in placed.items()})
    updates, place = _updates(group, losses)
    if place is not None:
        origin["updates"] = place
    mixture, alignment = values.get("mixture"), values.get("alignment")
    if alignment is None and mixture is not None and values.get("source_lang") and values.get("target_lang"):
        values["alignment"] = mixture.alignment(values["source_lang"], values["target_lang"])
    return RunRecord(
        run_id=group.run_id,
        updates=updates,
        scores=scores,
        cross_entropy=final[main_subset].value if main_subset is not None else None,
        cross_entropies={subset: loss.value for subset, loss in final.items()},
        resolution={name: loss.half_width for name, loss in placed.items() if loss.half_width},
        diverged=losses.diverged is not None,
        finished=_finished(group, main),
        scored=scored,
        scored_cross_entropies={subset: loss.value for subset, loss in scored_losses.items()},
        subset_kinds=kinds,
        extra=_extra(group, main, values["stage"], losses, by_subset),
        origin=origin,
        stage=values["stage"],
        **{name: values.get(name) for name in CLAIMED if name != "stage"},
    )


def _extra(group: Group, main: Start | None, stage: str, losses: Losses, by_subset: Scores) -> dict[str, Any]:
    """Return what a record holds beside its fields; see RunRecord."""
    extra: dict[str, Any] = {
        "validations": [(loss.updates, loss.subset, loss.value) for loss in losses.all],
        "scores_by_subset": {
            subset: {metric: score for metric, (score, _) in found.items()} for subset, found in by_subset.items()
        },
        "files": _files(group),
    }
    if stage == "pretraining":
        extra["upstream_curve"] = losses.upstream
    descriptions = _descriptions(group)
    if descriptions:
        extra["run"] = descriptions[-1].content
    if main is not None and main.config:
        extra["config"] = main.config
    mapped = {key: value for member in group.members for key, value in member.fields.items()}
    if mapped:
        extra["mapping"] = mapped
    return extra


def _files(group: Group) -> list[str]:
    places = [start.origin.file for start in group.starts]
    places += [said.origin.file for said in (*group.scores, *group.score_files)]
    return sorted(set(places))


def _updates(group: Group, losses: Losses) -> tuple[int | None, Origin | None]:
    """Return the last number of updates that was printed exactly, unless a rounded one goes beyond it."""
    exact: tuple[int, Origin] | None = None
    last = -math.inf
    for start in group.starts:
        if start.mixed is not None:
            continue
        for stats in start.records.last.values():
            last = max(last, stats.step)
            if stats.updates is not None and (exact is None or stats.updates > exact[0]):
                exact = stats.updates, stats.origin
        saved = start.progress.saved
        if saved is not None and (exact is None or saved[0] > exact[0]):
            exact = saved
    for loss in losses.all:
        if loss.updates is not None and (exact is None or loss.updates > exact[0]):
            exact = loss.updates, loss.origin
    # numbers are printed with six digits
    if exact is None or (last > exact[0] and last - exact[0] > 0.5 * 10.0 ** (math.floor(math.log10(last)) - 5)):
        return None, None
    return exact


def _finished(group: Group, main: Start | None) -> bool | None:
    if main is None:
        return None
    return any(start.progress.finished for start in group.starts if start.last_step >= main.last_step)


def _place(group: Group, main: Start | None) -> Origin:
    """Return where the run begins."""
    if main is not None:
        return main.origin
    if group.starts:
        return group.starts[0].origin
    said = [*group.score_files, *group.scores]
    return said[0].origin if said else Origin("", 0)


def _start_problems(group: Group, main: Start | None) -> Iterator[Problem]:
    """Yield what is wrong with single starts of the run."""
    where = _place(group, main)
    for start in group.starts:
        differing = differences(main.config, start.config) if main is not None and start.trains else []
        if differing and main is not None and start.program.tool == main.program.tool:
            shown = ", ".join(differing[:5]) + (" ..." if len(differing) > 5 else "")
            yield LogProblem.OTHER_SETTINGS.at(*start.origin, run=group.run_id, place=str(where), settings=shown)
        if start.mixed is not None:
            yield start.mixed.kind.at(*start.origin, run=group.run_id, **start.mixed.fields)


def _missing(record: RunRecord, group: Group, main: Start | None, losses: Losses) -> Iterator[Problem]:
    """Yield what the run lacks to stand on a curve."""
    where, run = _place(group, main), group.run_id
    if group.loose is not None and record.pretrain_tokens is None:
        yield group.loose.kind.at(*where, run=run, **group.loose.fields)
    elif record.pretrain_tokens is None and not (record.description and record.description.start):
        yield LogProblem.LACKS.at(*where, run=run, missing="pretrain_tokens")
    if losses.diverged is not None:
        yield LogProblem.DIVERGED.at(*losses.diverged, run=run)
    if record.finished is False:
        error = main.progress.error if main is not None else None
        ends = f"update {record.updates}" if record.updates is not None else "an unknown update"
        yield LogProblem.UNFINISHED.at(*where, run=run, where=ends, error=f" ({error[0]})" if error else "")
    has_scores = bool(record.extra["scores_by_subset"])
    if record.stage == "finetuning" and record.finished is not False and not has_scores:
        yield LogProblem.NO_SCORES.at(*where, run=run)
    explained = any(problem.kind in (LogProblem.TWO_LOSSES, LogProblem.SMOOTHED) for problem in losses.problems)
    if record.finished and not record.cross_entropies and not explained:
        yield LogProblem.NO_LOSS.at(*where, run=run)
