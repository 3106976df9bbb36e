"""Translated program messages: compiled gettext catalogues (``.mo``).

The message id is English and the message its translation. The format is described in the gettext manual, "The Format
of GNU MO Files"; Python's own reader keeps its table private and drops the domain context, hence this one.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterator

_LITTLE, _BIG = 0x950412DE, 0xDE120495
_CHARSET = re.compile(rb"charset=([\w.:-]+)")
_PARAGRAPH = re.compile(r"\n\s*\n")


def read_catalogue(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (English message, translation) of a ``.mo`` file.

    A message with plural forms gives two: singular with the first form, plural with the last. Untranslated and
    undecodable messages are left out. The context before ``\\x04`` is no text and is dropped.

    Raises:
        ValueError: not a ``.mo`` file, or one cut short.
    """
    try:
        yield from _read(data)
    except struct.error as error:
        raise ValueError(f"not a .mo file: {error}") from None


def paragraphs(message: str, translation: str) -> list[tuple[str, str]]:
    """Return a message and its translation paragraph by paragraph where both have equally many, else as one."""
    left, right = _PARAGRAPH.split(message.strip()), _PARAGRAPH.split(translation.strip())
    if len(left) != len(right):
        left, right = [message], [translation]
    return [(_join(one), _join(other)) for one, other in zip(left, right, strict=True)]


def _read(data: bytes) -> Iterator[tuple[str, str]]:
    (magic,) = struct.unpack_from("<I", data)
    if magic not in (_LITTLE, _BIG):
        raise ValueError("not a .mo file")
    order = "<" if magic == _LITTLE else ">"
    _, count, ids_at, texts_at = struct.unpack_from(f"{order}4I", data, 4)
    entry = struct.Struct(f"{order}2I")
    entries: list[tuple[bytes, bytes]] = []
    charset = "utf-8"
    for index in range(count):
        id_size, id_at = entry.unpack_from(data, ids_at + 8 * index)
        text_size, text_at = entry.unpack_from(data, texts_at + 8 * index)
        if max(id_at + id_size, text_at + text_size) > len(data):
            raise ValueError("cut short")
        key, text = data[id_at : id_at + id_size], data[text_at : text_at + text_size]
        if key:
            entries.append((key, text))
        elif found := _CHARSET.search(text):
            charset = _known(found[1].decode("ascii"))
    for key, text in entries:
        messages, forms = key.rpartition(b"\x04")[2].split(b"\0"), text.split(b"\0")
        chosen = [(messages[0], forms[0])]
        if len(messages) > 1 and len(forms) > 1:
            chosen.append((messages[1], forms[-1]))
        for message, translation in chosen:
            try:
                left, right = message.decode(charset), translation.decode(charset)
            except UnicodeDecodeError:
                continue
            if left.strip() and right.strip():
                yield left, right


def _known(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except LookupError:
        raise ValueError(f"not readable: unknown charset {charset}") from None


def _join(text: str) -> str:
    return " ".join(text.split())
