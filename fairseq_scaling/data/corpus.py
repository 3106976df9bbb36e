"""The corpus folder: what ``preprocess/`` writes and the fairseq tasks read. Knows numpy and JSON, nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, SettingError
from .dictionary import DICTIONARY_FILE, SENTENCEPIECE_FILE, is_text, read_symbols
from .tokenfile import TokenBatch, TokenFile, token_dtype, write_token_file

__all__ = ["Corpus", "TokenBatch", "TokenFile", "corpus_fingerprint", "token_dtype", "write_token_file"]

MANIFEST = "corpus.json"
FORMAT = 1
SMALL_FILE = 8 << 20  # bytes that are read in no time
_REMEDY = "make it with scaling-preprocess encode (see scaling-preprocess --help)"


class Corpus:
    """A finished corpus folder: one vocabulary, monolingual text per language, and translation pairs.

    ``Corpus.open`` compares checksums of small files (dictionary, SentencePiece model, valid and test sets) and sizes
    of large ones, so it is quick for a corpus of any size.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Corpus:
        """Return the corpus in the folder ``path``.

        Raises:
            DataError: there is no finished corpus, a file is missing or not what was written, or ``corpus.json`` was
                edited; the message names the file.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: no corpus there\n  {_REMEDY}")
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(
                f"{folder} holds no {MANIFEST}: it is no corpus folder, or encoding was stopped midway\n  {_REMEDY}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{folder / MANIFEST} is no JSON: {error}\n  {_REMEDY}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
            raise DataError(f"{folder / MANIFEST} has format {found}, this version reads format {FORMAT}\n  {_REMEDY}")
        try:
            _check_manifest(manifest)
        except ValueError as error:
            raise DataError(f"{folder / MANIFEST} was changed: {error}\n  {_REMEDY}") from None
        check_files(folder, manifest, _REMEDY)
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """A SHA-256 in hex that is the same for two corpora if and only if every file in them is."""
        return str(self.manifest["fingerprint"])

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages with monolingual text, sorted."""
        return tuple(sorted(self.manifest["languages"]))

    @property
    def pairs(self) -> tuple[str, ...]:
        """Language pairs as they are stored, for example ``en-fr``; each serves both directions."""
        return tuple(sorted(self.manifest["pairs"]))

    def is_text(self) -> npt.NDArray[np.bool_]:
        """Return, for every id of the vocabulary, whether it is a piece of text: [vocabulary]."""
        return np.array([is_text(symbol) for symbol in read_symbols(self.dictionary_path)])

    @property
    def dictionary_path(self) -> Path:
        return self.path / DICTIONARY_FILE

    @property
    def sentencepiece_path(self) -> Path:
        return self.path / SENTENCEPIECE_FILE

    def mono(self, language: str, split: str = "train") -> TokenFile:
        """Return the sentences of a language; ``split`` is ``train`` or ``valid`` (SettingError: there is none)."""
        if language not in self.languages:
            raise SettingError(
                "language", language, f"{self.path} has monolingual text in: {', '.join(self.languages) or 'none'}"
            )
        _check_split(split, tuple(self.manifest["languages"][language]), f"monolingual text in {language}")
        size = self.manifest["languages"][language][split]
        return self._tokens(self.path / "mono" / language / split, size["tokens"])

    def pair(self, source: str, target: str, split: str = "train") -> tuple[TokenFile, TokenFile]:
        """Return the sentences of both sides, sentence i of one the translation of sentence i of the other.

        Raises:
            SettingError: the corpus has no such pair (in either direction) or split.
        """
        folder = self._pair_folder(source, target, split)
        tokens = self.manifest["pairs"][folder.name][split]["tokens"]
        left, right = (self._tokens(folder / f"{split}.{side}", tokens[side]) for side in (source, target))
        return left, right

    def reference(self, source: str, target: str, split: str = "test") -> Path:
        """Return the raw text of the target side, one sentence a line: what scores are computed against."""
        return self._pair_folder(source, target, split) / f"{split}.{target}.txt"

    def source_text(self, source: str, target: str, split: str = "test") -> Path:
        """Return the raw text of the source side, one sentence a line."""
        return self._pair_folder(source, target, split) / f"{split}.{source}.txt"

    def verify(self) -> None:
        """Read every file and compare its checksum (DataError, which names the file, where it differs)."""
        for name, entry in self.manifest["files"].items():
            if file_checksum(self.path / name) != entry["sha256"]:
                raise DataError(f"{self.path / name} has changed since it was written\n  {_REMEDY}")

    def _pair_folder(self, source: str, target: str, split: str) -> Path:
        for pair in (f"{source}-{target}", f"{target}-{source}"):
            if pair in self.manifest["pairs"]:
                _check_split(split, tuple(self.manifest["pairs"][pair]), f"the pair {pair}")
                return self.path / "pairs" / pair
        raise SettingError(
            "language pair", f"{source}-{target}", f"{self.path} has the pairs: {', '.join(self.pairs) or 'none'}"
        )

    def _tokens(self, prefix: Path, tokens: int) -> TokenFile:
        file = TokenFile(prefix)
        if file.tokens != tokens:
            raise DataError(f"{prefix}.bin holds {file.tokens} tokens, {MANIFEST} says {tokens}\n  {_REMEDY}")
        return file


def check_files(folder: Path, manifest: Mapping[str, Any], remedy: str) -> None:
    """Compare the files of a finished folder with its manifest: small ones by checksum, large ones by size.

    Raises:
        DataError: a file is missing or not what was written; the message names it.
    """
    for name, entry in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing\n  {remedy}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise DataError(f"{path} has {size} bytes, not {entry['bytes']}\n  {remedy}")
        if size <= SMALL_FILE and file_checksum(path) != entry["sha256"]:
            raise DataError(f"{path} has changed since it was written\n  {remedy}")


def corpus_fingerprint(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 over the sorted lines ``sha256  path`` of the files in a manifest."""
    lines = sorted(f"{entry['sha256']}  {name}\n" for name, entry in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hex, reading it in pieces."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError unless a ``corpus.json`` has the form in which it is written, and its own fingerprint."""
    try:
        sizes = [split for splits in manifest["languages"].values() for split in splits.values()]
        numbers = [size["tokens"] for size in sizes]
        for pair, splits in manifest["pairs"].items():
            source, target = pair.split("-")
            numbers += [split["tokens"][side] for split in splits.values() for side in (source, target)]
        numbers += [entry["bytes"] for entry in manifest["files"].values()]
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a size is no whole number")
        fingerprint = corpus_fingerprint(manifest["files"])
        noted = manifest["fingerprint"]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it lacks what belongs there ({error})") from None
    if fingerprint != noted:
        raise ValueError("its list of files does not have its fingerprint")


def _check_split(split: str, available: tuple[str, ...], where: str) -> None:
    if split not in available:
        raise SettingError("split", split, f"{where} has the splits: {', '.join(available)}")
