"""The corpus folder: what ``preprocess/`` writes and the fairseq tasks read. Knows numpy and JSON, nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, SettingError
from .tokenfile import TokenBatch, TokenFile, token_dtype, write_token_file

__all__ = ["Corpus", "TokenBatch", "TokenFile", "corpus_fingerprint", "token_dtype", "write_token_file"]

MANIFEST = "corpus.json"
FORMAT = 1
SPLITS = ("train", "valid", "test")
_SYMBOLS = 4  # <s>, <pad>, </s>, <unk>
_REMEDY = "make it with scaling-preprocess encode (see scaling-preprocess --help)"


class Corpus:
    """A finished corpus folder: one vocabulary, monolingual text per language, and translation pairs.

    ``Corpus.open`` reads only ``corpus.json`` and compares file sizes, so it is quick for a corpus of any size.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Corpus:
        """Return the corpus in the folder ``path``.

        Raises:
            DataError: there is no finished corpus, or a file is missing or not of the size it had when written.
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
        except ValueError as error:
            raise DataError(f"{folder / MANIFEST} is no JSON: {error}\n  {_REMEDY}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
            raise DataError(f"{folder / MANIFEST} has format {found}, this version reads format {FORMAT}\n  {_REMEDY}")
        corpus = cls(folder, manifest)
        corpus._check_sizes()
        return corpus

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

    @property
    def piece_ids(self) -> range:
        """The ids of the SentencePiece pieces: fairseq's four symbols stand before, tags and sentinels behind them."""
        return range(_SYMBOLS, _SYMBOLS + int(self.manifest["vocabulary"]["pieces"]))

    @property
    def dictionary_path(self) -> Path:
        return self.path / "dict.txt"

    @property
    def sentencepiece_path(self) -> Path:
        return self.path / "sentencepiece.model"

    def mono(self, language: str, split: str = "train") -> TokenFile:
        """Return the monolingual sentences of a language; ``split`` is ``train`` or ``valid``.

        Raises:
            SettingError: the corpus has no such language or split.
        """
        if language not in self.languages:
            raise SettingError(
                "language", language, f"{self.path} has monolingual text in: {', '.join(self.languages) or 'none'}"
            )
        _check_split(split, tuple(self.manifest["languages"][language]), f"monolingual text in {language}")
        return TokenFile(self.path / "mono" / language / split)

    def pair(self, source: str, target: str, split: str = "train") -> tuple[TokenFile, TokenFile]:
        """Return the sentences of both sides, sentence i of one the translation of sentence i of the other.

        Raises:
            SettingError: the corpus has no such pair (in either direction) or split.
        """
        folder = self._pair_folder(source, target, split)
        return TokenFile(folder / f"{split}.{source}"), TokenFile(folder / f"{split}.{target}")

    def reference(self, source: str, target: str, split: str = "test") -> Path:
        """Return the raw text of the target side, one sentence a line: what scores are computed against."""
        return self._pair_folder(source, target, split) / f"{split}.{target}.txt"

    def source_text(self, source: str, target: str, split: str = "test") -> Path:
        """Return the raw text of the source side, one sentence a line."""
        return self._pair_folder(source, target, split) / f"{split}.{source}.txt"

    def verify(self) -> None:
        """Read every file and compare its checksum.

        Raises:
            DataError: a file is not what was written; the message names it.
        """
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

    def _check_sizes(self) -> None:
        for name, entry in self.manifest["files"].items():
            path = self.path / name
            if not path.is_file():
                raise DataError(f"{path} is missing\n  {_REMEDY}")
            if path.stat().st_size != entry["bytes"]:
                raise DataError(f"{path} has {path.stat().st_size} bytes, not {entry['bytes']}\n  {_REMEDY}")


def corpus_fingerprint(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 over the sorted lines ``sha256  path`` of the files in a manifest."""
    lines = sorted(f"{entry['sha256']}  {name}\n" for name, entry in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hex, reading it in pieces."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_split(split: str, available: tuple[str, ...], where: str) -> None:
    if split not in available:
        raise SettingError("split", split, f"{where} has the splits: {', '.join(available)}")
