"""Folders of results: written under a temporary name, renamed when complete, never overwritten by accident."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fairseq_scaling.data.corpus import check_files, file_checksum
from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.whole_files import replaced, write_whole

RAW_MANIFEST, CLEAN_MANIFEST, CORPUS_MANIFEST = "raw.json", "clean.json", "corpus.json"
FORMAT = 2
_OWN_NAMES = {
    RAW_MANIFEST: ("mono.*.txt", "pairs.*.txt"),
    CLEAN_MANIFEST: ("mono.*.txt", "pairs.*.txt"),
    CORPUS_MANIFEST: ("mono", "pairs", "dict.txt", "sentencepiece.model"),
}
_STEPS = {RAW_MANIFEST: "fetch", CLEAN_MANIFEST: "clean", CORPUS_MANIFEST: "encode"}


@contextlib.contextmanager
def new_folder(out: Path, manifest: str, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` when the block ends without an error.

    Args:
        manifest: the file whose presence means that the result is finished.
        overwrite: replace a finished result.

    Raises:
        SettingError: there is a finished result and ``overwrite`` is false, or ``out`` holds files of someone else.
        DataError: the disk is full or read-only.
    """
    check_free(out, manifest, overwrite)
    with replaced(out) as (temporary,):
        temporary.mkdir()
        yield temporary


def check_free(out: Path, manifest: str, overwrite: bool) -> None:
    """Raise SettingError if a result may not be written to ``out``; called before any work is done."""
    if out.exists() and not out.is_dir():
        raise SettingError("--out", out, "is a file, not a folder")
    if not out.exists() or not any(out.iterdir()):
        return
    if (out / manifest).exists() and not overwrite:
        raise SettingError("--out", out, "holds a finished result", "give --overwrite to replace it, or another folder")
    foreign = [entry.name for entry in sorted(out.iterdir()) if not _is_own(entry.name, manifest)]
    if foreign:
        raise SettingError("--out", out, f"holds other files, for example {foreign[0]}", "give a new or empty folder")
    if not overwrite:
        raise SettingError("--out", out, "holds an unfinished result", "give --overwrite to replace it")


def write_manifest(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write a manifest; the same content gives the same bytes."""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    write_whole(folder / name, text + "\n")


def read_manifest(folder: Path, name: str) -> dict[str, Any]:
    """Return the manifest of a finished folder.

    Raises:
        DataError: the folder is missing or not finished.
    """
    try:
        manifest = json.loads((folder / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        step = _STEPS[name]
        raise DataError(
            f"{folder} holds no {name}: it is no finished result of the step {step!r}\n"
            f"  run scaling-preprocess {step} first (see scaling-preprocess {step} --help)"
        ) from None
    except ValueError as error:
        raise DataError(f"{folder / name} is no JSON: {error}") from None
    found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
    if found != FORMAT:
        raise DataError(f"{folder / name} has format {found}, this version reads format {FORMAT}")
    check_files(folder, manifest, f"make the folder again: scaling-preprocess {_STEPS[name]} --overwrite")
    return dict(manifest)


def file_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Return relative path -> size in bytes and SHA-256, of every file below the folder, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_checksum(path)}
        for path in paths
    }


def mono_name(language: str, split: str | None = None) -> str:
    """Return the file name of monolingual text, ``mono.en.txt`` or ``mono.en.train.txt``."""
    return f"mono.{language}.txt" if split is None else f"mono.{language}.{split}.txt"


def pair_name(pair: str, language: str, split: str | None = None) -> str:
    """Return the file name of one side of a pair, ``pairs.en-fr.fr.txt`` or ``pairs.en-fr.test.fr.txt``."""
    return f"pairs.{pair}.{language}.txt" if split is None else f"pairs.{pair}.{split}.{language}.txt"


def _is_own(name: str, manifest: str) -> bool:
    return name == manifest or any(fnmatch(name, pattern) for pattern in _OWN_NAMES[manifest])
