"""Files into lines: walks folders, unpacks, decodes what shells make of text, and never holds a file in memory."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from ..problems import Problem
from ..scores.text import READING_ERRORS, open_unpacked
from .kinds import LogProblem
from .lines import BARE_CONFIG, INSIDE, TIMESTAMP

BLOCK = 256 << 10
LONGEST_LINE = 16 << 20
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\r\x1b"))
# colours: the escape character itself, or as an editor or a terminal recorder writes it
_COLOUR = re.compile(rb"(?:\x1b|\^\[|\\e|\\033|\\x1b)\[[0-9;]*[A-Za-z]")
_COLOUR_MARKS = (b"\x1b[", b"^[[", b"\\e[", b"\\033[", b"\\x1b[")
# archives of several files, and packings that Python cannot open: end of the name -> what unpacks it
_UNPACKED_WITH = {".zst": "zstd -d", ".lz4": "lz4 -d", ".Z": "uncompress", ".zip": "unzip", ".7z": "7z x"}
_UNPACKED_WITH |= dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz"), "tar -xf")
_PACKERS = {"GzipFile": "gzip", "BZ2File": "bzip2", "LZMAFile": "xz"}
PathLike = str | os.PathLike[str]


class RawLine(NamedTuple):
    """A piece of a file: line number from 1, content without its end, and whether an end was there."""

    number: int
    content: bytes
    complete: bool


class Unreadable(Exception):
    """The rest of a file cannot be read; ``problem`` makes the problem of the file with the given name."""

    def __init__(self, problem: Callable[[str], Problem]) -> None:
        super().__init__()
        self.problem = problem


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


def read_lines(path: Path) -> Iterator[RawLine]:
    """Yield the lines of a log, plain or packed, in UTF-8 or UTF-16, with any line ends, without colours.

    Carriage returns end lines too (progress bars). A timestamp or a configuration in the middle of a line means that
    another record broke in: the line is yielded in pieces, all but the last of them incomplete.

    Raises:
        Unreadable: the file cannot be opened or is damaged from some place on (everything before it was yielded).
    """
    number, rest = 1, b""
    for block in _decoded(path):
        *lines, rest = (rest + block).split(b"\n")
        for content in lines:
            if b"\r" in content:
                for piece in content.rstrip(b"\r").split(b"\r"):
                    yield from _pieces(number, piece, True)
            else:
                yield from _pieces(number, content, True)
            number += 1
        if len(rest) > LONGEST_LINE:
            *pieces, rest = rest.split(b"\r")
            if not pieces:
                problem = partial(LogProblem.LONG_LINE.at, line=number, number=number, limit=LONGEST_LINE >> 20)
                raise Unreadable(problem)
            for piece in pieces:
                yield from _pieces(number, piece, True)
    *pieces, last = rest.split(b"\r")
    for piece in filter(None, pieces):
        yield from _pieces(number, piece, True)
    if last:
        yield from _pieces(number, last, False)


def first_bytes(path: Path) -> bytes:
    """Return the first 4096 bytes of the (unpacked) file, fewer where it ends or is damaged before."""
    try:
        with open_unpacked(path) as stream:
            return stream.read1(4096)
    except READING_ERRORS:
        return b""


def other_packer(path: Path) -> Problem | None:
    """Return the problem of a file that, by its name, is packed in a way that is not read here."""
    ends = path.suffixes[-2:]
    tool = _UNPACKED_WITH.get(".tar" if len(ends) == 2 and ends[0] == ".tar" else path.suffix)
    return LogProblem.PACKED.at(str(path), tool=tool) if tool else None


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
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror})\n  check its permissions") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        # only a link can lie elsewhere: for the others the question to the system is saved
        place = os.path.realpath(path) if entry.is_symlink() else real + entry.name
        if path.is_dir() if entry.is_symlink() else entry.is_dir():
            yield from _below(path, os.path.join(place, ""), seen)
        elif place not in seen:
            seen.add(place)
            yield path


def _pieces(number: int, content: bytes, complete: bool) -> list[RawLine]:
    """Return the line, or its pieces where other records broke into it."""
    if b"[" in content and any(map(content.__contains__, _COLOUR_MARKS)):
        content = _COLOUR.sub(b"", content)
    starts: list[int] = []
    if b" | " in content or b"][" in content:
        starts = [match.start() for match in TIMESTAMP.finditer(content) if match.start()]
    if b"Namespace(" in content or b"{'_name'" in content:
        found = [match.start() for match in BARE_CONFIG.finditer(content) if match.start()]
        starts = sorted(starts + [start for start in found if not content.endswith(INSIDE, 0, start)])
    if not starts:
        return [RawLine(number, content, complete)]
    cut = [RawLine(number, content[start:end], False) for start, end in zip([0, *starts], starts, strict=False)]
    return [*cut, RawLine(number, content[starts[-1] :], complete)]


def _decoded(path: Path) -> Iterator[bytes]:
    """Yield blocks of UTF-8 text; ``read1``, so that what stands before the damage of a packed file is not lost."""
    packer = ""
    try:
        with open_unpacked(path) as stream:
            packer, read = _PACKERS.get(type(stream).__name__, ""), stream.read1
            block = read(BLOCK)
            encoding = _utf16(block)
            if encoding is None:
                yield block.removeprefix(codecs.BOM_UTF8)
                while block:
                    block = read(BLOCK)
                    yield block
                return
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            while block:
                yield decoder.decode(block).replace("\ufeff", "").encode("utf-8", "replace")
                block = read(BLOCK)
    except READING_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error)
        if packer:
            raise Unreadable(lambda file: LogProblem.DAMAGED_ARCHIVE.at(file, packer=packer, reason=reason)) from None
        raise Unreadable(lambda file: LogProblem.UNREADABLE.at(file, reason=reason)) from None


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
