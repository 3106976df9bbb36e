"""A finished study as one archive to publish: the same study gives the same bytes, and no path of this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__
from ..errors import DataError
from .plan import Plan
from .state import StudyFolder

# Of the commands of a study, those whose versions decide its numbers.
_PACKAGES = ("ve-fairseq", "torch", "numpy", "scipy", "sacrebleu", "sentencepiece", "sacremoses", "snakemake")
_TEXT = {".csv", ".html", ".json", ".log", ".svg", ".txt", ".yaml"}
_READ_ME = """\
The study {name}, exported by scaling-study export (fairseq_scaling {version}).

study.yaml      its settings
plan.json       every command, with placeholders: {{out}} this folder, {{corpus}} the corpus, {{package}} fairseq_scaling
results/        points, fits, predictions, figures and the report
pretraining/, finetuning/, logs/
                the log of every run, its translations and its scores
corpus.json     sizes, sources and checksums of the text
versions.json   with what it was exported
SHA256SUMS      sha256sum --check SHA256SUMS

The laws again, in this folder: {fit}
"""


def export(plan: Plan, folder: StudyFolder, archive: Path, weights: bool = False) -> tuple[int, int]:
    """Write the archive (``.tar.gz``) and return its files and bytes.

    Args:
        weights: put the checkpoints in, too.

    Raises:
        DataError: the study has no results yet, or the archive cannot be written.
    """
    if not folder.report.exists():
        raise DataError(f"{folder.path}: no results yet\n  Finish it first: scaling-study run")
    replacements = _replacements(plan, folder)
    contents = {name: _cleaned(path, replacements) for name, path in _files(folder, weights)}
    contents |= _made(plan, folder, replacements)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents.items()))
    contents["SHA256SUMS"] = sums.encode()
    temporary = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            # No name and no time in the head: the bytes depend on the contents alone.
            with (
                gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
            ):
                for name, data in sorted(contents.items()):
                    entry = tarfile.TarInfo(f"{plan.name}/{name}")
                    entry.size, entry.mode = len(data), 0o644
                    tar.addfile(entry, io.BytesIO(data))
        temporary.replace(archive)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{archive}: cannot be written: {error.strerror}") from None
    return len(contents), archive.stat().st_size


def _files(folder: StudyFolder, weights: bool) -> Iterator[tuple[str, Path]]:
    """Yield (name in the archive, file) of what the study has made and others can read."""
    for top in ("results", "pretraining", "finetuning", "logs"):
        for path in sorted((folder.path / top).rglob("*")):
            if path.is_file() and path.name != folder.snakemake_log.name and (weights or path.suffix != ".pt"):
                yield str(path.relative_to(folder.path)), path
    if (alignment := folder.path / "alignment.json").exists():
        yield alignment.name, alignment


def _made(plan: Plan, folder: StudyFolder, replacements: list[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Return the files that are made for the archive."""
    versions = {"fairseq_scaling": __version__, "python": platform.python_version()}
    versions |= {name: found for name in _PACKAGES if (found := _version(name))}
    values = json.loads(plan.to_json())
    values |= {"source_folder": "{study}", "corpus": "corpus" if os.path.isabs(plan.corpus) else plan.corpus}
    fit = " ".join(plan.of_stage("fit")[0].words).replace("--out results", "--out again")
    made = {
        "README.txt": _READ_ME.format(name=plan.name, version=__version__, fit=fit),
        "plan.json": json.dumps(values, indent=1) + "\n",
        "versions.json": json.dumps(versions, indent=1) + "\n",
    }
    copies = {"study.yaml": folder.settings_path, "corpus.json": folder.corpus(plan) / "corpus.json"}
    found = {name: text.encode() for name, text in made.items()}
    return {
        name: _replaced(data, replacements)
        for name, data in {**found, **{n: p.read_bytes() for n, p in copies.items() if p.exists()}}.items()
    }


def _cleaned(path: Path, replacements: list[tuple[bytes, bytes]]) -> bytes:
    data = path.read_bytes()
    return _replaced(data, replacements) if path.suffix in _TEXT else data


def _replaced(data: bytes, replacements: list[tuple[bytes, bytes]]) -> bytes:
    for place, word in replacements:
        data = re.sub(re.escape(place) + rb"(?![\w.-])", word.replace(b"\\", rb"\\"), data)
    return data.replace(platform.node().encode(), b"{host}") if len(platform.node()) > 3 else data


def _replacements(plan: Plan, folder: StudyFolder) -> list[tuple[bytes, bytes]]:
    """Return (folder of this machine, placeholder), the longest first: one may lie in another."""
    places = {
        str(folder.corpus(plan)): "{corpus}",
        str(folder.path): "{out}",
        str(Path(__file__).parent.parent): "{package}",
        plan.source_folder: "{study}",
        sys.prefix: "{python}",
        str(Path.home()): "{home}",
    }
    both = {**{os.path.realpath(place): word for place, word in places.items()}, **places}
    ordered = sorted(both.items(), key=lambda pair: -len(pair[0]))
    return [(place.encode(), word.encode()) for place, word in ordered if len(place) > 1]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
