"""Text files of sentences: plain or compressed, one sentence a line."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import NamedTuple, cast

from ..errors import DataError

READING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a file of ``open_unpacked`` may raise: it is missing, may not be read, or its packed data is damaged."""
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


def open_unpacked(path: Path) -> io.BufferedReader:
    """Open a file to read its bytes, unpacking gzip, bzip2 and xz, which are recognised by their first bytes."""
    if not path.is_file():  # opening a FIFO or a device would wait for ever
        raise OSError(0, "it is no regular file" if path.exists() else "there is no such file")
    with open(path, "rb") as stream:
        head = stream.read(6)
    if head.startswith(b"\x1f\x8b"):
        return cast(io.BufferedReader, gzip.open(path))
    if head.startswith(b"BZh"):
        return cast(io.BufferedReader, bz2.open(path))
    return cast(io.BufferedReader, lzma.open(path)) if head == b"\xfd7zXZ\0" else open(path, "rb")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, decompressed (gzip, bzip2, xz) and, where it was UTF-16 or UTF-32, as UTF-8.

    Raises:
        DataError: the file is missing or cannot be read, or the compressed data is damaged.
    """
    try:
        with open_unpacked(path) as stream:
            content = stream.read()
    except READING_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})\n  check the path, or copy the file again") from None
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
