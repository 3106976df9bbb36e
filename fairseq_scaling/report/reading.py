"""Reading everything a report is made from: logs, generate outputs, score files, alignment files and tables, mixed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from ..logs import Cache, Problem, read_runs
from .document import Inputs
from .points import Point
from .points.tables import is_table, read_table
from .run_points import points_of_runs

_TABLE_ENDINGS = (".csv", ".tsv")
OWN_FILES = {"points.csv", "predictions.csv", "fits.json", "report.html"}


def read_inputs(
    paths: Sequence[str], mapping: str | None = None, cache: Cache | None = None
) -> tuple[list[Point], Inputs]:
    """Return the points that the paths hold, and what was read and could not be.

    A file that ends in .csv or .tsv, or begins with a table's header, is a table; of a folder, every such file with a
    table's header is one, but for what ``fit-scaling`` itself wrote there. Everything else goes to ``logs.read_runs``,
    with the cache.

    Raises:
        DataError: a path does not exist.
        SettingError: the mapping is malformed.
    """
    tables: list[Path] = []
    others: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder\n  name logs, tables or folders that hold them")
        if path.is_dir():
            tables += _tables_in(path, mapping)
            others.append(path)
        elif path.suffix.lower() in _TABLE_ENDINGS or is_table(path):
            tables.append(path)
        else:
            others.append(path)
    inputs = Inputs(paths=[str(path) for path in paths])
    points: list[Point] = []
    for path in dict.fromkeys(tables):
        table = read_table(path)
        inputs.tables += 1
        points += table.points
        inputs.problems += table.problems
    if others:
        reading = read_runs(others, mapping, cache)
        runs = points_of_runs(reading.runs)
        points += runs.points
        inputs.problems += [p for p in reading.problems if not _is_about_tables(p, tables)]
        inputs.problems += [problem for problem in runs.problems if not _is_said(problem, reading.problems)]
        inputs.finetuning_runs, inputs.pretraining_runs = runs.finetuning_runs, runs.pretraining_runs
        inputs.forgetting = runs.forgetting
        inputs.alignments = reading.alignments
        if not reading.runs and not inputs.tables:
            where = ", ".join(str(path) for path in others)
            inputs.problems.append(Problem(where, 0, "no readable run in here"))
    return points, inputs


def _tables_in(folder: Path, mapping: str | None) -> list[Path]:
    """Return the tables of a folder, sorted; neither the mapping nor this tool's own output is one."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _TABLE_ENDINGS or not path.is_file() or _is_own(path) or not is_table(path):
            continue
        if mapping is None or not Path(mapping).exists() or not path.samefile(mapping):
            found.append(path)
    return found


def _is_own(path: Path) -> bool:
    """Return whether this tool wrote the file: it lies where a ``fits.json`` lies (figures: one folder below)."""
    beside = (path.parent / "fits.json").is_file() and path.name in OWN_FILES
    return beside or (path.parent.name == "figures" and (path.parent.parent / "fits.json").is_file())


def _is_said(problem: Problem, others: Sequence[Problem]) -> bool:
    """Return whether the logs' reader has named what the same run lacks already."""
    run = re.match(r"run (\S+)", problem.message)
    lacks = "pretrain_tokens" if "D_p is unknown" in problem.message else "no translation scores"
    if run is None or not any(word in problem.message for word in ("D_p is unknown", "no BLEU", "no score")):
        return False
    return any(f"run {run[1]} " in other.message and lacks in other.message for other in others)


def _is_about_tables(problem: Problem, tables: Sequence[Path]) -> bool:
    """Return whether the logs' reader complains only of files that were read as tables or written by this tool."""
    place = Path(problem.file)
    if not place.is_dir():
        return _is_own(place)
    counted = re.match(r"(\d+) files? holds? nothing", problem.message)
    if counted is None:
        return False
    files = [path for path in place.iterdir() if path.is_file()]
    known = [path for path in files if path in tables or _is_own(path)]
    return len(known) in (len(files), int(counted[1]))
