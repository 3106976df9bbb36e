"""Which starts belong to one run: by run_id; stock runs by configuration, checkpoint folder and mapping."""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass, field
from typing import Any

from ..problems import Problem
from .config import identity, setting
from .kinds import LogProblem, Why
from .record import Origin
from .starts import Said, Start


@dataclass
class Mapped:
    """A start with the folder of its file, what the mapping says of it, and where the mapping says that."""

    start: Start
    folder: str
    fields: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)


@dataclass
class Group:
    """Everything of one run: starts in the order of files and lines, and the score objects that name it.

    Attributes:
        stock: no SCALING_RUN names the run.
        loose: why it is unknown which training the scores belong to; None where it is known.
    """

    run_id: str
    stock: bool
    members: list[Mapped] = field(default_factory=list)
    scores: list[Said] = field(default_factory=list)
    score_files: list[Said] = field(default_factory=list)
    loose: Why | None = None

    @property
    def starts(self) -> list[Start]:
        return [member.start for member in self.members]

    @property
    def all_score_files(self) -> list[Said]:
        """The score files that name the run, and those of its starts."""
        return [*self.score_files, *(said for start in self.starts for said in start.score_files)]

    @property
    def remedy_of_two(self) -> str:
        """What to do where two files of the run contradict each other."""
        if self.stock:
            return "if these are two runs, give them two values in the column run (or seed) of the mapping"
        return "remove one of the files"


def join(members: list[Mapped]) -> tuple[list[Group], list[Problem]]:
    """Return one group per run."""
    groups: dict[str, Group] = {}
    problems: list[Problem] = []
    waiting: list[Mapped] = []
    for member in members:
        start = member.start
        place = start.program.origin or start.origin
        if start.run_id is not None:
            _group(groups, start.run_id, False).members.append(member)
        elif start.trained_nothing:
            problems.append(LogProblem.EMPTY_START.at(*place))
        elif start.trains and start.config and start.program.tool != "validate":
            run = _continued(member, groups) or _group(groups, _stock_id(member), True)
            run.members.append(member)
        elif start.is_only_config and start.program.tool in ("generate", "validate"):
            problems.append(LogProblem.NO_SCORE_PRINTED.at(*place, tool=start.program.tool))
        elif start.trains or start.generated or start.score_files or start.scores:
            waiting.append(member)
        else:
            problems.append(LogProblem.EMPTY_START.at(*place))
    for member in members:
        _hand_over_named_scores(member.start, groups)
    trained = [group for group in groups.values() if any(start.trains for start in group.starts)]
    scored = _scored(groups)
    for member in waiting:
        start = member.start
        if not (start.trains or start.generated or start.score_files or start.scores):
            continue
        group, why = scored.get(start.origin.file), Why(LogProblem.LOOSE)
        if group is None or not start.generated:
            group, why = _find(member, trained)
        if group is None:
            group = _group(groups, _stock_id(member), True)
            if not member.fields:
                group.loose = why if group.loose in (None, Why(LogProblem.LOOSE)) else group.loose
        group.members.append(member)
    return list(groups.values()), problems


def _group(groups: dict[str, Group], run_id: str, stock: bool) -> Group:
    return groups.setdefault(run_id, Group(run_id, stock))


def _continued(member: Mapped, groups: dict[str, Group]) -> Group | None:
    """Return the stock run that a start goes on with although its settings differ: those that differ are listed.

    It resumed in the same folder of checkpoints at an update that the run had reached, and counted on from there.
    """
    start = member.start
    resumed_at = start.progress.resumed_at
    if resumed_at is None or any(stats.step < resumed_at for stats in start.records):
        return None
    place = _written(member.fields) if member.fields else member.folder
    found = [
        group
        for group in groups.values()
        for each in group.members
        if group.stock
        and (_written(each.fields) if each.fields else each.folder) == place
        and _save_dir(each.start) == _save_dir(start) is not None
        and each.start.last_step >= resumed_at
    ]
    return found[-1] if len({group.run_id for group in found}) == 1 else None


def _hand_over_named_scores(start: Start, groups: dict[str, Group]) -> None:
    """Hand the score objects of a start that name a run to that run, wherever they stand."""

    def named(said: Said) -> str:
        run_id = said.content.get("run_id")
        return run_id if isinstance(run_id, str) and run_id.strip() else ""

    for said in filter(named, start.scores):
        _group(groups, named(said), False).scores.append(said)
    for said in filter(named, start.score_files):
        _group(groups, named(said), False).score_files.append(said)
    start.scores = [said for said in start.scores if not named(said)]
    start.score_files = [said for said in start.score_files if not named(said)]


def _scored(groups: dict[str, Group]) -> dict[str, Group]:
    """Return file -> run for the outputs of fairseq-generate that a score file beside them was made from."""
    return {file: group for group in groups.values() for said in group.score_files for file in scored_files(said)}


def scored_files(said: Said) -> list[str]:
    """Return the output of fairseq-generate that a score file was made from, as a path beside it; none if unknown."""
    name = said.content.get("hypotheses")
    beside = os.path.dirname(said.origin.file)
    return [os.path.join(beside, os.path.basename(name))] if isinstance(name, str) and name else []


def _stock_id(member: Mapped) -> str:
    """Return 12 hexadecimal digits that are the same for restarts of one stock run, and differ between runs.

    The mapping's fields make the difference where there are any, else the folder does: two runs with one configuration
    in two folders may have started from two checkpoints.
    """
    start = member.start
    place = _written(member.fields) if member.fields else member.folder
    if start.trains and start.config and start.program.tool != "validate":
        parts = ["train", identity(start.config), place]
    elif member.fields:
        parts = ["mapped", place]
    else:
        parts = ["file", start.origin.file, str(start.origin.line)]
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _written(fields: dict[str, Any]) -> str:
    """Return what tells the runs of a mapping apart: the name of the run where it gives one, else all that it says."""
    if "run" in fields:
        return str(fields["run"])
    return repr(sorted((key, str(value)) for key, value in fields.items()))


def _find(member: Mapped, trained: list[Group]) -> tuple[Group | None, Why]:
    """Return the trained run that a start without a name belongs to, or why it is unknown.

    The folder of the checkpoint that it used says it, or the mapping. Several runs may have saved their checkpoints in
    folders of one name: then the run whose log lies in the same folder, is of the same mapping, or lies in the nearest
    folder above.
    """
    start, unknown = member.start, Why(LogProblem.LOOSE)
    candidates: list[Group] = []
    if not start.trains or start.program.tool == "validate":
        checkpoints = {posixpath.normpath(posixpath.dirname(file) or ".") for file in checkpoints_of(start)}
        candidates = [group for group in trained if checkpoints & {_save_dir(each) for each in group.starts}]
        beside = [group for group in candidates if any(each.folder == member.folder for each in group.members)]
        if len(candidates) == 1 or len(beside) == 1:
            return (beside or candidates)[0], unknown
    if member.fields:
        written = _written(member.fields)
        among = candidates or trained
        mapped = [group for group in among if any(_written(each.fields) == written for each in group.members)]
        if len(mapped) == 1:
            return mapped[0], unknown
        if mapped:
            return None, Why(LogProblem.LOOSE_MAPPED, {"runs": len(mapped)})
    if candidates:
        depths = {
            group.run_id: max(_depth_above(each.folder, member.folder) for each in group.members)
            for group in candidates
        }
        nearest = [group for group in candidates if depths[group.run_id] == max(depths.values()) > 0]
        if len(nearest) == 1:
            return nearest[0], unknown
        folders = ", ".join(sorted(checkpoints))
        return None, Why(LogProblem.LOOSE_SAVED, {"runs": len(candidates), "folders": folders})
    return None, unknown


def _depth_above(folder: str, other: str) -> int:
    """Return the depth of a folder that lies above the other one, 0 for any other folder."""
    above = os.path.commonpath([folder, other]) == folder
    return len(folder.split(os.sep)) if above else 0


def checkpoints_of(start: Start) -> list[str]:
    """Return the checkpoints that fairseq-generate, fairseq-validate or a score file says that it used."""
    paths = [setting(start.config, "path", "common_eval")]
    paths += [said.content.get("checkpoint") for said in start.score_files]
    return [part for path in paths if isinstance(path, str) for part in path.split(":") if part]


def _save_dir(start: Start) -> str | None:
    save_dir = setting(start.config, "save_dir", "checkpoint")
    return posixpath.normpath(save_dir) if isinstance(save_dir, str) and save_dir else None
