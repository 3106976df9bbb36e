"""The symbols of a vocabulary in fairseq's order: special symbols, SentencePiece pieces, language tags, sentinels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DataError

# As a corpus, and a folder with a converted model, hold them.
DICTIONARY_FILE, SENTENCEPIECE_FILE = "dict.txt", "sentencepiece.model"
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's own; dict.txt holds what follows, one symbol a line
BOS, PAD, EOS, UNK = range(4)
SPARE = "madeupword{:04d}"  # fairseq's name for a row of the embedding without a token
TAG = "<2{}>"  # of a language
SENTINEL = "<extra_id_{}>"
IS_TAG = re.compile(r"<2\w[\w-]*>")
IS_SENTINEL = re.compile(r"<extra_id_\d+>")
_IS_SPARE = re.compile(r"madeupword\d{4,}")
SPACE = "\u2581"  # SentencePiece's


def is_text(symbol: str) -> bool:
    """Return whether a symbol stands for text: it is a piece, and neither special, a tag, a sentinel nor spare."""
    return symbol not in SPECIALS and not any(kind.fullmatch(symbol) for kind in (IS_TAG, IS_SENTINEL, _IS_SPARE))


def symbol_of(piece: str, symbols: Container[str]) -> str:
    """Return a piece's symbol in a dictionary: its text, but for mT5's sentinels, which begin with a space."""
    shorter = piece.removeprefix(SPACE)
    return shorter if piece not in symbols and IS_SENTINEL.fullmatch(shorter) else piece


def read_symbols(path: Path) -> list[str]:
    """Return the symbols of a ``dict.txt``, fairseq's four special ones before them.

    Raises:
        DataError: no such file, or a line is not a symbol and a number.
    """
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path} is missing: the dictionary of a corpus or checkpoint") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no dict.txt: {error}") from None
    symbols = list(SPECIALS)
    for number, line in enumerate(lines, start=1):
        symbol, space, count = line.rpartition(" ")
        if not space or not count.isdigit():
            raise DataError(f"{path}:{number}: {line[:40]!r} is not a symbol, a space and a number")
        symbols.append(symbol)
    if len(set(symbols)) < len(symbols):
        raise DataError(f"{path}: a symbol is listed twice")
    return symbols


def sentinel_ids(symbols: Sequence[str]) -> list[int]:
    """Return the ids of ``<extra_id_0>``, ``<extra_id_1>``, ... as far as they go."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    ids: list[int] = []
    while (place := places.get(SENTINEL.format(len(ids)))) is not None:
        ids.append(place)
    return ids


def signature(symbols: Sequence[str]) -> dict[str, Any]:
    """Return size, number of sentinels, language tags and a hash of the symbols in their order."""
    return {
        "size": len(symbols),
        "sentinels": len(sentinel_ids(symbols)),
        "tags": " ".join(symbol for symbol in symbols if IS_TAG.fullmatch(symbol)) or "none",
        "sha256": hashlib.sha256("\n".join(symbols).encode()).hexdigest(),
    }


def check_signature(saved: Mapping[str, Any], symbols: Sequence[str], where: str | Path) -> None:
    """Raise CheckpointError, naming what differs, unless a checkpoint was made with this vocabulary.

    Args:
        saved: the signature in the checkpoint; older ones say less.
        symbols: of the corpus.
        where: the checkpoint, for the message.
    """
    now = signature(symbols)
    differences = [
        f"{name} {saved[name]} there, {value} in this corpus"
        for name, value in now.items()
        if saved.get(name, value) != value
    ]
    if not differences:
        return
    if len(differences) == 1 and saved.get("sha256") != now["sha256"]:
        differences.insert(0, "as many symbols, but others or in another order")
    raise CheckpointError(
        f"{where} was made with another dictionary: {'; '.join(differences)}.\n"
        "  Use the corpus folder it was trained on, or encode the new text with that folder's SentencePiece model and "
        "the same languages and sentinels."
    )
