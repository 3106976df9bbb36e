"""Recognises lines in another language of the corpus by the frequencies of words in the corpus itself."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from .lengths import words

_PROFILE_WORDS = 5000
_MARGIN = 4.0  # nats by which another language must be likelier
_UNSEEN, _UNSEEN_SCRIPT = math.log(1e-6), math.log(1e-9)
_ADDRESS = re.compile(r"\S*(?:://|@|_|\bwww\.)\S*")
_SCRIPT_SHARE = 0.01  # of a language's words; a rarer script is that of foreign names


class LanguageProfile:
    """Frequencies of words and scripts in each language, learned from samples of the corpus."""

    def __init__(self, samples: Mapping[str, Iterable[str]]) -> None:
        self._logs: dict[str, dict[str, float]] = {}
        self._scripts: dict[str, set[str]] = {}
        for language, lines in samples.items():
            counts: Counter[str] = Counter()
            for line in lines:
                counts.update(words(line))
            total = max(1, sum(counts.values()))
            scripts: Counter[str] = Counter()
            for word, count in counts.items():
                scripts[_script(word[0])] += count
            self._scripts[language] = {name for name, count in scripts.items() if count >= _SCRIPT_SHARE * total}
            common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PROFILE_WORDS]
            self._logs[language] = {word: math.log(count / total) for word, count in common}

    def is_other(self, line: str, language: str) -> bool:
        """Return whether the words of the line are far likelier in another language of the corpus.

        Addresses and names of programs are of no language and do not count.
        """
        if language not in self._logs or len(self._logs) < 2:
            return False
        tokens = words(_ADDRESS.sub(" ", line))
        own = self._score(tokens, language)
        return any(self._score(tokens, other) - own > _MARGIN for other in self._logs if other != language)

    def _score(self, tokens: list[str], language: str) -> float:
        logs, scripts = self._logs[language], self._scripts[language]
        return sum(
            logs[token] if token in logs else _UNSEEN if _script(token[0]) in scripts else _UNSEEN_SCRIPT
            for token in tokens
        )


@functools.lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """Return the first word of the letter's Unicode name: LATIN, CYRILLIC, CJK, THAI, ..."""
    return unicodedata.name(letter, "").partition(" ")[0]
