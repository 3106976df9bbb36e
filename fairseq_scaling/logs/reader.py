"""Read fairseq logs, generate output, score files and alignment files into run records."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ..alignment_file import Alignment, looks_like_alignment_file, read_alignment_file
from ..errors import DataError
from ..problems import Problem, in_order
from ..scores.score_file import looks_like_score_file, read_score_file
from .build import build_record
from .files import PathLike, first_bytes, looks_binary, other_packer, walk
from .joining import Mapped, join, scored_files
from .kinds import LogProblem
from .mapping import PathMapping
from .record import Origin, Reading, RunRecord
from .starts import FileReading, Said, Start, read_file

# what score-translations prints beside a file says nothing that the file does not
_WRITTEN = re.compile(rb"^score-translations: .*^written to ", re.DOTALL | re.MULTILINE)
_NAMED = 5  # files of a folder that are named where they hold nothing


def read_runs(
    paths: PathLike | Iterable[PathLike],
    mapping: PathLike | None = None,
    skip: Callable[[Path], bool] = lambda path: False,
) -> Reading:
    """Return the runs that ``paths`` hold, and a problem for everything that could not be used.

    A run is joined from its train log, generate output and score files by ``run_id``; stock runs by configuration,
    checkpoint folder and mapping. Alignment files are read beside them. Files are streamed: memory does not grow with
    them.

    Args:
        paths: files or folders (walked recursively, in sorted order; binary files, such as checkpoints, and names that
            begin with a dot are passed over). Files are recognised by content; gzip, bzip2, xz, UTF-16 and any line
            ends are fine.
        mapping: what stock fairseq logs do not say: a CSV file, or a path pattern with named fields such as
            ``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log`` (see :mod:`.mapping`).
        skip: whether a file found in a folder is not for this reader (a table of scores, say).

    Raises:
        DataError: a path or the mapping file does not exist.
        SettingError: the mapping is malformed.
    """
    rules = PathMapping.read(os.fspath(mapping)) if mapping is not None else PathMapping([])
    table = os.path.realpath(mapping) if mapping is not None else None
    members: list[Mapped] = []
    problems: list[Problem] = []
    alignments: list[Alignment] = []
    empty: dict[Path, list[str]] = {}
    translations: list[str] = []
    files = 0
    for path, named in walk(paths):
        head = first_bytes(path)
        if not named and (os.path.realpath(path) == table or skip(path)):
            continue
        if looks_like_alignment_file(head):
            try:
                alignments += read_alignment_file(path)
            except DataError as error:
                problems.append(LogProblem.BAD_ALIGNMENT_FILE.at(str(path), reason=str(error)))
            continue
        packed = other_packer(path)
        if packed is not None:
            problems.append(packed)
            continue
        if looks_binary(head) and not named:
            continue
        reading = FileReading([], []) if looks_binary(head) else _read(path, head)
        problems += reading.problems
        if reading.translations and not any(start.generated for start in reading.starts):
            translations.append(str(path))
        elif not reading.starts and not reading.problems:
            if named:
                problems.append(LogProblem.NOTHING.at(str(path)))
            elif not _WRITTEN.search(head):
                empty.setdefault(path.parent, []).append(path.name)
            continue
        files += 1
        if reading.starts:
            fields, origins, complaints = rules.fields(path)
            problems += complaints
            folder = str(path.absolute().parent)
            members += [Mapped(start, folder, fields, origins) for start in reading.starts]
    groups, messages = join(members)
    problems += [*rules.unused(), *messages, *(_nothing_in(folder, names) for folder, names in empty.items())]
    scored = {file for group in groups for said in group.all_score_files for file in scored_files(said)}
    problems += [LogProblem.UNSCORED.at(file) for file in translations if file not in scored]
    runs: list[RunRecord] = []
    for group in groups:
        record, messages = build_record(group)
        runs.append(record)
        problems += messages
    return Reading(sorted(runs, key=_order), in_order(problems), alignments, files)


def _read(path: Path, head: bytes) -> FileReading:
    name = str(path)
    if not looks_like_score_file(head):
        return read_file(path, name)
    try:
        content = read_score_file(path)
    except DataError as error:
        return FileReading([], [LogProblem.BAD_SCORE_FILE.at(name, reason=str(error))])
    if content is None:
        return FileReading([], [])
    return FileReading([Start(Origin(name, 1), score_files=[Said(content, Origin(name, 1))])], [])


def _nothing_in(folder: Path, names: list[str]) -> Problem:
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    counted = "1 file holds" if len(names) == 1 else f"{len(names)} files hold"
    return LogProblem.NOTHING_IN_FILES.at(str(folder), count=counted, names=listed)


def _order(run: RunRecord) -> tuple[object, ...]:
    return (
        run.stage != "pretraining",
        run.source_lang or "",
        run.target_lang or "",
        str(run.mixture or ""),
        -1 if run.finetune_tokens is None else run.finetune_tokens,
        -1 if run.pretrain_tokens is None else run.pretrain_tokens,
        -1 if run.seed is None else run.seed,
        run.run_id,
    )
