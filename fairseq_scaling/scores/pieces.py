"""Subword pieces that were left in a text: which kind they are, and how they are joined to words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# A mark that stands in fewer sentences is part of the text itself.
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class PieceKind:
    """One way to mark pieces.

    Attributes:
        name: what ``--join`` calls it.
        title: what messages call it.
        mark: finds a mark in a sentence.
        join: returns the sentence that the pieces make.
        fairseq: the option with which fairseq-generate joins them itself.
    """

    name: str
    title: str
    mark: re.Pattern[str]
    join: Callable[[str], str]
    fairseq: str


# In this order: a SentencePiece mark is never part of a text, the others may be.
KINDS = (
    PieceKind(  # \u2581the \u2581c at
        "sentencepiece", "SentencePiece", re.compile("\u2581"),
        lambda text: text.replace(" ", "").replace("\u2581", " ").strip(), "--remove-bpe sentencepiece",
    ),
    PieceKind(  # the c@@ at
        "subword_nmt", "subword-nmt (@@)", re.compile(r"\w@@(?: |$)"),
        lambda text: re.sub(r"@@( |$)", "", text), "--remove-bpe subword_nmt",
    ),
    PieceKind(  # the c ##at
        "wordpiece", "WordPiece (##)", re.compile(r"\w ##\w"),
        lambda text: text.replace(" ##", "").removeprefix("##"), "--remove-bpe wordpiece",
    ),
    PieceKind(  # the c \uffedat
        "joiner", "OpenNMT joiner (\uffed)", re.compile("\uffed"), lambda text: re.sub(" ?\uffed ?", "", text), "--bpe",
    ),
)  # fmt: skip


def find_pieces(sentences: Sequence[str]) -> PieceKind | None:
    """Return which kind of pieces at least one sentence in a hundred holds, or None."""
    for kind in KINDS:
        marked = sum(kind.mark.search(sentence) is not None for sentence in sentences)
        if marked and marked >= _LEAST_SHARE * len(sentences):
            return kind
    return None


def join_found(sentences: Sequence[str], how: str = "auto") -> tuple[list[str], PieceKind | None]:
    """Return the sentences with their pieces joined, and the kind of pieces; None where nothing was joined.

    Args:
        sentences: as they were printed.
        how: ``auto`` joins the kind that is found, ``none`` joins nothing, else the name of a kind.
    """
    if how == "none":
        return list(sentences), None
    kind = find_pieces(sentences) if how == "auto" else next(kind for kind in KINDS if kind.name == how)
    return ([kind.join(sentence) for sentence in sentences], kind) if kind else (list(sentences), None)
