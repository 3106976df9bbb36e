"""One vocabulary in two orders: fairseq's dictionary, and the rows of a Hugging Face embedding.

fairseq's dictionary begins with ``<s> <pad> </s> <unk>``; what follows stands in ``dict.txt``, one symbol a line. T5
begins with ``<pad> </s> <unk>``, has no ``<s>``, and more rows than tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.dictionary import BOS, EOS, IS_SENTINEL, PAD, SPACE, SPARE, SPECIALS, UNK, symbol_of
from ..errors import CheckpointError
from .sentencepiece_file import CONTROL, UNKNOWN, pieces_of_kind


@dataclass(frozen=True)
class Layout:
    """How the rows of a Hugging Face embedding become those of a fairseq one.

    Attributes:
        symbols: fairseq's, in its order, the four special ones included.
        sources: [symbols] the Hugging Face row of each; where there is none, that of ``<pad>``.
        added: ``<s>`` has no row of its own.
    """

    symbols: list[str]
    sources: list[int]
    added: bool

    def rows(self) -> list[int]:
        """Return for every Hugging Face row the fairseq id."""
        ids = dict(zip(self.sources, range(len(self.sources)), strict=True))
        if self.added:
            ids[self.sources[PAD]] = PAD  # which <s> repeats
        return [ids[row] for row in range(len(ids))]


def write_symbols(path: Path, symbols: Sequence[str]) -> None:
    """Write ``dict.txt``; how often a symbol occurs is not known: once."""
    text = "".join(f"{symbol} 1\n" for symbol in symbols[len(SPECIALS) :])
    path.write_text(text, encoding="utf-8", newline="\n")


def lay_out(size: int, names: Mapping[int, str], pad: int, eos: int, unk: int) -> Layout:
    """Return fairseq's vocabulary for a Hugging Face embedding.

    ``<s>`` takes the row of that name, else the last one without a name: fairseq's T5 never uses it. Where all rows
    have names it gets a row of its own, a copy of that of ``<pad>``.

    Args:
        size: rows of the embedding.
        names: row -> token, as far as there are names.
        pad, eos, unk: their rows.

    Raises:
        CheckpointError: a token cannot stand in ``dict.txt``, or stands there twice.
    """
    special = {PAD: pad, EOS: eos, UNK: unk}
    taken = set(special.values())
    free = [row for row in range(size) if row not in taken]
    bos = next((row for row in free if names.get(row) == "<s>"), None)
    if bos is None:
        bos = next((row for row in reversed(free) if row not in names), None)
    free = [row for row in free if row != bos]
    known = set(names.values())
    symbols, spare = list(SPECIALS), 0
    for row in free:
        name = names.get(row)
        if name is None:
            symbols.append(SPARE.format(spare))
            spare += 1
        else:
            shorter = name.removeprefix(SPACE)
            symbols.append(shorter if IS_SENTINEL.fullmatch(shorter) and shorter not in known else name)
            # As text in a line, with fairseq's line ends and its space before the number.
            if not name or re.search(r"[ \n\r]", name):
                raise CheckpointError(f"token {row} is {name!r}, which no dict.txt can hold")
    (double, times), *_ = Counter(symbols).most_common(1)
    if times > 1:
        raise CheckpointError(f"the token {double!r} stands there twice, or means something else to fairseq")
    sources = [pad if bos is None else bos, pad, eos, unk, *free]
    return Layout(symbols, sources, added=bos is None)


def row_order(symbols: Sequence[str], model: Any) -> list[int]:
    """Return fairseq's ids in the order of the rows of a Hugging Face embedding.

    With a SentencePiece model that has ``<pad>`` and ``</s>`` of its own, as those of T5 and mT5, the rows are its
    ids, then the symbols it does not have, ``<s>`` last: the inverse of ``lay_out``. Others have fairseq's order.
    """
    if not {"<pad>", "</s>"} <= pieces_of_kind(model, CONTROL):
        return list(range(len(symbols)))
    ids = {symbol: number for number, symbol in enumerate(symbols)}
    placed: list[int] = []
    for piece in model.pieces:
        symbol = "<unk>" if piece.type == UNKNOWN else symbol_of(piece.piece, ids)
        if symbol in ids:
            placed.append(ids[symbol])
    seen = set(placed)
    rest = [number for number in range(len(symbols)) if number not in seen]
    return placed + [number for number in rest if number != BOS] + [number for number in rest if number == BOS]
