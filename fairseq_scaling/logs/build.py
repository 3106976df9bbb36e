"""One group of segments -> one run record, and what keeps it from being a complete one."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ..errors import ScalingError
from ..mixture import Mixture
from .config import component, differences, setting
from .curves import Losses, collect_losses
from .joining import Group
from .metrics import collect_scores, preferred
from .printed import parse_exact_integer
from .record import Origin, Problem, RunRecord
from .segments import Said, Segment

_INTEGERS = ("pretrain_tokens", "finetune_tokens", "seed", "parameters")
_STRINGS = ("stage", "source_lang", "target_lang", "architecture")
_SHARE = re.compile(r"\d{1,18}(?:/\d{1,18}|\.\d{1,18})?", re.ASCII)
_MAP = "give it with a mapping: a CSV table or a path pattern (see the README)"


def build_record(group: Group) -> tuple[RunRecord, list[Problem]]:
    """Return the run record of the group and the problems found in making it."""
    return _Builder(group).build()


class _Builder:
    def __init__(self, group: Group) -> None:
        self.group = group
        self.segments = group.segments
        self.problems: list[Problem] = []
        self.values: dict[str, Any] = {}
        self.origin: dict[str, Origin] = {}

    def build(self) -> tuple[RunRecord, list[Problem]]:
        self._from_runs()
        self._from_configs()
        self._from_mapping()
        main = self._main_segment()
        losses, messages = collect_losses(self.group)
        self.problems += messages
        by_subset, messages = collect_scores(self.group)
        self.problems += messages
        stage = self.values.get("stage") or "finetuning"
        if stage == "pretraining":
            self._consumed(losses)
        scores = {}
        for metric in sorted({metric for found in by_subset.values() for metric in found}):
            subset = preferred([subset for subset, found in by_subset.items() if metric in found])
            if subset is not None:
                scores[metric], self.origin[f"scores.{metric}"] = by_subset[subset][metric]
        subset = preferred(losses.final)
        final = {f"cross_entropies.{key}": loss for key, loss in losses.final.items()}
        if subset is not None:
            final["cross_entropy"] = losses.final[subset]
        resolution = {name: loss.half_width for name, loss in final.items() if loss.half_width}
        self.origin.update({name: loss.origin for name, loss in final.items()})
        updates, place = self._updates(losses)
        if place is not None:
            self.origin["updates"] = place
        mixture = self.values.get("mixture")
        alignment = self.values.get("alignment")
        source, target = self.values.get("source_lang"), self.values.get("target_lang")
        if alignment is None and mixture is not None and source and target:
            alignment = mixture.alignment(source, target)
        extra: dict[str, Any] = {
            "validations": [(loss.updates, loss.subset, loss.value) for loss in losses.all],
            "scores_by_subset": {
                subset: {metric: score for metric, (score, _) in found.items()} for subset, found in by_subset.items()
            },
            "files": self._files(),
        }
        if stage == "pretraining":
            extra["upstream_curve"] = losses.upstream
        runs = self._runs()
        if runs:
            extra["run"] = runs[-1].content
            extra["pretrain_tokens_by_language"] = self._by_language(runs, losses)
        if main is not None and main.config:
            extra["config"] = main.config
        fields = {key: value for member in self.group.members for key, value in member.fields.items()}
        if fields:
            extra["mapping"] = fields
        record = RunRecord(
            stage=stage,
            run_id=self.group.run_id,
            mixture=mixture,
            alignment=alignment,
            updates=updates,
            scores=scores,
            cross_entropy=losses.final[subset].value if subset is not None else None,
            cross_entropies={key: loss.value for key, loss in losses.final.items()},
            resolution=resolution,
            diverged=losses.diverged,
            finished=self._finished(main),
            extra=extra,
            origin=self.origin,
            **{name: self.values.get(name) for name in (*_INTEGERS, *_STRINGS) if name != "stage"},
        )
        self._complain(record, main, losses)
        return record, self.problems

    # fields

    def _runs(self) -> list[Said]:
        runs = [segment.run for segment in self.segments if segment.run is not None]
        objects = [*self.group.score_files, *(said for segment in self.segments for said in segment.score_files)]
        return runs + [
            Said(said.content["run"], said.origin) for said in objects if isinstance(said.content.get("run"), dict)
        ]

    def _from_runs(self) -> None:
        for said in self._runs():
            for name in (*_INTEGERS, *_STRINGS, "mixture", "alignment"):
                value = said.content.get(name)
                if value is None or (name == "mixture" and not value):
                    continue
                read = _field(name, value)
                if read is None:
                    shown = str(value)[:60]
                    self._say(
                        said.origin, f"SCALING_RUN says {name} = {shown!r}, which is no exact value: it was left out"
                    )
                else:
                    self._set(name, read, said.origin)

    def _from_configs(self) -> None:
        for segment in self.segments:
            config, origin = segment.config, segment.config_origin
            if not config or origin is None or segment.run is not None or not segment.trains:
                continue
            task = component(config, "task") or ""
            source, target = setting(config, "source_lang", "task"), setting(config, "target_lang", "task")
            translates = "translation" in task or bool(source and target)
            if task:
                self._set("stage", "finetuning" if translates else "pretraining", origin, quiet=True)
            for name, value in (
                ("source_lang", source),
                ("target_lang", target),
                ("seed", setting(config, "seed", "common")),
                ("architecture", component(config, "arch") or component(config, "model")),
            ):
                read = _field(name, value) if value is not None else None
                if read is not None:
                    self._set(name, read, origin)
            if segment.parameters is not None and segment.parameters_origin is not None:
                self._set("parameters", segment.parameters, segment.parameters_origin)

    def _from_mapping(self) -> None:
        for member in self.group.members:
            for name, value in member.fields.items():
                if name == "stage" and self.group.stock:
                    self.values.pop("stage", None)
                if value is not None and name != "run":
                    self._set(name, value, member.origins[name])

    def _set(self, name: str, value: Any, origin: Origin, quiet: bool = False) -> None:
        """Keep the first value said of a field, and list another one."""
        if name not in self.values:
            self.values[name], self.origin[name] = value, origin
        elif self.values[name] != value and not quiet:
            first = self.origin[name]
            self._say(
                origin,
                f"run {self.group.run_id}: {name} is {value} here, but {self.values[name]} counts, "
                f"from {first.file}:{first.line}: are these two runs?",
            )

    def _consumed(self, losses: Losses) -> None:
        """A pretraining run's D_p is what it consumed, not the largest budget it was meant to reach."""
        if losses.consumed is not None:
            self.values["pretrain_tokens"], self.origin["pretrain_tokens"] = losses.consumed
        elif not self.group.stock and any(segment.run for segment in self.segments):
            self.values.pop("pretrain_tokens", None)

    def _by_language(self, runs: list[Said], losses: Losses) -> dict[str, int]:
        if losses.consumed_by_language:
            return losses.consumed_by_language
        said = runs[-1].content.get("pretrain_tokens_by_language")
        pairs = said.items() if isinstance(said, dict) else ()
        return {
            language: tokens for language, tokens in pairs if isinstance(tokens, int) and not isinstance(tokens, bool)
        }

    def _updates(self, losses: Losses) -> tuple[int | None, Origin | None]:
        """Return the last number of updates that was printed exactly, unless a rounded one goes beyond it."""
        exact: int | None = None
        place: Origin | None = None
        last = -math.inf
        for segment in self.segments:
            if segment.mixed:
                continue
            for stats in segment.last.values():
                last = max(last, stats.step)
                if stats.updates is not None and (exact is None or stats.updates > exact):
                    exact, place = stats.updates, stats.origin
            if segment.saved_at is not None and (exact is None or segment.saved_at > exact):
                exact, place = segment.saved_at, segment.saved_origin
        for loss in losses.all:
            if loss.updates is not None and (exact is None or loss.updates > exact):
                exact, place = loss.updates, loss.origin
        if exact is not None and last > exact and last - exact > 0.5 * 10.0 ** (math.floor(math.log10(last)) - 5):
            return None, None
        return exact, place

    def _main_segment(self) -> Segment | None:
        """Return the segment that went furthest, of equals the last one."""
        trained = [
            segment for segment in self.segments if segment.trains and segment.tool not in ("generate", "validate")
        ]
        return max(reversed(trained), key=lambda segment: segment.last_step, default=None)

    def _finished(self, main: Segment | None) -> bool | None:
        if main is None:
            return None
        return any(segment.finished for segment in self.segments if segment.last_step >= main.last_step)

    def _files(self) -> list[str]:
        places = [segment.origin.file for segment in self.segments]
        places += [said.origin.file for said in (*self.group.scores, *self.group.score_files)]
        return sorted(set(places))

    # problems

    def _say(self, origin: Origin, message: str) -> None:
        self.problems.append(Problem(origin.file, origin.line, message))

    def _complain(self, record: RunRecord, main: Segment | None, losses: Losses) -> None:
        run = f"run {record.run_id}"
        where = self._place(main)
        for segment in self.segments:
            differing = differences(main.config, segment.config) if main is not None and segment.trains else []
            if differing and main is not None and segment.tool == main.tool:
                shown = ", ".join(differing[:5]) + (" ..." if len(differing) > 5 else "")
                self._say(
                    segment.origin, f"{run}: other settings than in {where.file}:{where.line} ({shown}): two runs?"
                )
            if segment.mixed:
                self._say(
                    segment.origin,
                    f"{run}: the records from here on are of more than one run: {segment.mixed}; they were left out: "
                    "let every run write its own file",
                )
        if self.group.loose:
            self._say(
                where,
                f"{self.group.loose}, so its pretrain_tokens are unknown: keep the SCALING_RUN line in the output of "
                f"fairseq-generate (2>&1), or {_MAP}",
            )
        missing = [name for name in ("pretrain_tokens", "finetune_tokens") if getattr(record, name) is None]
        if record.stage == "pretraining":
            missing = [name for name in missing if name == "pretrain_tokens"]
        if record.mixture is None and record.pretrain_tokens != 0:
            missing.append("mixture")
        if record.stage == "finetuning":
            missing += [name for name in ("source_lang", "target_lang") if getattr(record, name) is None]
        if missing and not self.group.loose:
            named = ", ".join(missing).replace(
                "pretrain_tokens", "pretrain_tokens (0 for a baseline without pretraining)"
            )
            self._say(where, f"{run} lacks {named}: {_MAP}")
        if record.diverged:
            self._say(losses.diverged_at or where, f"{run} diverged: its loss is nan or inf; it is on no curve")
        if record.finished is False:
            died = f" ({main.died.content['error']})" if main is not None and main.died else ""
            at = f"update {record.updates}" if record.updates is not None else "an unknown update"
            self._say(
                where, f"{run} did not finish: its log ends at {at}{died}; wait for it, or start it again to go on"
            )
        if record.stage == "finetuning" and record.finished is not False and not record.scores:
            self._say(where, f"{run} has no translation scores: run fairseq-generate and score-translations")
        if record.finished and record.cross_entropy is None and not record.cross_entropies and not losses.explained:
            self._say(where, f"{run} has no validation loss: its log format may be none; train with --log-format json")

    def _place(self, main: Segment | None) -> Origin:
        if main is not None:
            return main.origin
        if self.segments:
            return self.segments[0].origin
        said = [*self.group.score_files, *self.group.scores]
        return said[0].origin if said else Origin("", 0)


def _field(name: str, value: Any) -> Any:
    """Return the value of a field if it is of its kind, exactly; else None."""
    if name in _INTEGERS:
        number = parse_exact_integer(value) if name == "seed" or not isinstance(value, str) else None
        return number if number is not None and 0 <= number < 10**18 else None
    if name in _STRINGS:
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            return None
        return value if name != "stage" or value in ("pretraining", "finetuning") else None
    if name == "alignment":
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10
        return float(value) if usable else None
    return _mixture(value)


def _mixture(value: Any) -> Mixture | None:
    if not isinstance(value, dict) or len(value) > 1000:
        return None
    if not all(isinstance(share, str) and _SHARE.fullmatch(share) for share in value.values()):
        return None
    return _known_mixture(tuple(value.items()))


@lru_cache(maxsize=256)
def _known_mixture(shares: tuple[tuple[str, str], ...]) -> Mixture | None:
    """Return the mixture of language and share; the runs of a study share few."""
    try:
        return Mixture({language: Fraction(share) for language, share in shares})
    except (ZeroDivisionError, ScalingError):
        return None
