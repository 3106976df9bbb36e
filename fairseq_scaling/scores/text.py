"""Text files of sentences: plain or compressed, one sentence a line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError

_PACKED = ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress), (b"\xfd7zXZ\0", lzma.decompress))
# UTF-32 first: its mark begins with that of UTF-16. Shells of Windows write UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TextLine(NamedTuple):
    """A line of a file: its number from 1, its content without the line end, and whether a line end was there."""

    number: int
    content: bytes
    complete: bool


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, decompressed (gzip, bzip2, xz) and, where it was UTF-16 or UTF-32, as UTF-8.

    Raises:
        DataError: the file is missing or cannot be read, or the compressed data is damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file\n  check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})\n  check its permissions") from None
    for mark, decompress in _PACKED:
        if content.startswith(mark):
            try:
                content = decompress(content)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                raise DataError(f"{path}: the compressed data is damaged ({error})\n  copy the file again") from None
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").encode("utf-8", "replace")
    return content.removeprefix(codecs.BOM_UTF8)


def text_lines(path: Path) -> list[TextLine]:
    """Return the lines of a text file. Only line feeds end a line; a carriage return before one is removed.

    Raises:
        DataError: the file cannot be read.
    """
    *lines, rest = read_bytes(path).split(b"\n")
    found = [TextLine(number, line.removesuffix(b"\r"), True) for number, line in enumerate(lines, 1)]
    if rest:
        found.append(TextLine(len(lines) + 1, rest.removesuffix(b"\r"), False))
    return found


def decode_line(line: TextLine, path: Path, content: bytes | None = None) -> str:
    """Return the line, or the given part of it, as text (DataError where it is not UTF-8, or holds zero bytes)."""
    content = line.content if content is None else content
    if b"\0" in content:
        raise DataError(f"{path}:{line.number}: holds zero bytes: it is not text, or damaged\n  give a text file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        remedy = "convert the file with iconv -t UTF-8"
        raise DataError(f"{path}:{line.number}: is not UTF-8 text\n  {remedy}") from None


def read_text(path: Path, what: str = "text") -> list[str]:
    """Return the sentences of a raw text file, one a line (DataError where it is missing, empty or not UTF-8)."""
    lines = [decode_line(line, path) for line in text_lines(path)]
    if not lines:
        raise DataError(f"{path}: the {what} is empty\n  give the raw text, one sentence a line")
    return lines
