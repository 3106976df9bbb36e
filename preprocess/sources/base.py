"""The interface of a source of text, and what sources share."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-zß-öø-ÿ])")


@dataclass(frozen=True)
class Request:
    """What ``fetch`` was asked for. Each source takes from it what concerns that source.

    Attributes:
        languages: languages of the monolingual text.
        pairs: language pairs such as ``en-fr``.
        mono: language -> values of ``--mono``.
        parallel: pair -> values of ``--pair``.
        given: (pair, split) -> value of ``--valid`` or ``--test``; the splits are ``valid``, ``test``, ``test1``, ...
        options: every other option of ``fetch`` by its parameter name.
    """

    languages: Sequence[str] = ()
    pairs: Sequence[str] = ()
    mono: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parallel: Mapping[str, Sequence[str]] = field(default_factory=dict)
    given: Mapping[tuple[str, str], str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def all_languages(self) -> list[str]:
        """The languages of the monolingual text and of the pairs, each once."""
        return list(dict.fromkeys([*self.languages, *(side for pair in self.pairs for side in pair.split("-"))]))


class HeldOut(NamedTuple):
    """A given valid or test set."""

    name: str
    """what it is called where it was published, for example ``wmt14``"""
    pairs: Iterator[tuple[str, str]]


class Source(ABC):
    """Text of some origin, one sentence (or short paragraph) at a time.

    A source gives what it has: nothing for a language or pair it does not know. Nothing is cleaned here.
    """

    name: str
    catalogue = False
    """whether the text is program messages and manuals: ``clean`` then applies its rules for catalogues"""

    @abstractmethod
    def __init__(self, request: Request) -> None:
        """Take what ``fetch`` was asked for; may download."""

    @abstractmethod
    def monolingual(self, language: str) -> Iterator[str]:
        """Yield monolingual text."""

    @abstractmethod
    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        """Yield sentences of ``source`` with their translation into ``target``."""

    def held_out(self, source: str, target: str) -> dict[str, HeldOut]:
        """Return the given sets by split (``valid``, ``test``, ``test1``, ...).

        Where there is no ``valid`` or no ``test``, ``clean`` takes it out of the parallel text.
        """
        del source, target
        return {}

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return where the text came from, for ``raw.json``; no absolute paths, no time stamps."""


def split_sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph, cut after ``.``, ``!`` or ``?`` before a capital letter."""
    return [sentence for sentence in _SENTENCE_END.split(" ".join(paragraph.split())) if sentence]
