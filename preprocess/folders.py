"""Folders of results: written under a temporary name, renamed when complete, never overwritten by accident."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairseq_scaling.data.corpus import check_files, file_checksum
from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.whole_files import check_free, replaced, write_whole

RAW_MANIFEST, CLEAN_MANIFEST, CORPUS_MANIFEST = "raw.json", "clean.json", "corpus.json"
FORMAT = 2
_OWN_NAMES = {
    RAW_MANIFEST: ("mono.*.txt", "pairs.*.txt"),
    CLEAN_MANIFEST: ("mono.*.txt", "pairs.*.txt"),
    CORPUS_MANIFEST: ("mono", "pairs", "dict.txt", "sentencepiece.model"),
}
_STEPS = {RAW_MANIFEST: "fetch", CLEAN_MANIFEST: "clean", CORPUS_MANIFEST: "encode"}


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``out`` if no error ends the block (DataError where the disk is full)."""
    with replaced(out) as (temporary,):
        temporary.mkdir()
        yield temporary


def check_folder(out: Path, manifest: str, overwrite: bool) -> None:
    """Raise SettingError if the result with this manifest may not be written to ``out``."""
    if out.is_file():
        raise SettingError("--out", out, "is a file, not a folder")
    check_free(out, (manifest, *_OWN_NAMES[manifest]), overwrite)


def write_manifest(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write a manifest; the same content gives the same bytes."""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    write_whole(folder / name, text + "\n")


def read_manifest(folder: Path, name: str) -> dict[str, Any]:
    """Return the manifest of a folder (DataError where it is missing, not finished, or was changed)."""
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
