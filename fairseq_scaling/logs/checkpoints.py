"""Which checkpoint of a run was translated and scored, and the losses at that checkpoint."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator

from .config import setting
from .joining import Group, checkpoints_of
from .losses import Loss, Losses
from .record import Scored
from .records import Stats

_EPOCH = re.compile(r"checkpoint(\d+)\.pt")
_UPDATES = re.compile(r"(?:checkpoint_\d+_)?(\d+)(?:\.pt)?")


def scored_checkpoint(group: Group, losses: Losses) -> tuple[Scored | None, dict[str, Loss]]:
    """Return the checkpoint that the scores of the run are of, and subset -> its loss; None without such scores.

    fairseq-generate names the checkpoint in its configuration line, a score file in ``checkpoint``, a mapping in its
    column. Where none does, it is the last one if that is the best one too, or if the run is this plug-in's own.
    """
    if not (group.score_files or any(start.generated or start.score_files for start in group.starts)):
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
    return Scored(name, int(step), is_last), losses.final if is_last else losses.at(step)


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
    if match := _EPOCH.fullmatch(name):
        epoch = int(match[1])
        steps = [stats.step for stats in _validations(group) if stats.epoch == epoch and stats.step > -math.inf]
        return max(steps, default=None)
    match = _UPDATES.fullmatch(name)
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
            yield from (stats for stats in start.records if stats.tag not in ("train", "train_inner"))
