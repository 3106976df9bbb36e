"""The interface of a source of text, and what sources share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-zß-öø-ÿ])")


class Source(ABC):
    """Text of some origin, one sentence (or short paragraph) at a time.

    A source gives what it has: nothing for a language or pair it does not know. Nothing is cleaned here.
    """

    name: str

    @abstractmethod
    def monolingual(self, language: str) -> Iterator[str]:
        """Yield monolingual text."""

    @abstractmethod
    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        """Yield sentences of ``source`` with their translation into ``target``."""

    def held_out(self, source: str, target: str, split: str) -> Iterator[tuple[str, str]]:
        """Yield a given ``valid`` or ``test`` set; without one, ``clean`` takes it out of the parallel text."""
        del source, target, split
        return iter(())

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return where the text came from, for ``raw.json``; no absolute paths, no time stamps."""


def split_sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph, cut after ``.``, ``!`` or ``?`` before a capital letter."""
    return [sentence for sentence in _SENTENCE_END.split(" ".join(paragraph.split())) if sentence]
