"""Which segments belong to one run: by run_id; stock runs by configuration, checkpoint folder and mapping."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .config import identity, setting
from .record import Origin, Problem
from .segments import Said, Segment


@dataclass
class Mapped:
    """A segment with what the mapping says of its file."""

    segment: Segment
    folder: str
    fields: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)


@dataclass
class Group:
    """Everything of one run: segments in the order of files and lines, and the score objects that name it."""

    run_id: str
    stock: bool
    members: list[Mapped] = field(default_factory=list)
    scores: list[Said] = field(default_factory=list)
    score_files: list[Said] = field(default_factory=list)
    loose: str = ""  # why it is unknown which run this belongs to

    @property
    def segments(self) -> list[Segment]:
        return [member.segment for member in self.members]


def join(members: list[Mapped]) -> tuple[list[Group], list[Problem]]:
    """Return one group per run."""
    groups: dict[str, Group] = {}
    problems: list[Problem] = []
    waiting: list[Mapped] = []
    for member in members:
        segment = member.segment
        if segment.run_id is not None:
            _group(groups, segment.run_id, False).members.append(member)
        elif segment.only_config and not segment.generated and segment.tool.rpartition("_")[2] in ("", "train"):
            message = "a configuration and nothing else: the program did not start, or it was cut, or it logs elsewhere"
            problems.append(Problem(*(segment.config_origin or segment.origin), message))
        elif segment.trains and segment.config and segment.tool != "validate":
            _group(groups, _stock_id(member), True).members.append(member)
        elif segment.trains or segment.generated:
            waiting.append(member)
        elif segment.config and segment.tool.endswith(("generate", "validate")) and not segment.scores:
            message = f"fairseq-{segment.tool} printed no score: it was cut, or its output went into another file"
            problems.append(Problem(*segment.origin, message))
        else:
            # holds SCALING_SCORES or score files alone: those name their run themselves
            waiting.append(member)
    for member in list(members):
        _named_scores(member, groups)
    trained = [group for group in groups.values() if any(segment.trains for segment in group.segments)]
    scored = _scored(groups)
    for member in waiting:
        segment = member.segment
        if not (segment.trains or segment.generated or segment.score_files or segment.scores):
            continue
        group, reason = scored.get(segment.origin.file), ""
        if group is None or not segment.generated:
            group, reason = _find(member, trained)
        if group is None:
            group = _group(groups, _stock_id(member), True)
            group.loose = group.loose or ("" if member.fields else reason)
        group.members.append(member)
    return list(groups.values()), problems


def _group(groups: dict[str, Group], run_id: str, stock: bool) -> Group:
    if run_id not in groups:
        groups[run_id] = Group(run_id, stock)
    return groups[run_id]


def _named_scores(member: Mapped, groups: dict[str, Group]) -> None:
    """Hand the score objects of the segment that name another run to that run, wherever they stand."""
    segment = member.segment
    attributes: tuple[tuple[str, Callable[[Group], list[Said]]], ...] = (
        ("scores", lambda group: group.scores),
        ("score_files", lambda group: group.score_files),
    )
    for name, place in attributes:
        kept = []
        for said in getattr(segment, name):
            run_id = said.content.get("run_id")
            if isinstance(run_id, str) and run_id.strip():
                place(_group(groups, run_id, False)).append(said)
            else:
                kept.append(said)
        setattr(segment, name, kept)


def _scored(groups: dict[str, Group]) -> dict[str, Group]:
    """Return file -> run for the outputs of fairseq-generate that a score file beside them was made from."""
    found: dict[str, Group] = {}
    for group in groups.values():
        for said in group.score_files:
            name = said.content.get("hypotheses")
            if isinstance(name, str) and name:
                found[os.path.join(os.path.dirname(said.origin.file), os.path.basename(name))] = group
    return found


def _stock_id(member: Mapped) -> str:
    """Return 12 hexadecimal digits that are the same for restarts of one stock run, and differ between runs.

    The mapping's fields make the difference where there are any, else the folder does: two runs with one configuration
    in two folders may have started from two checkpoints.
    """
    segment = member.segment
    place = _written(member.fields) if member.fields else member.folder
    if segment.trains and segment.config and segment.tool != "validate":
        parts = ["train", identity(segment.config), place]
    elif member.fields:
        parts = ["mapped", place]
    else:
        parts = ["file", segment.origin.file, str(segment.origin.line)]
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _written(fields: dict[str, Any]) -> str:
    return repr(sorted((key, str(value)) for key, value in fields.items()))


def _find(member: Mapped, trained: list[Group]) -> tuple[Group | None, str]:
    """Return the trained run that a segment without a name belongs to, or why it is unknown."""
    segment = member.segment
    if not segment.trains or segment.tool == "validate":
        checkpoints = {_folder_of(checkpoint) for checkpoint in _checkpoints(segment)}
        if checkpoints:
            found = [group for group in trained if checkpoints & {_save_dir(each) for each in group.segments}]
            near = [group for group in found if any(each.folder == member.folder for each in group.members)]
            found = near if len(found) > 1 and len(near) == 1 else found
            if len(found) == 1:
                return found[0], ""
            if found:
                return None, f"{len(found)} runs saved their checkpoints in {', '.join(sorted(checkpoints))}"
    if member.fields:
        written = _written(member.fields)
        found = [group for group in trained if any(_written(each.fields) == written for each in group.members)]
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"the mapping says the same of {len(found)} runs"
    return None, "nothing says which run this belongs to"


def _checkpoints(segment: Segment) -> list[str]:
    paths = [setting(segment.config, "path", "common_eval")]
    paths += [said.content.get("checkpoint") for said in segment.score_files]
    return [part for path in paths if isinstance(path, str) for part in path.split(":") if part]


def _save_dir(segment: Segment) -> str | None:
    save_dir = setting(segment.config, "save_dir", "checkpoint")
    return posixpath.normpath(save_dir) if isinstance(save_dir, str) and save_dir else None


def _folder_of(checkpoint: str) -> str:
    return posixpath.normpath(posixpath.dirname(checkpoint) or ".")
