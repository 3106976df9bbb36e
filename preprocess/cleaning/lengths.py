"""How long text is, in units that fit its script.

Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan write no spaces between words, and a Chinese character says as
much as three letters. What is measured is the script of the characters, not the language's code, so a Chinese line
with an English name in it is measured right. Text in alphabets with spaces is counted as usual.
"""

from __future__ import annotations

import regex

_RUN = regex.compile(r"[\p{L}\p{M}]+(?:'[\p{L}\p{M}]+)*")
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]\p{M}*"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}])[\p{L}\p{M}])+"
    r"(?:'[\p{L}\p{M}]+)*"
)
# (script, characters in a word, letters that a character is worth); words of Chinese have about two characters, those
# of Japanese in kana three, those of the others five letters and signs.
_UNSPACED = (
    (regex.compile(r"\p{Han}+"), 2, 3.0),
    (regex.compile(r"[\p{Hiragana}\p{Katakana}ー]+"), 3, 1.5),
    (regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]+"), 5, 1.0),
)
_HANGUL = regex.compile(r"\p{Hangul}")
_HANGUL_LETTERS = 2.0  # a syllable of two or three letters
_OTHER_WORD = regex.compile(r"\S*\w\S*")


def words(line: str) -> list[str]:
    """Return the lower-case words of a line (runs of letters); in scripts without spaces every character is one."""
    found: list[str] = (_RUN if _is_alphabetic(line) else _WORD).findall(line.lower())
    return found


def count_words(line: str) -> int:
    """Return the number of words: what spaces separate; without spaces, characters by the usual size of a word."""
    count, rest = 0.0, line
    if not _is_alphabetic(line):
        for script, size, _ in _UNSPACED:
            if found := sum(map(len, script.findall(rest))):
                count += found / size
                rest = script.sub(" ", rest)
    if rest is line:
        return len(line.split())
    return max(1, round(count + len(_OTHER_WORD.findall(rest))))


def count_letters(line: str) -> float:
    """Return the number of characters, those of Chinese, Japanese and Korean by the letters that they are worth."""
    count = float(len(line))
    if not _is_alphabetic(line):
        for script, _, worth in _UNSPACED:
            if worth != 1:
                count += (worth - 1) * sum(map(len, script.findall(line)))
        count += (_HANGUL_LETTERS - 1) * len(_HANGUL.findall(line))
    return count


def _is_alphabetic(line: str) -> bool:
    """Return whether no character is of a script without spaces or of Korean: Thai is the first in Unicode's order."""
    return max(line, default="") < "\u0e00"
