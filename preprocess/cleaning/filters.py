"""Which lines and pairs are left out, and why. Every rule has the name under which it is counted."""

from __future__ import annotations

import re

import regex

from ..settings import Limits
from .lengths import count_letters, count_words
from .profile import LanguageProfile

_PLACEHOLDER = re.compile(
    r"%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|j|z|t|L)?[diouxXeEfFgGcspQqVwmT@]\b"  # printf, gcc
    r"|%\d+|%\w+%|%\(\w+\)[sdif]|%[{\[]\w+[}\]]"  # Qt, Python, Perl
    r"|\{[\w.:!]*\}|\$\{?\w+\}?|@\w+@|~\d"
)
_CODE = re.compile(
    r"[\\{}|<>=]|://|\bwww\.|\w@\w|\w/\w+/|(?:^|\s)/\w|(?:^|\s)--?\w|\w_\w|__|::|\w\(\)|\w->|\w\.\w+\.\w|\b0x[0-9a-f]|\b[a-z]+[A-Z]"
)
_LETTER = regex.compile(r"[\p{L}\p{M} ]")
_RUN_OF_LETTERS = regex.compile(r"[\p{L}\p{M}]")
_CATALOGUE_PLACEHOLDERS, _CATALOGUE_LETTERS = 1, 0.7
_GRACE = 4  # letters on each side that the ratio of lengths forgives: short texts differ by chance


def reject_line(lines: tuple[str, ...], limits: Limits, catalogue: bool = False) -> str | None:
    """Return the name of the rule that leaves a monolingual line out, None if it stays.

    Args:
        lines: the one line, normalised.
        limits: what it must keep to.
        catalogue: apply the rules for catalogues: no program code, few placeholders, mostly letters.
    """
    (line,) = lines
    return _reject_text(line, limits, catalogue) or _reject_length(line, limits.mono_min_words, limits.mono_max_words)


def reject_pair(sides: tuple[str, ...], limits: Limits, catalogue: bool = False) -> str | None:
    """Return the name of the rule that leaves a pair out, None if it stays."""
    for line in sides:
        reason = _reject_text(line, limits, catalogue) or _reject_length(line, limits.min_words, limits.max_words)
        if reason:
            return reason
    if sides[0].casefold() == sides[1].casefold():
        return "equal sides"
    most = _CATALOGUE_PLACEHOLDERS if limits.max_placeholders is None and catalogue else limits.max_placeholders
    if most is not None:
        placeholders = [sorted(_PLACEHOLDER.findall(line)) for line in sides]
        if max(map(len, placeholders)) > most or placeholders[0] != placeholders[1]:
            return "placeholders"
    short, long = sorted(count_letters(line) for line in sides)
    if (long + _GRACE) / (short + _GRACE) > limits.max_ratio:
        return "ratio"
    return None


def reject_language(lines: tuple[str, ...], languages: tuple[str, ...], profile: LanguageProfile | None) -> str | None:
    """Return the name of the rule where a line is in another language of the corpus, None if none is."""
    if profile and any(profile.is_other(line, language) for line, language in zip(lines, languages, strict=True)):
        return "language"
    return None


def reject_raw(*lines: str) -> str | None:
    """Return the name of the rule that leaves raw text out before it is normalised, None if it stays."""
    # A NUL marks a place where a file was damaged: the rest of the line is not what was written.
    return "NUL bytes" if any("\0" in line for line in lines) else None


def _reject_text(line: str, limits: Limits, catalogue: bool) -> str | None:
    if not line or line.isspace():
        return "empty"
    if len(line) > limits.max_characters:
        return "length"
    text = _PLACEHOLDER.sub("", line) if catalogue else line
    if catalogue and _CODE.search(text):
        return "code"
    least = _CATALOGUE_LETTERS if limits.min_letters is None and catalogue else limits.min_letters
    if least and (
        not text.strip() or len(_LETTER.findall(text)) < least * len(text) or not _RUN_OF_LETTERS.search(text)
    ):
        return "few letters"
    return None


def _reject_length(line: str, least: int, most: int) -> str | None:
    return None if least <= count_words(line) <= most else "length"
