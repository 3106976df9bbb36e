"""LibreOffice help pages: HTML whose paragraphs carry the same id in every language."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_PARAGRAPH = re.compile(r"<(p|h[1-6])\s([^>]*)>(.*?)</\1>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]+)"')
_CODE = re.compile(r'\bclass="[^"]*code')
_BREAK, _TAG = re.compile(r"<br\s*/?>"), re.compile(r"<[^>]*>")


def read_help_page(page: str) -> Iterator[tuple[str, str]]:
    """Yield (paragraph id, text) of a help page; program code and empty paragraphs are left out."""
    for _, attributes, content in _PARAGRAPH.findall(page):
        identity = _ID.search(attributes)
        if identity is None or _CODE.search(attributes):
            continue
        text = " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", content))).split())
        if text:
            yield identity[1], text
