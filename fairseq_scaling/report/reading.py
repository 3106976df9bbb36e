"""Reading everything a report is made from: logs, generate outputs, score files, alignment files and tables, mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..alignment_file import Alignment
from ..errors import DataError, SettingError
from ..logs import LogProblem, Problem, Reading, read_runs
from ..logs.kinds import LOOSE
from ..problems import ProblemKind
from ..quantities import PRETRAIN_TOKENS, quantity
from .forgetting import Forgetting
from .points import Point
from .points.curves import Unplaced
from .points.roles import TableOptions
from .points.sheets import TABLE_ENDINGS
from .points.tables import is_known_table, read_table
from .run_points import Choice, RunProblem, points_of_runs

OWN_FILES = {"points.csv", "predictions.csv", "fits.json", "report.html"}


@dataclass
class Read:
    """Where the report comes from; ``columns``: what those of each table were taken for, where that was guessed."""

    paths: list[str] = field(default_factory=list)
    finetuning_runs: int = 0
    pretraining_runs: int = 0
    tables: int = 0
    alignments: int = 0
    columns: list[str] = field(default_factory=list)


@dataclass
class Inputs:
    """What was read, beside the points.

    ``remarks`` are the user's own: what no log says, such as runs not made. ``reading`` is what the logs hold, None
    where only tables were read.
    """

    read: Read = field(default_factory=Read)
    problems: list[Problem] = field(default_factory=list)
    forgetting: list[Forgetting] = field(default_factory=list)
    alignments: list[Alignment] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    reading: Reading | None = None


def read_inputs(
    paths: Sequence[str],
    mapping: str | None = None,
    choice: Choice | None = None,
    options: TableOptions | None = None,
) -> tuple[list[Point], Inputs]:
    """Return the points that the paths hold, and what was read and could not be.

    A file that ends in .csv or .tsv, is JSON with columns of a size and of scores, or begins with a table's header, is
    a table; of a folder, every .csv or .tsv file whose columns are known is one, but for what ``fit-scaling`` itself
    wrote there. Everything else goes to ``logs.read_runs``.

    Args:
        paths: files and folders.
        mapping: what stock logs do not say.
        choice: which subsets count, and whether unfinished runs do.
        options: what the user says of tables.

    Raises:
        DataError: a path does not exist.
        SettingError: the mapping is malformed, or logs are to be over another quantity than pretraining tokens.
    """
    tables: list[Path] = []
    others: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder\n  name logs, tables or folders that hold them")
        if path.is_dir():
            tables += _tables_in(path, mapping)
            others.append(path)
        elif path.suffix.lower() in TABLE_ENDINGS or is_known_table(path):
            tables.append(path)
        else:
            others.append(path)
    read = Read([str(path) for path in paths])
    inputs = Inputs(read)
    points: list[Point] = []
    for path in dict.fromkeys(tables):
        table = read_table(path, options=options)
        read.tables += 1
        points += table.points
        inputs.problems += table.problems
        if table.roles is not None and not table.roles.is_own:
            read.columns.append(f"{path}: {table.roles.sentence()}")
    if others:
        known = {path.resolve() for path in tables}
        reading = read_runs(others, mapping, skip=lambda path: path.resolve() in known or _is_own(path))
        runs = points_of_runs(reading.runs, choice)
        inputs.problems += _once([*reading.problems, *runs.problems])
        if runs.points and options and options.x and quantity(options.x) != PRETRAIN_TOKENS:
            raise SettingError(
                "--x", options.x, "of logs the curves are over pretraining tokens", "give it with a table"
            )
        points += runs.points
        read.finetuning_runs, read.pretraining_runs = runs.finetuning_runs, runs.pretraining_runs
        inputs.forgetting = runs.forgetting
        inputs.alignments, read.alignments = reading.alignments, len(reading.alignments)
        inputs.reading = reading
    return points, inputs


# what the points say again that the reader of logs has said of the run, or that takes the place of what it has said
_SAID_BEFORE: dict[ProblemKind, tuple[ProblemKind, ...]] = {
    RunProblem.UNKNOWN_SIZE: (LogProblem.LACKS, *LOOSE),
    RunProblem.DIVERGED: (LogProblem.DIVERGED,),
    RunProblem.UNFINISHED: (LogProblem.UNFINISHED,),
    LogProblem.UNFINISHED: (RunProblem.USED_UNFINISHED,),
}


def _once(problems: list[Problem]) -> list[Problem]:
    """Return the problems without those that another one says of the same run."""
    said = {(problem.kind, problem.run) for problem in problems}
    return [
        problem
        for problem in problems
        if not any((kind, problem.run) in said for kind in _SAID_BEFORE.get(problem.kind, ()))
    ]


def _tables_in(folder: Path, mapping: str | None) -> list[Path]:
    """Return the tables of a folder, sorted; neither the mapping nor this tool's own output is one."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in TABLE_ENDINGS or not path.is_file() or _is_own(path) or not is_known_table(path):
            continue
        if mapping is None or not Path(mapping).exists() or not path.samefile(mapping):
            found.append(path)
    return found


def _is_own(path: Path) -> bool:
    """Return whether this tool wrote the file: it lies where a ``fits.json`` lies (figures: one folder below)."""
    beside = (path.parent / "fits.json").is_file() and path.name in OWN_FILES
    return beside or (path.parent.name == "figures" and (path.parent.parent / "fits.json").is_file())
