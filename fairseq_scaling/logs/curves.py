"""The losses of a run: at every validation, at the end, and over the tokens consumed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .joining import Group
from .losses import cross_entropy, is_consistent, is_diverged
from .printed import parse_exact_integer, parse_printed
from .record import Origin, Problem
from .segments import TRAINING, Said, Segment, Stats


class Loss(NamedTuple):
    """Cross-entropy of a subset in nats per target token, after ``updates`` (None where that is not known exactly)."""

    subset: str
    updates: int | None
    step: float
    value: float
    half_width: float
    origin: Origin


@dataclass
class Losses:
    """All losses of a run.

    Attributes:
        all: one per subset and update, ordered by update.
        final: subset -> the loss at its last update.
        upstream: (pretrain_tokens, subset, cross-entropy in nats), of a pretraining run's validations; subsets are
            ``valid`` and ``valid_<lang>``.
        tokens_at: updates -> tokens consumed, where a record says both.
        consumed: the tokens consumed at the last record, and where it stands.
        explained: a problem already tells why there is no cross-entropy.
    """

    all: list[Loss] = field(default_factory=list)
    final: dict[str, Loss] = field(default_factory=dict)
    upstream: list[tuple[int, str, float]] = field(default_factory=list)
    tokens_at: dict[int, int] = field(default_factory=dict)
    consumed: tuple[int, Origin] | None = None
    consumed_by_language: dict[str, int] = field(default_factory=dict)
    diverged: bool = False
    diverged_at: Origin | None = None
    explained: bool = False


def collect_losses(group: Group) -> tuple[Losses, list[Problem]]:
    """Return the losses of all segments of a run; SCALING_SCORES, at full precision, go before printed ones."""
    losses = Losses()
    problems: list[Problem] = []
    # full precision last, so that it replaces what was printed for the same update
    found = [*_printed(group, losses, problems), *_exact(group, problems)]
    kept: dict[tuple[str, float], Loss] = {}
    conflicts: dict[str, set[str]] = {}
    for loss, resumed in found:
        key = (loss.subset, loss.step)
        before = kept.get(key)
        if before is not None and before.origin.file != loss.origin.file and not resumed and _contradict(before, loss):
            files = conflicts.setdefault(loss.subset, set())
            if loss.origin.file not in files:
                message = (
                    f"run {group.run_id}: the loss of {loss.subset} at update {loss.step:g} is {loss.value:.6g} nats "
                    f"here, {before.value:.6g} in {before.origin.file}:{before.origin.line}: these are two runs, so "
                    f"none of the losses of {loss.subset} was used; remove one of the files"
                )
                problems.append(Problem(*loss.origin, message))
            files.add(loss.origin.file)
        kept[key] = loss
    losses.explained = losses.explained or bool(conflicts)
    usable = (loss for loss in kept.values() if loss.subset not in conflicts)
    losses.all = sorted(usable, key=lambda loss: (loss.step, loss.subset))
    for loss in losses.all:
        losses.final[loss.subset] = loss
        if loss.updates in losses.tokens_at:
            losses.upstream.append((losses.tokens_at[loss.updates], loss.subset, loss.value))
    _divergence(group, losses)
    return losses, problems


def _printed(group: Group, losses: Losses, problems: list[Problem]) -> Iterator[tuple[Loss, bool]]:
    unknown: Stats | None = None
    for segment in group.segments:
        if segment.mixed:
            continue
        records = sorted(segment.stats.values(), key=lambda stats: stats.origin)
        marks = [is_consistent(stats) for stats in records]
        strict = marks.count(True) > marks.count(False)
        for stats, mark in zip(records, marks, strict=True):
            if strict and mark is False:
                message = "the record is damaged, its perplexity is not that of its loss: it was left out"
                problems.append(Problem(*stats.origin, message))
                continue
            tokens = parse_exact_integer(stats.fields.get("pretrain_tokens"))
            if tokens is not None and tokens >= 0 and (losses.consumed is None or tokens >= losses.consumed[0]):
                losses.consumed = (tokens, stats.origin)
                losses.consumed_by_language = _by_language(stats)
            if tokens is not None and tokens >= 0 and stats.updates is not None:
                losses.tokens_at[stats.updates] = tokens
            if stats.tag in TRAINING:
                continue
            printed = cross_entropy(stats, segment.config)
            if printed is None:
                unknown = unknown or stats
                continue
            step = stats.step
            resumed = segment.resumed_at is not None and segment.resumed_at <= step
            yield Loss(stats.tag, stats.updates, step, printed.value, printed.half_width, stats.origin), resumed
    if unknown is not None:
        losses.explained = True
        problems.append(
            Problem(
                *unknown.origin,
                f"run {group.run_id}: the loss of {unknown.tag} may hold label smoothing and has no nll_loss: "
                "it is no cross-entropy and was left out",
            )
        )


def _exact(group: Group, problems: list[Problem]) -> Iterator[tuple[Loss, bool]]:
    everywhere = [said for segment in group.segments for said in segment.scores] + group.scores
    for said in everywhere:
        subset, value = said.content.get("subset"), said.content.get("cross_entropy")
        updates = parse_exact_integer(said.content.get("updates"))
        printed = parse_printed(value) if not isinstance(value, str) else None
        wild = printed is None or (math.isfinite(printed.value) and not 0 <= printed.value < 1e6)
        if not isinstance(subset, str) or not subset or printed is None or wild:
            message = "the SCALING_SCORES line has no subset or no cross_entropy: it was left out"
            problems.append(Problem(*said.origin, message))
            continue
        step = -math.inf if updates is None or abs(updates) > 10**15 else float(updates)
        yield Loss(subset, updates, step, printed.value, 0.0, said.origin), False


def _contradict(one: Loss, two: Loss) -> bool:
    if math.isnan(one.value) or math.isnan(two.value):
        return math.isnan(one.value) != math.isnan(two.value)
    if one.value == two.value:
        return False
    # a printed and an exact value may be means over other batches: they are not held against each other
    if (one.half_width == 0) != (two.half_width == 0):
        return False
    return abs(one.value - two.value) > one.half_width + two.half_width + 1e-9 * abs(one.value)


def _by_language(stats: Stats) -> dict[str, int]:
    found = {}
    for key, value in stats.fields.items():
        tokens = parse_exact_integer(value) if key.startswith("pretrain_tokens_") else None
        if tokens is not None:
            found[key.removeprefix("pretrain_tokens_")] = tokens
    return found


def _divergence(group: Group, losses: Losses) -> None:
    """A run diverged when the last word of its furthest segment on any loss is nan or inf, or it died of that."""
    for loss in losses.final.values():
        if not math.isfinite(loss.value):
            losses.diverged, losses.diverged_at = True, loss.origin
    usable = [segment for segment in group.segments if not segment.mixed]
    furthest = max((segment.last_step for segment in usable), default=-math.inf)
    for segment in usable:
        if segment.last_step < furthest:
            continue
        place = _broken(segment)
        if place is not None:
            losses.diverged, losses.diverged_at = True, losses.diverged_at or place


def _broken(segment: Segment) -> Origin | None:
    for stats in segment.last.values():
        if is_diverged(stats):
            return stats.origin
    died: Said | None = segment.died
    if died is not None and not segment.finished and died.content["error"].startswith("FloatingPointError"):
        return died.origin
    return None
