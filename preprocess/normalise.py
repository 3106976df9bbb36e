"""Making text uniform: Unicode, punctuation, markup, keyboard accelerators."""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable

import regex

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_INVISIBLE = regex.compile(r"(?:(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\uFFFD])+")
_ESCAPED = re.compile(r"(?<!\\)\\[ntr](?![a-z]{2})")
_ACCELERATOR = re.compile(r"(?<![\w&_~])[_&~](?=\w)|(?<=[^\W\d_])[_&~](?=[^\W\d_A-Z])")
_TRAILING_ACCELERATOR = re.compile(r"\s*\([_&~][A-Za-z0-9]\)(?=\W*$)")
# Without one of these in a line no rule of sacremoses' normaliser can match, and 50 substitutions are saved.
_TRIGGER = re.compile("[\r()%:;`'\"\u00a0º„“”–—´‘’‚…«»]|  ")
_SPACES = re.compile(" +")
_LITERAL = re.compile(r"[^\\.^$*+?{}\[\]|()]+")  # a pattern that matches itself and nothing else
_NOT_CONTENT = regex.compile(r"[\p{P}\p{S}\p{Z}\p{C}]+")


def normalise(text: str, language: str, accelerators: bool = True) -> str:
    """Return the text in Unicode NFC, without markup, with Moses' normalised punctuation and single spaces.

    Args:
        text: one line.
        language: for the language-specific rules of Moses' punctuation normaliser.
        accelerators: remove ``_`` and ``&`` where they mark a key of a menu entry (``_File``, ``E&xit``).
    """
    text = unicodedata.normalize("NFC", text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if "<" in text:  # markup that was escaped
            text = _TAG.sub(" ", text)
    if "\\" in text:
        text = _ESCAPED.sub(" ", text)
    # Zero-width characters vanish (but the joiners that Persian and Indic scripts need), controls become spaces.
    text = _INVISIBLE.sub(lambda match: "" if unicodedata.category(match[0][0]) == "Cf" else " ", text)
    if accelerators:
        text = remove_accelerator(text)
    text = " ".join(normalise_punctuation(text, language).split())
    return unicodedata.normalize("NFC", text)


def normalise_punctuation(text: str, language: str) -> str:
    """Return what sacremoses' ``MosesPunctNormalizer(language).normalize(text)`` returns, faster."""
    if _TRIGGER.search(text):
        for apply in _moses(language):
            text = apply(text)
    return text.strip()


def remove_accelerator(text: str) -> str:
    """Return the text without the mark of its accelerator key: ``_File`` -> ``File``, ``E&xit`` -> ``Exit``.

    A mark counts as one only where the text has no other such character, so ``snake_case_names`` stay.
    """
    marks = text.count("_") + text.count("&") + text.count("~")
    if marks != 1:
        return text
    return _ACCELERATOR.sub("", _TRAILING_ACCELERATOR.sub("", text))


def content_key(text: str) -> str:
    """Return the text case-folded and without punctuation, symbols and spaces: what two copies have in common."""
    return _NOT_CONTENT.sub("", unicodedata.normalize("NFKC", text).casefold())


@functools.cache
def _moses(language: str) -> list[Callable[[str], str]]:
    """Return sacremoses' rules for a language, each compiled once: it looks every pattern up again for every line."""
    from sacremoses import MosesPunctNormalizer

    return [_rule(pattern, replacement) for pattern, replacement in MosesPunctNormalizer(language).substitutions]


def _rule(pattern: str, replacement: str) -> Callable[[str], str]:
    if pattern == " +" and replacement == " ":
        return lambda text: _SPACES.sub(" ", text) if "  " in text else text
    if _LITERAL.fullmatch(pattern) and "\\" not in replacement:
        return lambda text: text.replace(pattern, replacement)
    return functools.partial(re.compile(pattern).sub, replacement)
