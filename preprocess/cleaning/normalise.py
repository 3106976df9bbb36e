"""Making text uniform. What is done is a choice (``CHOICES``), and every step that changes a line has a name.

=========== =========================================================================================
``none``    nothing but what keeps a line a line: control characters and runs of spaces become one space
``nfc``     the same, and Unicode's normal form C: letters and their accents are one character
``moses``   the same, without invisible characters, all spaces alike, and Moses' punctuation normaliser
            for the language: ``“`` becomes ``"``, ``«`` too, ``…`` becomes ``...``
=========== =========================================================================================

Catalogues (program messages) are full of markup and key marks. Their rules are applied where text comes from a
catalogue, or where ``--catalogue-rules always`` asks for them; elsewhere ``Rock&roll`` and ``a <b and c> d`` stay.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable

import regex

CHOICES = ("none", "nfc", "moses")

Step = tuple[str, Callable[[str], str]]
"""(name under which changes are counted, what it does to a line)"""

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_CONTROLS = regex.compile(r"[\p{Cc}\p{Zl}\p{Zp} ]+")
_INVISIBLE = regex.compile(r"(?:(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\uFFFD])+")
_ESCAPED = re.compile(r"(?<!\\)\\[ntr](?![a-z]{2})")
_ACCELERATOR = re.compile(r"(?<![\w&_~])[_&~](?=\w)|(?<=[^\W\d_])[_&~](?=[^\W\d_A-Z])")
_TRAILING_ACCELERATOR = re.compile(r"\s*\([_&~][A-Za-z0-9]\)(?=\W*$)")
# Without one of these in a line no rule of sacremoses' normaliser can match, and 50 substitutions are saved.
_TRIGGER = re.compile("[\r()%:;`'\"\u00a0º„“”–—´‘’‚…«»]|  ")
_NOT_CONTENT = regex.compile(r"[\p{P}\p{S}\p{Z}\p{C}]+")


def normalise(
    text: str, language: str, choice: str = "nfc", catalogue: bool = False, accelerators: bool = True
) -> tuple[str, list[str]]:
    """Return a line normalised, and the names of the steps that changed it.

    Args:
        text: one line.
        language: for the language-specific rules of Moses' punctuation normaliser.
        choice: one of ``CHOICES``.
        catalogue: remove markup, ``\\n`` that was written out, and the marks of keys.
        accelerators: of the rules for catalogues, the last: ``_File`` and ``E&xit`` lose their marks.
    """
    if "\x20\x20" not in text and not catalogue and choice != "moses" and text.isascii() and text.isprintable():
        return text.strip(" "), ["spaces"] if text != text.strip(" ") else []
    changes = []
    for name, step in _steps(language, choice, catalogue, accelerators):
        if (after := step(text)) != text:
            changes.append(name)
            text = after
    return text, list(dict.fromkeys(changes))


def normalise_punctuation(text: str, language: str) -> str:
    """Return what sacremoses' ``MosesPunctNormalizer(language).normalize(text)`` returns, faster."""
    return _moses(language)(text) if _TRIGGER.search(text) else text.strip()


def remove_accelerator(text: str) -> str:
    """Return the text without the mark of its accelerator key: ``_File`` -> ``File``, ``E&xit`` -> ``Exit``.

    A mark counts as one only where the text has no other such character, so ``snake_case_names`` stay.
    """
    marks = text.count("_") + text.count("&") + text.count("~")
    if marks != 1:
        return text
    return _ACCELERATOR.sub("", _TRAILING_ACCELERATOR.sub("", text))


def content_key(text: str) -> str:
    """Return what two copies have in common: the text case-folded, without markup, punctuation, symbols and spaces."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    return _NOT_CONTENT.sub("", unicodedata.normalize("NFKC", text).casefold())


@functools.cache
def _steps(language: str, choice: str, catalogue: bool, accelerators: bool) -> list[Step]:
    nfc: Step = ("Unicode form", functools.partial(unicodedata.normalize, "NFC"))
    steps = [] if choice == "none" else [nfc]
    if catalogue:
        steps += [("markup", _remove_markup), ("escapes", lambda line: _ESCAPED.sub(" ", line))]
    if catalogue or choice == "moses":
        steps.append(("invisible characters", _remove_invisible))
    if catalogue and accelerators:
        steps.append(("accelerators", remove_accelerator))
    if choice == "moses":
        punctuation = functools.partial(normalise_punctuation, language=language)
        return [*steps, ("punctuation", punctuation), ("spaces", lambda line: " ".join(line.split())), nfc]
    return [*steps, ("spaces", lambda line: _CONTROLS.sub(" ", line).strip(" "))]


def _remove_markup(text: str) -> str:
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
        if "<" in text:  # markup that was escaped
            text = _TAG.sub(" ", text)
    return text


def _remove_invisible(text: str) -> str:
    """Zero-width characters vanish (but the joiners that Persian and Indic scripts need), controls become spaces."""
    return _INVISIBLE.sub(lambda match: "" if unicodedata.category(match[0][0]) == "Cf" else " ", text)


@functools.cache
def _moses(language: str) -> Callable[[str], str]:
    from sacremoses import MosesPunctNormalizer

    normalize: Callable[[str], str] = MosesPunctNormalizer(language).normalize
    return normalize
