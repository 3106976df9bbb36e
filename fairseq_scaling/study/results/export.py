"""A finished study as one archive to publish: the same study gives the same bytes, and no path of this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
import shlex
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ...errors import DataError
from ...versions import installed_version
from ..plan.jobs import Plan
from ..plan.names import CANDIDATES
from ..run.folder import StudyFolder
from ..run.lock import is_running
from ..run.pending import pending_jobs
from ..run.programs import PACKAGE

# Of the commands of a study, those whose versions decide its numbers.
_PACKAGES = ("ve-fairseq", "torch", "numpy", "scipy", "sacrebleu", "sentencepiece", "sacremoses", "snakemake")
_TEXT = {".csv", ".html", ".json", ".log", ".svg", ".txt"}
_FIGURES = {".pdf", ".png"}
_READ_ME = """\
The study {name}, exported by scaling-study export (fairseq_scaling {version}).

study.yaml      its settings
plan.json       every command, with placeholders: {{out}} is this folder, {{package}} fairseq_scaling
results/        points, fits, predictions, figures and the report
pretraining/, finetuning/, logs/
                the log of every run, its translations and its scores
.study/candidates/
                where learning rates were chosen: the choices, and the runs that tried the rates
corpus.json     sizes, sources and checksums of the text
versions.json   with what it was exported
{given}SHA256SUMS      sha256sum --check SHA256SUMS

The laws again, in this folder: {fit}
"""


def export(
    plan: Plan, folder: StudyFolder, archive: Path, settings: str | None = None, weights: bool = False
) -> tuple[int, int]:
    """Write the archive (``.tar.gz``) and return how many files it holds and how many bytes it has.

    Args:
        settings: the text of the study.yaml that the plan was made from; None: the one that the study was last run
            with.
        weights: put the checkpoints in, too.

    Raises:
        DataError: the study is not finished with these settings or runs now, or the archive cannot be written.
    """
    _check_finished(plan, folder)
    replacements = _replacements(plan, folder)
    contents: dict[str, bytes | Path] = dict(_files(folder, weights, replacements))
    contents |= _made(plan, folder, settings, replacements)
    sums = "".join(f"{_checksum(data)}  {name}\n" for name, data in sorted(contents.items()))
    contents["SHA256SUMS"] = sums.encode()
    temporary = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with (
            temporary.open("wb") as file,
            # No name and no time in the head: the bytes depend on the contents alone.
            gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for name, data in sorted(contents.items()):
                _add(tar, f"{plan.name}/{name}", data)
        temporary.replace(archive)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{archive}: cannot be written: {error.strerror}") from None
    return len(contents), archive.stat().st_size


def _check_finished(plan: Plan, folder: StudyFolder) -> None:
    """Raise DataError where the results that are there are not those of the plan, or may change right now."""
    if is_running(folder):
        raise DataError(f"{folder.path}: this study is running\n  Export it when it has ended: scaling-study status")
    if not folder.report.exists():
        raise DataError(f"{folder.path}: no results yet\n  Finish it first: scaling-study run")
    if pending := pending_jobs(plan, folder):
        raise DataError(
            f"{folder.path}: {len(pending)} of {len(plan.jobs)} jobs are not done with these settings, the first of "
            f"them: {pending[0].label}\n"
            "  The results that are there are not theirs. Finish it first (scaling-study run), or name the settings\n"
            "  that made them: --out alone for those of the last run, STUDY.yaml and --set for others."
        )


def _add(tar: tarfile.TarFile, name: str, data: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = _size(data), 0o644
    with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as file:
        tar.addfile(entry, file)


def _size(data: bytes | Path) -> int:
    return data.stat().st_size if isinstance(data, Path) else len(data)


def _checksum(data: bytes | Path) -> str:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(
    folder: StudyFolder, weights: bool, replacements: list[tuple[bytes, bytes]]
) -> Iterator[tuple[str, bytes | Path]]:
    """Yield (name in the archive, content or file) of what the study has made and others can read."""
    tops = ("results", "pretraining", "finetuning", "logs", CANDIDATES)
    paths = [path for top in tops for path in (folder.path / top).rglob("*") if path.is_file()]
    if (alignment := folder.path / "alignment.json").exists():
        paths.append(alignment)
    for path in paths:
        name = str(path.relative_to(folder.path))
        if path.suffix in _TEXT and path != folder.snakemake_log:
            yield name, _replaced(path.read_bytes(), replacements)
        elif path.suffix in _FIGURES or (weights and path.suffix == ".pt"):
            yield name, path


def _made(
    plan: Plan, folder: StudyFolder, settings: str | None, replacements: list[tuple[bytes, bytes]]
) -> dict[str, bytes]:
    """Return what is written for the archive, and the files that lie elsewhere in the study."""
    versions = {"fairseq_scaling": __version__, "python": platform.python_version()}
    versions |= {name: found for name in _PACKAGES if (found := installed_version(name))}
    values = json.loads(plan.to_json())
    files = {word: Path(path) for word, path in plan.given.items() if Path(path).is_file()}
    given = {word: {"file": path.name, "sha256": _checksum(path)} for word, path in files.items()}
    line = "given.json      the files of its author's own that it was given: names, checksums\n" * bool(given)
    fit = shlex.join(plan.of_stage("fit")[0].argv).replace("--out results", "--out again")
    made = {
        "README.txt": _READ_ME.format(name=plan.name, version=__version__, given=line, fit=fit).encode(),
        "plan.json": f"{json.dumps(values, indent=1)}\n".encode(),
        "versions.json": f"{json.dumps(versions, indent=1)}\n".encode(),
    }
    if given:
        made["given.json"] = f"{json.dumps(given, indent=1)}\n".encode()
    if settings is not None:
        made["study.yaml"] = settings.encode()
    elsewhere = {"study.yaml": folder.settings_path, "corpus.json": folder.corpus(plan) / "corpus.json"}
    made |= {name: path.read_bytes() for name, path in elsewhere.items() if name not in made and path.is_file()}
    return {name: _replaced(data, replacements) for name, data in made.items()}


def _replaced(data: bytes, replacements: list[tuple[bytes, bytes]]) -> bytes:
    for place, word in replacements:
        # Not /home/me in /home/meg. The placeholders hold no backslash, which re.sub would read.
        data = re.sub(re.escape(place) + rb"(?![\w.-])", word, data)
    return data


def _replacements(plan: Plan, folder: StudyFolder) -> list[tuple[bytes, bytes]]:
    """Return (folder of this machine, placeholder), the longest first: one may lie in another."""
    places = {
        str(folder.corpus(plan)): "{corpus}",
        str(folder.path): "{out}",
        str(PACKAGE): "{package}",
        **{path: word for word, path in plan.given.items()},
        plan.source_folder: "{study}",
        sys.prefix: "{python}",
        str(Path.home()): "{home}",
    }
    both = {**{os.path.realpath(place): word for place, word in places.items()}, **places}
    ordered = sorted(both.items(), key=lambda pair: -len(pair[0]))
    return [(place.encode(), word.encode()) for place, word in ordered if len(place) > 1]
