"""Which lines and pairs are left out, and why. Every rule has the name under which it is counted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import regex

from fairseq_scaling.errors import SettingError

_PLACEHOLDER = re.compile(
    r"%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|j|z|t|L)?[diouxXeEfFgGcspQqVwmT@]\b"  # printf, gcc
    r"|%\d+|%\w+%|%\(\w+\)[sdif]|%[{\[]\w+[}\]]"  # Qt, Python, Perl
    r"|\{[\w.:!]*\}|\$\{?\w+\}?|@\w+@|~\d"
)
_CODE = re.compile(
    r"[\\{}|<>=]|://|\bwww\.|\w@\w|\w/\w+/|(?:^|\s)/\w|(?:^|\s)--?\w|\w_\w|__|::|\w\(\)|\w->|\w\.\w+\.\w|\b0x[0-9a-f]|\b[a-z]+[A-Z]"
)
_LETTER = regex.compile(r"[\p{L}\p{M} ]")
_WORD = regex.compile(r"[\p{L}\p{M}]+(?:'[\p{L}\p{M}]+)*")
_UNSPACED = {"zh", "ja", "th", "lo", "km", "my"}
_CHARACTERS_A_WORD = 2  # of languages that write no spaces, roughly
_PROFILE_WORDS = 5000
_MARGIN = 4.0  # nats by which another language must be likelier
_UNSEEN = 1e-6


@dataclass(frozen=True)
class Limits:
    """What a line or pair must keep to; words are separated by spaces."""

    min_words: int = 1
    max_words: int = 100
    mono_min_words: int = 1
    mono_max_words: int = 100
    max_ratio: float = 2.5
    """of the lengths of both sides in characters (a few characters of grace)"""
    max_placeholders: int = 1
    """in a side of a pair, such as %s or {name}"""
    min_letters: float = 0.7
    """share of letters and spaces among the characters"""
    max_characters: int = 1000

    def __post_init__(self) -> None:
        for low, high in (("min_words", "max_words"), ("mono_min_words", "mono_max_words")):
            if not 1 <= getattr(self, low) <= getattr(self, high):
                option = "--" + low.replace("_", "-")
                raise SettingError(option, getattr(self, low), f"must be 1 to {getattr(self, high)} ({high})")
        if self.max_ratio < 1:
            raise SettingError("--max-ratio", self.max_ratio, "must be at least 1")


class LanguageProfile:
    """Word frequencies of each language, learned from the corpus itself: tells lines left in another language."""

    def __init__(self, samples: Mapping[str, Iterable[str]]) -> None:
        self._logs: dict[str, dict[str, float]] = {}
        for language, lines in samples.items():
            counts: Counter[str] = Counter()
            for line in lines:
                counts.update(words(line))
            total = max(1, sum(counts.values()))
            common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PROFILE_WORDS]
            self._logs[language] = {word: math.log(count / total) for word, count in common}

    def is_other(self, line: str, language: str) -> bool:
        """Return whether the words of the line are far likelier in another language of the corpus."""
        own = self._logs.get(language)
        if own is None or len(self._logs) < 2:
            return False
        tokens = words(line)
        unseen = math.log(_UNSEEN)
        score = sum(own.get(token, unseen) for token in tokens)
        return any(
            sum(logs.get(token, unseen) for token in tokens) - score > _MARGIN
            for other, logs in self._logs.items()
            if other != language
        )


def reject_line(line: str, language: str, limits: Limits, profile: LanguageProfile | None) -> str | None:
    """Return the name of the rule that leaves a monolingual line out, None if it stays."""
    return (
        _reject_text(line, language, limits, profile)
        or _reject_length(line, language, limits.mono_min_words, limits.mono_max_words)
        or None
    )


def reject_pair(
    sides: tuple[str, str], languages: tuple[str, str], limits: Limits, profile: LanguageProfile | None
) -> str | None:
    """Return the name of the rule that leaves a pair out, None if it stays."""
    for line, language in zip(sides, languages, strict=True):
        reason = _reject_text(line, language, limits, None)
        reason = reason or _reject_length(line, language, limits.min_words, limits.max_words)
        if reason:
            return reason
    if sides[0].casefold() == sides[1].casefold():
        return "equal sides"
    placeholders = [sorted(_PLACEHOLDER.findall(line)) for line in sides]
    if max(map(len, placeholders)) > limits.max_placeholders or placeholders[0] != placeholders[1]:
        return "placeholders"
    short, long = sorted(len(line) for line in sides)
    if (long + 4) / (short + 4) > limits.max_ratio:
        return "ratio"
    if profile and any(profile.is_other(line, language) for line, language in zip(sides, languages, strict=True)):
        return "language"
    return None


def reject_raw(*lines: str) -> str | None:
    """Return the name of the rule that leaves raw text out before it is normalised, None if it stays."""
    # A NUL stands where a file was damaged: what is left of the line is not what was written.
    return "NUL bytes" if any("\0" in line for line in lines) else None


def words(line: str) -> list[str]:
    """Return the lower-case words of a line (runs of letters), as the rules count them."""
    found: list[str] = _WORD.findall(line.lower())
    return found


def _reject_text(line: str, language: str, limits: Limits, profile: LanguageProfile | None) -> str | None:
    if not line:
        return "empty"
    if len(line) > limits.max_characters:
        return "length"
    text = _PLACEHOLDER.sub("", line)
    if _CODE.search(text):
        return "code"
    if not text.strip() or len(_LETTER.findall(text)) < limits.min_letters * len(text) or not _WORD.search(text):
        return "few letters"
    if profile and profile.is_other(line, language):
        return "language"
    return None


def _reject_length(line: str, language: str, least: int, most: int) -> str | None:
    count = len(line) // _CHARACTERS_A_WORD if language.partition("_")[0] in _UNSPACED else len(line.split())
    return None if least <= count <= most else "length"
