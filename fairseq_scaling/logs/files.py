"""Files into lines: walks folders, opens gzip, decodes what shells make of text, and never holds a file in memory."""

from __future__ import annotations

import codecs
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from .lines import BARE_CONFIG, INSIDE, TIMESTAMP

BLOCK = 256 << 10  # small enough to stay in the cache of a core
_DATE = len("2020-01-01 00:00:00")
_OTHER_LEVELS = (b" | WARNING | ", b" | ERROR | ", b" | DEBUG | ", b" | CRITICAL | ")
_NAME, _NAMESPACE = b"{'_name': None, 'common'", b"Namespace("
_HYDRA = re.compile(rb"\]\[[\w.]+\]\[")
LONGEST_LINE = 16 << 20
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r"))
PathLike = str | os.PathLike[str]


class RawLine(NamedTuple):
    """A piece of a file: line number from 1, content without its end, and whether an end was there."""

    number: int
    content: bytes
    complete: bool


class Block(NamedTuple):
    """Lines of a file: the number of the first, from 1, and the bytes, which end in a line feed but for the last."""

    number: int
    content: bytes


class Unreadable(Exception):
    """The rest of a file can not be read; ``str()`` says why and what to do."""


class TooLong(Unreadable):
    """A line is longer than any that fairseq writes; ``at`` says it of the line with a number."""

    @classmethod
    def at(cls, number: int) -> TooLong:
        return cls(f"line {number} is longer than {LONGEST_LINE >> 20} MiB: this is no fairseq log")


def walk(paths: PathLike | Iterable[PathLike]) -> Iterator[tuple[Path, bool]]:
    """Yield every file once, in sorted order, with whether it was named itself (and not found in a folder).

    Links to folders are followed once. Names that begin with a dot are left out.

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
            for file in _below(path, os.path.join(os.path.realpath(path), ""), seen):
                yield file, False
        elif (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            yield path, True


def read_lines(path: Path, records: bool = True) -> Iterator[RawLine]:
    """Yield the lines of a text file, plain or gzip, in UTF-8 or UTF-16, with any line ends.

    Args:
        path: the file.
        records: it is a log: carriage returns end lines too (progress bars), and a timestamp in the middle of a line
            means that another record broke in: the line is yielded as two pieces, the first of them incomplete.
            False for translations, where only a line feed ends a line.

    Raises:
        Unreadable: the file can not be opened or is damaged from some place on (everything before it was yielded).
    """
    number = 1
    try:
        for content in read_blocks(path, records):
            yield from split_block(Block(number, content), records)
            number += content.count(b"\n")
    except TooLong:
        raise TooLong.at(number) from None


def read_blocks(path: Path, records: bool = True) -> Iterator[bytes]:
    """Yield a text file in blocks of whole lines, what has no end last; see :func:`read_lines`, which says the rest."""
    rest = b""
    for read in _decoded(path):
        end = read.rfind(b"\n") + 1
        if end:
            yield b"".join((rest, memoryview(read)[:end]))
            rest = read[end:]
            continue
        rest += read
        if len(rest) > LONGEST_LINE:
            end = rest.rfind(b"\r") + 1 if records else 0
            if not end:
                raise TooLong
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def split_block(block: Block, records: bool = True) -> Iterator[RawLine]:
    """Yield the lines of a block of whole lines, or of what stands behind the last of them."""
    *lines, rest = block.content.split(b"\n")
    number = block.number
    for content in lines:
        if not records:
            yield RawLine(number, content.removesuffix(b"\r"), True)
        elif b"\r" in content:
            for piece in content.rstrip(b"\r").split(b"\r"):
                yield from _whole(number, piece, True)
        else:
            yield from _whole(number, content, True)
        number += 1
    if not records:
        if rest:
            yield RawLine(number, rest.removesuffix(b"\r"), False)
        return
    *pieces, last = rest.split(b"\r")
    for piece in pieces:
        if piece:
            yield from _whole(number, piece, True)
    if last:
        yield from _whole(number, last, False)


def is_undivided(content: bytes) -> bool:
    """Return whether it shows at a glance that no other record broke into this piece of a line, which most are.

    Behind the time of a record stands its level between bars, or a bracket: without more bars than the head of the line
    has, and without a bracket, none began inside. Nor did a configuration that has no time.
    """
    bars = 3 if content.startswith(b" | INFO | ", _DATE) else 1
    return content.count(b" | ") <= bars and b"]" not in content and not _has_config(content)


def read_whole(path: Path, largest: int) -> bytes:
    """Return the content of a small file as UTF-8, unpacked.

    Raises:
        Unreadable: it can not be read, is damaged, or is larger than ``largest`` bytes.
    """
    content = b""
    for block in _decoded(path):
        content += block
        if len(content) > largest:
            raise Unreadable(f"is larger than {largest >> 20} MiB")
    return content


def first_bytes(path: Path) -> bytes:
    """Return the first 4096 bytes of the (unpacked) file, fewer where it ends or is damaged before."""
    try:
        with _open(path) as stream:
            return stream.read1(4096)
    except (OSError, EOFError, zlib.error):
        return b""


def looks_binary(head: bytes) -> bool:
    """Return whether a file that begins so is no text (a checkpoint, a picture, encoded data).

    Zero bytes alone are not enough: a power cut leaves them in a log, and a log that was emptied under a program that
    writes on begins with them.
    """
    if b"\0" not in head or _utf16(head) is not None:
        return False
    return not _is_text(head.replace(b"\0", b""))


def _below(folder: Path, real: str, seen: set[str]) -> Iterator[Path]:
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: the folder can not be read ({error.strerror})\n  check its permissions") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        # what is no link has the folder's real place, which saves a question to the system for each part of it
        place = os.path.realpath(path) if entry.is_symlink() else real + entry.name
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _below(path, os.path.join(place, ""), seen)
        elif place not in seen:
            seen.add(place)
            yield path


def _whole(number: int, content: bytes, complete: bool) -> Iterator[RawLine]:
    """Yield the line, or its pieces where other records broke into it."""
    if is_undivided(content):
        yield RawLine(number, content, complete)
        return
    first = content.find(b" | INFO | ")
    starts: list[int] = []
    # in most lines the first level is the only one and stands behind the date; the search below is slow
    if (
        (first != _DATE and first >= 0)
        or content.find(b" | INFO | ", _DATE + 1) >= 0
        or any(map(content.__contains__, _OTHER_LEVELS))
        or (b"][" in content and _HYDRA.search(content))
    ):
        starts += [match.start() for match in TIMESTAMP.finditer(content) if match.start()]
    if _has_config(content):
        found = [start for mark in (_NAME, _NAMESPACE) for start in _places(content, mark) if start]
        begun = [start for start in found if BARE_CONFIG.match(content, start)]
        starts = sorted(starts + [start for start in begun if not content.endswith(INSIDE, 0, start)])
    for start, end in zip([0, *starts], starts, strict=False):
        yield RawLine(number, content[start:end], False)
    if starts:
        content = content[starts[-1] :]
    yield RawLine(number, content, complete)


def _has_config(content: bytes) -> bool:
    return _NAME in content or _NAMESPACE in content


def _places(content: bytes, mark: bytes) -> Iterator[int]:
    at = content.find(mark)
    while at >= 0:
        yield at
        at = content.find(mark, at + 1)


def _open(path: Path) -> BufferedReader | gzip.GzipFile:
    # opening a FIFO or a device would wait for ever
    if not path.is_file():
        raise OSError(0, "it is no regular file")
    stream = open(path, "rb")  # noqa: SIM115
    if not stream.peek(2).startswith(b"\x1f\x8b"):
        return stream
    unpacked = gzip.GzipFile(fileobj=stream, mode="rb")
    unpacked.myfileobj = stream  # type: ignore[assignment]  # so that closing the one closes the other
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
        message = f"the gzip file is damaged ({error}): copy it again; what stands before the damage counts"
        raise Unreadable(message) from None
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
    if b"\0" not in sample:
        return None
    for encoding, low, high in (("utf-16-le", sample[0::2], sample[1::2]), ("utf-16-be", sample[1::2], sample[0::2])):
        plain = bytes(one for one, other in zip(low, high, strict=False) if not other)
        if 2 * len(plain) > len(low) > 10 * low.count(0) and _is_text(plain):
            return encoding
    return None


def _is_text(sample: bytes) -> bool:
    return len(sample.translate(None, _CONTROLS)) >= 0.98 * len(sample)
