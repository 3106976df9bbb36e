"""Files into lines: walks folders, opens gzip, decodes what shells make of text, and never holds a file in memory."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from .lines import TIMESTAMP

BLOCK = 1 << 20
LONGEST_LINE = 16 << 20
PathLike = str | os.PathLike[str]


class RawLine(NamedTuple):
    """A piece of a file: line number from 1, content without its end, and whether an end was there."""

    number: int
    content: bytes
    complete: bool


class Unreadable(Exception):
    """The rest of a file can not be read; ``str()`` says why and what to do."""


def walk(paths: PathLike | Iterable[PathLike]) -> Iterator[tuple[Path, bool]]:
    """Yield every file once, in sorted order, with whether it was named itself (and not found in a folder).

    Links to folders are followed once. Folders whose names begin with a dot are left out.

    Raises:
        DataError: a path does not exist.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    seen: set[str] = set()
    for given in paths:
        path = Path(given)
        try:
            found = path.exists()
        except (OSError, ValueError):
            found = False
        if not found:
            raise DataError(f"{given}: there is no such file or folder\n  name fairseq logs or folders that hold them")
        if path.is_dir():
            for file in _below(path, seen):
                if _new(file, seen):
                    yield file, False
        elif _new(path, seen):
            yield path, True


def read_lines(path: Path) -> Iterator[RawLine]:
    """Yield the lines of a text file, plain or gzip, in UTF-8 or UTF-16, with any line ends.

    A timestamp in the middle of a line means that another record broke in: the line is yielded as two pieces, the first
    of them incomplete.

    Raises:
        Unreadable: the file can not be opened or is damaged from some place on (everything before it was yielded).
    """
    number, rest = 1, b""
    for block in _decoded(path):
        rest += block
        end = rest.rfind(b"\n")
        if end < 0 and len(rest) > LONGEST_LINE:
            end = rest.rfind(b"\r")
            if end < 0:
                raise Unreadable(f"line {number} is longer than {LONGEST_LINE >> 20} MiB: this is no fairseq log")
            for piece in rest[:end].split(b"\r"):
                yield from _whole(number, piece, True)
            rest = rest[end + 1 :]
            continue
        if end < 0:
            continue
        for content in rest[:end].split(b"\n"):
            if b"\r" in content:
                for piece in content.rstrip(b"\r").split(b"\r"):
                    yield from _whole(number, piece, True)
            else:
                yield from _whole(number, content, True)
            number += 1
        rest = rest[end + 1 :]
    pieces = rest.split(b"\r")
    for index, piece in enumerate(pieces):
        if piece:
            yield from _whole(number, piece, index < len(pieces) - 1)


def looks_binary(path: Path) -> bool:
    """Return whether the file is no text (a checkpoint, a picture, encoded data), from its first bytes."""
    try:
        with _open(path) as stream:
            head = stream.read(4096)
    except (OSError, EOFError, zlib.error):
        return False
    return b"\0" in head and _utf16(head) is None


def _below(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder) + os.sep
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: the folder can not be read ({error.strerror})\n  check its permissions") from None
    for entry in entries:
        if entry.is_dir():
            if not entry.name.startswith("."):
                yield from _below(entry, seen)
        else:
            yield entry


def _new(path: Path, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    if real in seen:
        return False
    seen.add(real)
    return True


def _whole(number: int, content: bytes, complete: bool) -> Iterator[RawLine]:
    """Yield the line, or its pieces where other records broke into it."""
    if content.count(b" | ") > 1 or b"][" in content:
        starts = [match.start() for match in TIMESTAMP.finditer(content) if match.start()]
        for start, end in zip([0, *starts], starts, strict=False):
            yield RawLine(number, content[start:end], False)
        if starts:
            content = content[starts[-1] :]
    yield RawLine(number, content, complete)


def _open(path: Path) -> BufferedReader | gzip.GzipFile:
    # opening a FIFO or a device would wait for ever
    if not path.is_file():
        raise OSError(0, "it is no regular file")
    stream = open(path, "rb")  # noqa: SIM115
    magic = stream.read(2)
    stream.seek(0)
    if magic != b"\x1f\x8b":
        return stream
    unpacked = gzip.GzipFile(fileobj=stream, mode="rb")
    unpacked.myfileobj = stream  # so that closing the one closes the other
    return unpacked


def _decoded(path: Path) -> Iterator[bytes]:
    """Yield blocks of UTF-8 text; ``read1``, so that what stands before the damage of a gzip file is not lost."""
    try:
        with _open(path) as stream:
            block = stream.read1(BLOCK)
            encoding = _utf16(block)
            if encoding is None:
                yield block.removeprefix(codecs.BOM_UTF8)
                while block:
                    block = stream.read1(BLOCK)
                    yield block
                return
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            while block:
                yield decoder.decode(block).replace("\ufeff", "").encode("utf-8", "replace")
                block = stream.read1(BLOCK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"the gzip file is damaged from here on ({error}): copy it again; lines before it count") from None
    except OSError as error:
        raise Unreadable(f"the file can not be read ({error.strerror or error})") from None


def _utf16(head: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 encoding that ``head`` is in (shells of Windows write it), or None."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return encoding
    sample = head[:512]
    if len(sample) >= 8:
        even, odd = sample[0::2], sample[1::2]
        if odd.count(0) > 0.9 * len(odd) and even.count(0) < 0.1 * len(even):
            return "utf-16-le"
        if even.count(0) > 0.9 * len(even) and odd.count(0) < 0.1 * len(odd):
            return "utf-16-be"
    return None
