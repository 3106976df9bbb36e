"""Text of LibreOffice's help pages (HTML whose paragraphs carry the same id in every language) and of manual pages
(roff with the ``man`` macros)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from .base import split_sentences

_PARAGRAPH = re.compile(r"<(p|h[1-6])\s([^>]*)>(.*?)</\1>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]+)"')
_CODE = re.compile(r'\bclass="[^"]*code')
_BREAK, _TAG = re.compile(r"<br\s*/?>"), re.compile(r"<[^>]*>")
_VERBATIM_START, _VERBATIM_END = (".EX", ".nf", ".TS", ".SY"), (".EE", ".fi", ".TE", ".YS")
_FONT_MACRO = re.compile(r"\.\s*(B|I|BR|IR|RB|RI|BI|IB|SM|SB)\s+(.*)")
_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_ESCAPES = (
    (re.compile(r"\\f(?:\[[^\]]*\]|\(..|.)"), ""),  # fonts
    (re.compile(r"\\s[-+]?\d+|\\[&/,:%c|^]|\\z|\\k."), ""),  # sizes and things of no width
    (re.compile(r"\\[ ~0]"), " "),
    (re.compile(r"\\(?:\(aq|\[aq\]|\(oq|\[oq\]|\(cq|\[cq\])"), "'"),
    (re.compile(r"\\(?:\(lq|\[lq\]|\(rq|\[rq\]|\(dq|\[dq\])"), '"'),
    (re.compile(r"\\(?:\(Fo|\[Fo\])"), "«"),
    (re.compile(r"\\(?:\(Fc|\[Fc\])"), "»"),
    (re.compile(r"\\(?:\(en|\[en\]|\(em|\[em\]|\(hy|\[hy\]|-)"), "-"),
    (re.compile(r"\\(?:\(bu|\[bu\])"), ""),
    (re.compile(r"\\(?:\(ga|\[ga\]|`)"), "`"),
    (re.compile(r"\\(?:\(ha|\[ha\])"), "^"),
    (re.compile(r"\\(?:\(ti|\[ti\])"), "~"),
    (re.compile(r'\\".*'), ""),
    (re.compile(r"\\e|\\\(rs|\\\[rs\]"), r"\\"),
)


def read_help_page(page: str) -> Iterator[tuple[str, str]]:
    """Yield (paragraph id, text) of a help page; program code and empty paragraphs are left out."""
    for _, attributes, content in _PARAGRAPH.findall(page):
        identity = _ID.search(attributes)
        if identity is None or _CODE.search(attributes):
            continue
        text = " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", content))).split())
        if text:
            yield identity[1], text


def read_manual_page(page: str) -> Iterator[str]:
    """Yield the sentences of a manual page. Headings, tables, examples and synopses are left out.

    Pages written with the ``mdoc`` macros (BSD) give nothing.
    """
    if re.search(r"^\.\s*Dd\b", page, re.MULTILINE):
        return
    for paragraph in _paragraphs(page):
        yield from split_sentences(_plain(paragraph))


def _paragraphs(page: str) -> Iterator[str]:
    lines: list[str] = []
    verbatim = False
    for line in page.split("\n"):
        if line.startswith(_VERBATIM_START):
            verbatim = True
        elif line.startswith(_VERBATIM_END):
            verbatim = False
        elif not verbatim and (macro := _FONT_MACRO.match(line)):
            lines.append(_macro_text(macro[1], macro[2]))
            continue
        elif not verbatim and line and line[0] not in ".' \t":
            lines.append(line)
            continue
        elif line.startswith((r".\"", "'\\\"")):
            continue
        if lines:
            yield " ".join(lines)
            lines = []
    if lines:
        yield " ".join(lines)


def _macro_text(macro: str, arguments: str) -> str:
    """Return the text of a font macro: ``.BR a b`` sets its words without space between them, ``.B a b`` with."""
    words = [quoted.replace('""', '"') or bare for quoted, bare in _WORD.findall(arguments)]
    return ("" if len(macro) == 2 and macro not in ("SM", "SB") else " ").join(words)


def _plain(text: str) -> str:
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    return text
