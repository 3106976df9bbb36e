"""Corpus folders of a few sentences, written by hand: the ids of pieces count from 4, of ``pieces`` pieces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fairseq_scaling.data.corpus import TokenFile, corpus_fingerprint, write_token_file

END = 2
Sentences = Sequence[Sequence[int]]


def write_corpus(
    folder: Path,
    mono: Mapping[str, Sentences],
    pairs: Mapping[str, tuple[Sentences, Sentences]],
    pieces: int = 20,
    sentinels: int = 1,
) -> Path:
    """Write training text, ends of sentences added, and return ``folder``; a pair is named ``en-fr``."""
    languages, translations = {}, {}
    for language, sentences in mono.items():
        languages[language] = {"train": _size(_write(folder / f"mono/{language}/train", sentences))}
    for pair, sides in pairs.items():
        files = {
            language: _write(folder / f"pairs/{pair}/train.{language}", sentences)
            for language, sentences in zip(pair.split("-"), sides, strict=True)
        }
        tokens = {language: file.tokens for language, file in files.items()}
        translations[pair] = {"train": {"sentences": len(sides[0]), "tokens": tokens}}
    symbols = [f"piece{number}" for number in range(pieces)] + [f"<extra_id_{number}>" for number in range(sentinels)]
    (folder / "dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in symbols))
    manifest = {"format": 1, "languages": languages, "pairs": translations, "vocabulary": {"pieces": pieces}}
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return renew(folder)


def renew(folder: Path) -> Path:
    """Make ``corpus.json`` agree with the files of a corpus folder again."""
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "corpus.json"
    }
    manifest = json.loads((folder / "corpus.json").read_text())
    manifest |= {"files": files, "fingerprint": corpus_fingerprint(files)}
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return folder


def _write(prefix: Path, sentences: Sentences) -> TokenFile:
    return write_token_file(prefix, [np.array([*sentence, END]) for sentence in sentences], np.uint16)


def _size(file: TokenFile) -> dict[str, int]:
    return {"sentences": len(file), "tokens": file.tokens}
