"""Reading text files line by line so that two sides never shift against each other.

A line ends at a line feed and nowhere else: Python's own ``splitlines`` also breaks at form feeds and U+2028, which
would silently misalign a pair of files.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from fairseq_scaling.errors import DataError

LONGEST = 1 << 20
"""bytes of a line; a longer one is no sentence, and memory would grow with it"""
_BOM = b"\xef\xbb\xbf"
_CHARACTERS = 1 << 22  # of the lines that are worked on together
_Item = TypeVar("_Item")
_Text = TypeVar("_Text", str, tuple[str, str])


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file (``.gz`` too) without line ends; a byte order mark is dropped.

    Raises:
        DataError: the file is missing, is UTF-16, or cannot be unpacked, or a line is not UTF-8 or longer than
            ``LONGEST``; the message names file and line.
    """
    number = 0
    try:
        with _open(path) as stream:
            while raw := stream.readline(LONGEST + 2):
                number += 1
                if number == 1:
                    raw = raw.removeprefix(_BOM)
                yield _decoded(raw, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}, after line {number}: cannot be unpacked ({error})\n  copy the file again") from None


def _decoded(raw: bytes, path: Path, number: int) -> str:
    content = raw.removesuffix(b"\n").removesuffix(b"\r")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or 4 * content.count(0) > len(content) + 4:
        raise DataError(f"{path}, line {number}: UTF-16 or UTF-32, not UTF-8\n  convert it: iconv -f UTF-16 -t UTF-8")
    if len(content) > LONGEST:
        raise DataError(
            f"{path}, line {number}: longer than {LONGEST:,} bytes, no sentence\n"
            "  put one sentence on a line, each ended by a line feed; in a pair, both sides alike"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})\n"
            "  convert the file first, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW"
        ) from None


def read_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines of two aligned files together (DataError where one file has more than the other)."""
    missing = object()
    sides = itertools.zip_longest(read_lines(source), read_lines(target), fillvalue=missing)
    for number, (left, right) in enumerate(sides):
        if left is missing or right is missing:
            longer, shorter = (target, source) if left is missing else (source, target)
            raise DataError(
                f"{longer} has more lines than {shorter}, which ends after line {number}\n"
                "  line i of one file must be the translation of line i of the other"
            )
        yield str(left), str(right)


def count_lines(path: Path) -> int:
    """Return the number of lines, a last line without a line end included."""
    count, last = 0, b"\n"
    with _open(path) as stream:
        while part := stream.read(LONGEST):
            count, last = count + part.count(b"\n"), part[-1:]
    return count + (last != b"\n")


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write one line each and return how many; whatever would break a line becomes a space."""
    count = 0
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        for line in lines:
            stream.write(one_line(line) + "\n")
            count += 1
    return count


def write_pairs(source: Path, target: Path, pairs: Iterable[tuple[str, str]]) -> int:
    """Write both sides, line i of one the translation of line i of the other; return how many."""
    count = 0
    with (
        open(source, "w", encoding="utf-8", newline="\n") as left,
        open(target, "w", encoding="utf-8", newline="\n") as right,
    ):
        for one, other in pairs:
            left.write(one_line(one) + "\n")
            right.write(one_line(other) + "\n")
            count += 1
    return count


def one_line(text: str) -> str:
    """Return the text with line feeds and carriage returns replaced, so that it stays on one line."""
    return text.replace("\r", " ").replace("\n", " ") if "\n" in text or "\r" in text else text


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of at most ``size`` items in order."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def text_batches(items: Iterable[_Text], size: int) -> Iterator[list[_Text]]:
    """Yield lists of at most ``size`` lines or pairs in order, fewer where they are long: memory is bounded."""
    batch: list[_Text] = []
    characters = 0
    for item in items:
        batch.append(item)
        characters += len(item) if isinstance(item, str) else len(item[0]) + len(item[1])
        if len(batch) == size or characters > _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _open(path: Path) -> IO[bytes]:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path} is no file") from None
