"""The losses of a run: cross-entropy in nats per target token, at every validation and over the tokens consumed.

fairseq prints losses in base 2 with three decimals.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..problems import Problem
from .config import component, setting
from .joining import Group, checkpoints_of
from .kinds import LogProblem
from .printed import TRAINING, Printed, Stats, parse_exact_integer, parse_printed
from .record import LN2, Origin
from .starts import DIVERGED, Start

# criterions whose loss is the plain negative log-likelihood per token, in base 2
_PLAIN = ("cross_entropy", "masked_lm", "adaptive_loss")
_DECIMALS = 3
_SIX_DIGITS = 20  # no rounding before {:g}, which keeps six digits


class Loss(NamedTuple):
    """Cross-entropy of a subset in nats per target token, after ``updates`` (None where that is not known exactly).

    Attributes:
        half_width: half the width of its rounding in nats.
        resumed: a resumed start printed it again.
        checkpoint: what fairseq-validate was given; empty for losses that the training itself printed.
    """

    subset: str
    updates: int | None
    step: float
    value: float
    half_width: float
    origin: Origin
    resumed: bool = False
    checkpoint: str = ""


@dataclass
class Losses:
    """All losses of a run.

    Attributes:
        all: one per subset and update, ordered by update.
        upstream: (pretrain_tokens, subset, cross-entropy in nats), of a pretraining run's validations; subsets are
            ``valid`` and ``valid_<lang>``.
        consumed: the tokens consumed at the last record, and where it stands.
        diverged: where a loss became nan or inf, None where none did.
        problems: what was left out.
    """

    all: list[Loss] = field(default_factory=list)
    upstream: list[tuple[int, str, float]] = field(default_factory=list)
    consumed: tuple[int, Origin] | None = None
    diverged: Origin | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def final(self) -> dict[str, Loss]:
        """Subset -> the loss at its last update."""
        return {loss.subset: loss for loss in self.all}

    def at(self, step: float) -> dict[str, Loss]:
        """Return subset -> the loss after exactly this many updates."""
        return {loss.subset: loss for loss in self.all if loss.step == step}


def collect_losses(group: Group) -> Losses:
    """Return the losses of all starts of a run; SCALING_SCORES, at full precision, go before printed ones."""
    losses = Losses()
    tokens_at: dict[int, int] = {}
    printed: list[Loss] = []
    for start in group.starts:
        if start.mixed is None:
            usable = list(_usable(start, losses.problems))
            _count_tokens(usable, losses, tokens_at)
            printed += _printed(group.run_id, start, usable, losses.problems)
    # full precision last, so that it replaces what was printed for the same update
    losses.all = _joined([*printed, *_exact(group, losses.problems)], group, losses.problems)
    for loss in losses.all:
        if loss.updates in tokens_at:
            losses.upstream.append((tokens_at[loss.updates], loss.subset, loss.value))
    losses.diverged = _divergence(group, losses.final)
    return losses


def cross_entropy(stats: Stats, config: Mapping[str, Any]) -> Printed | None:
    """Return the cross-entropy of a record in nats with the half width of its rounding; None where it is unknown.

    ``nll_loss`` is it. ``loss`` is it only where it is known to hold no label smoothing: by the criterion of the
    configuration, or because the perplexity printed beside it is ``2 ** loss``.
    """
    if "target_tokens" in stats.fields:
        # this plug-in's own column, in nats and with six digits
        printed = stats.number("cross_entropy", _SIX_DIGITS)
        if printed is not None:
            return printed
    printed = stats.number("nll_loss", _DECIMALS)
    if printed is None and stats.fields.get("nll_loss") is None:
        loss = stats.number("loss", _DECIMALS)
        if loss is not None and (not math.isfinite(loss.value) or _is_plain(loss, stats, config)):
            printed = loss
    if printed is None:
        return None
    if math.isfinite(printed.value) and not 0 <= printed.value < 1e6:
        return None
    return Printed(printed.value * LN2, printed.half_width * LN2)


def _is_plain(loss: Printed, stats: Stats, config: Mapping[str, Any]) -> bool:
    if config:
        criterion, smoothing = component(config, "criterion"), setting(config, "label_smoothing", "criterion")
        if criterion == "label_smoothed_cross_entropy":
            return smoothing == 0
        if criterion is not None:
            return criterion in _PLAIN
    return _is_perplexity_of(loss, stats) is True


def _is_perplexity_of(loss: Printed, stats: Stats) -> bool | None:
    perplexity = stats.number("ppl", 2)
    if perplexity is None or not 0 <= loss.value < 60:
        return None
    low, high = 2 ** (loss.value - loss.half_width), 2 ** (loss.value + loss.half_width)
    return low - perplexity.half_width <= perplexity.value <= high + perplexity.half_width


def _usable(start: Start, problems: list[Problem]) -> Iterator[Stats]:
    """Yield the records of a start in the order of the file, but for damaged ones.

    Of a healthy log the perplexity of all records is that of their loss, or, with a criterion of its own, of none.
    """
    records = sorted(start.records, key=lambda stats: stats.origin)
    losses = [stats.number("nll_loss", _DECIMALS) or stats.number("loss", _DECIMALS) for stats in records]
    marks = [loss and _is_perplexity_of(loss, stats) for loss, stats in zip(losses, records, strict=True)]
    strict = marks.count(True) > marks.count(False)
    for stats, mark in zip(records, marks, strict=True):
        if strict and mark is False:
            problems.append(LogProblem.PERPLEXITY.at(*stats.origin))
        else:
            yield stats


def _count_tokens(records: list[Stats], losses: Losses, tokens_at: dict[int, int]) -> None:
    """Note the tokens consumed, which pretraining runs of this plug-in print as exact integers."""
    for stats in records:
        tokens = parse_exact_integer(stats.fields.get("pretrain_tokens"))
        if tokens is None or tokens < 0:
            continue
        if losses.consumed is None or tokens >= losses.consumed[0]:
            losses.consumed = (tokens, stats.origin)
        if stats.updates is not None:
            tokens_at[stats.updates] = tokens


def _printed(run: str, start: Start, records: list[Stats], problems: list[Problem]) -> Iterator[Loss]:
    smoothed = set()
    checkpoints = checkpoints_of(start) if start.program.tool == "validate" else []
    checkpoint = posixpath.basename(checkpoints[0]) if len(checkpoints) == 1 else ""
    for stats in records:
        if stats.tag in TRAINING:
            continue
        printed = cross_entropy(stats, start.config)
        if printed is not None:
            resumed_at = start.progress.resumed_at
            resumed = resumed_at is not None and resumed_at <= stats.step
            yield Loss(stats.tag, stats.updates, stats.step, *printed, stats.origin, resumed, checkpoint)
        elif stats.tag not in smoothed:
            smoothed.add(stats.tag)
            problems.append(LogProblem.SMOOTHED.at(*stats.origin, run=run, subset=stats.tag))


def _exact(group: Group, problems: list[Problem]) -> Iterator[Loss]:
    for said in [said for start in group.starts for said in start.scores] + group.scores:
        subset, value = said.content.get("subset"), said.content.get("cross_entropy")
        updates = parse_exact_integer(said.content.get("updates"))
        printed = parse_printed(value) if not isinstance(value, str) else None
        wild = printed is None or (math.isfinite(printed.value) and not 0 <= printed.value < 1e6)
        if not isinstance(subset, str) or not subset or printed is None or wild:
            problems.append(LogProblem.NO_CROSS_ENTROPY.at(*said.origin))
            continue
        step = -math.inf if updates is None or abs(updates) > 10**15 else float(updates)
        yield Loss(subset, updates, step, printed.value, 0.0, said.origin)


def _joined(found: list[Loss], group: Group, problems: list[Problem]) -> list[Loss]:
    """Return one loss per subset and update, ordered by update; none of a subset that two files contradict."""
    kept: dict[tuple[str, float], Loss] = {}
    contradicted: set[str] = set()
    for loss in found:
        before = kept.get((loss.subset, loss.step))
        elsewhere = before is not None and before.origin.file != loss.origin.file and not loss.resumed
        if before is not None and elsewhere and _contradict(before, loss):
            contradicted.add(loss.subset)
            problems.append(
                LogProblem.TWO_LOSSES.at(
                    *loss.origin,
                    run=group.run_id,
                    subset=loss.subset,
                    updates=f"{loss.step:g}",
                    value=f"{loss.value:.6g}",
                    other=f"{before.value:.6g}",
                    place=str(before.origin),
                    remedy=group.remedy_of_two,
                )
            )
        kept[loss.subset, loss.step] = loss
    usable = (loss for loss in kept.values() if loss.subset not in contradicted)
    return sorted(usable, key=lambda loss: (loss.step, loss.subset))


def _contradict(one: Loss, two: Loss) -> bool:
    if math.isnan(one.value) or math.isnan(two.value):
        return math.isnan(one.value) != math.isnan(two.value)
    if one.value == two.value:
        return False
    # a printed and an exact value may be means over other batches: they are not held against each other
    if (one.half_width == 0) != (two.half_width == 0):
        return False
    return abs(one.value - two.value) > one.half_width + two.half_width + 1e-9 * abs(one.value)


def _divergence(group: Group, final: Mapping[str, Loss]) -> Origin | None:
    """Return where a final loss, or the last loss of the start that went furthest, is nan or inf."""
    for loss in final.values():
        if not math.isfinite(loss.value):
            return loss.origin
    usable = [start for start in group.starts if start.mixed is None]
    furthest = max((start.last_step for start in usable), default=-math.inf)
    places = (_broken(start) for start in usable if start.last_step >= furthest)
    return next((place for place in places if place is not None), None)


def _broken(start: Start) -> Origin | None:
    for stats in start.records.last.values():
        losses = (parse_printed(stats.fields.get(key)) for key in ("loss", "nll_loss"))
        if any(loss is not None and not math.isfinite(loss.value) for loss in losses):
            return stats.origin
    error = start.progress.error
    if error is not None and not start.progress.finished and error[0].startswith(DIVERGED):
        return error[1]
    return None
