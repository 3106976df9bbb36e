"""The symbols of a vocabulary in fairseq's order: what stands before, between and behind the SentencePiece pieces."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from ..errors import DataError

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
        raise DataError(f"{path}: a symbol stands there twice")
    return symbols
