"""Read fairseq logs, generate output, score files and alignment files into run records."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError
from ..scores.score_file import looks_like_score_file, read_score_file
from .alignment_file import looks_like_alignment_file, read_alignment_file
from .build import build_record
from .cache import Cache
from .files import first_bytes, looks_binary, walk
from .joining import Mapped, join
from .mapping import PathMapping
from .record import Alignment, Origin, Problem, Reading, RunRecord
from .segments import FileReading, Said, Segment, read_file

# what score-translations prints beside a file says nothing that the file does not
_WRITTEN = re.compile(rb"^score-translations: .*^written to ", re.DOTALL | re.MULTILINE)
_NAMED = 5  # files of a folder that are named where they hold nothing


def read_runs(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    mapping: str | os.PathLike[str] | None = None,
    cache: Cache | None = None,
) -> Reading:
    """Return the runs that ``paths`` hold, and a problem for everything that could not be used.

    A run is joined from its train log, generate output and score files by ``run_id``; stock runs by configuration,
    checkpoint folder and mapping. Alignment files are read beside them. Files are streamed: memory does not grow with
    them.

    Args:
        paths: files or folders (walked recursively, in sorted order; binary files, such as checkpoints, and names that
            begin with a dot are passed over). Files are recognised by content; gzip, UTF-16 and any line ends are fine.
        mapping: what stock fairseq logs do not say: a CSV file, or a path pattern with named fields such as
            ``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log`` (see :mod:`.mapping`).
        cache: where readings are kept, so that files that have not changed since are not read again.

    Raises:
        DataError: a path or the mapping file does not exist.
        SettingError: the mapping is malformed.
    """
    rules = PathMapping.read(os.fspath(mapping)) if mapping is not None else PathMapping([])
    members: list[Mapped] = []
    problems: list[Problem] = []
    alignments: list[Alignment] = []
    empty: dict[Path, list[str]] = {}
    table = Path(mapping) if mapping is not None else None
    for path, named in walk(paths):
        head = first_bytes(path)
        if looks_like_alignment_file(head):
            try:
                alignments += read_alignment_file(path)
            except DataError as error:
                problems.append(Problem(str(path), 0, str(error)))
            continue
        if not named and (looks_binary(head) or path == table):
            continue
        reading = FileReading([], []) if looks_binary(head) else _read(path, head, cache)
        problems += reading.problems
        if not reading.segments and not reading.problems:
            if named:
                problems.append(
                    Problem(str(path), 0, "holds nothing that fairseq or score-translations wrote: left out")
                )
            elif not _WRITTEN.search(head):
                empty.setdefault(path.parent, []).append(path.name)
            continue
        if reading.segments:
            fields, origins, complaints = rules.fields(path)
            problems += [Problem(str(path), 0, complaint) for complaint in complaints]
            folder = str(path.absolute().parent)
            members += [Mapped(segment, folder, fields, origins) for segment in reading.segments]
    if cache is not None:
        cache.tidy()
    problems += [_left_out(folder, names) for folder, names in empty.items()]
    groups, messages = join(members)
    problems += messages
    runs = []
    for group in groups:
        record, messages = build_record(group)
        runs.append(record)
        problems += messages
    return Reading(sorted(runs, key=_order), sorted(set(problems)), alignments)


def _read(path: Path, head: bytes, cache: Cache | None) -> FileReading:
    name = str(path)
    if looks_like_score_file(head):
        segment = Segment(Origin(name, 1))
        try:
            content = read_score_file(path)
        except DataError as error:
            return FileReading([], [Problem(name, 0, str(error))])
        if content is None:
            return FileReading([], [])
        segment.score_files.append(Said(content, Origin(name, 1)))
        return FileReading([segment], [])
    if cache is None:
        return read_file(path, name)
    return cache.reading(path, name, lambda: read_file(path, name))


def _left_out(folder: Path, names: list[str]) -> Problem:
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    counted = "1 file holds" if len(names) == 1 else f"{len(names)} files hold"
    return Problem(str(folder), 0, f"{counted} nothing that fairseq wrote, left out: {listed}")


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
