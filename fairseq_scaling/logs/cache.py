"""What files held when they were last read, so that files that have not changed are not read again.

In ``$XDG_CACHE_HOME/fairseq_scaling/logs`` (else ``~/.cache/...``) lies one file for all logs two levels below the same
folder, such as those of a study's runs: to make one for each log takes about as long as to read it. A reading counts
only if size, times, inode, first and last bytes of its log and this version of the reader are the same; otherwise, and
where anything about it is wrong, the log is read. Nothing is lost by deleting the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..fingerprint import code_fingerprint
from ..whole_files import write_whole
from .packing import pack, unpack
from .segments import FileReading

_SAMPLE = 4096  # bytes of either end that are compared; smaller files are read as fast
_YOUNG = 3.0  # seconds; a younger file may change again without a new time of change
_KEPT = 30 * 86400.0  # seconds without use
_PAUSE = 10.0  # seconds from writing to writing, so that a reader that is stopped has not read for nothing
_WRONG = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
_Readings = dict[bytes, tuple[bytes, bytes]]  # the path of a log -> its state and what it held, each a line


class Cache:
    """The readings of unchanged files. Whatever fails in here, fails silently: then files are read."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: dict[str, _Readings] = {}  # of the folder two levels above
        self._added: dict[str, _Readings] = {}
        self._wrote = time.monotonic()

    @cached_property
    def folder(self) -> Path | None:
        """The folder, None where there is no home for one."""
        if self._folder is not None:
            return self._folder
        base = os.environ.get("XDG_CACHE_HOME", "")
        try:
            return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "fairseq_scaling" / "logs"
        except RuntimeError:
            return None

    def reading(self, path: Path, name: str, read: Callable[[], FileReading]) -> FileReading:
        """Return what the file holds: as it is kept here, else by reading it; ``name`` stands for it in origins."""
        before = _state(path)
        if before is None or self.folder is None:
            return read()
        whole = os.path.abspath(path)
        above = os.path.dirname(os.path.dirname(whole))
        if above not in self._kept:
            self._kept[above] = self._load(self._place(above))
        key, state = json.dumps(whole).encode(), repr(before).encode()
        # it is not asked for twice, and what the file is to hold is read again when that is written
        found, packed = self._kept[above].pop(key, (b"", b""))
        if found == state:
            try:
                return unpack(json.loads(packed), name)
            except _WRONG:
                pass
        reading = read()
        if time.time() - before.modified / 1e9 > _YOUNG and before == _state(path):
            try:
                packed = json.dumps(pack(reading), separators=(",", ":")).encode()
            except _WRONG:
                return reading
            self._added.setdefault(above, {})[key] = (state, packed)
            if time.monotonic() - self._wrote > _PAUSE:
                self._write()
        return reading

    def tidy(self) -> None:
        """Write what was read; only if there was something, remove what was not used for a month."""
        self._kept.clear()
        if not self._added or self.folder is None:
            return
        self._write()
        for entry in _entries(self.folder):
            try:
                if time.time() - entry.stat().st_mtime > _KEPT:
                    os.unlink(entry)
            except OSError:
                continue

    def _place(self, above: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{_hash(os.fsencode(above))[:32]}.json"

    def _load(self, place: Path) -> _Readings:
        try:
            digest, *lines = place.read_bytes().split(b"\n")
            if digest != self._digest(lines):
                return {}
            if time.time() - place.stat().st_mtime > _KEPT / 2:
                os.utime(place)
            return dict(zip(lines[0::3], zip(lines[1::3], lines[2::3], strict=True), strict=True))
        except _WRONG:
            return {}

    def _write(self) -> None:
        """Add what was read to what the files hold by now, but for logs that are gone."""
        for above, added in self._added.items():
            place = self._place(above)
            try:
                kept = {key: value for key, value in self._load(place).items() if os.path.lexists(json.loads(key))}
                lines = [line for key, value in {**kept, **added}.items() for line in (key, *value)]
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_whole(place, b"\n".join([self._digest(lines), *lines]), durable=False)
            except _WRONG:
                continue
        self._added.clear()
        self._wrote = time.monotonic()

    def _digest(self, lines: list[bytes]) -> bytes:
        """Return what tells that a file is whole and of this version of the reader."""
        digest = hashlib.sha256(code_fingerprint("logs").encode())
        for line in lines:
            digest.update(line + b"\n")
        return digest.hexdigest().encode()


class _State(NamedTuple):
    """What tells a file from what it was or will be."""

    size: int
    modified: int
    changed: int
    inode: int
    ends: str


def _state(path: Path) -> _State | None:
    """Return the state of a file, None where it is none or too small to be kept."""
    try:
        status = os.stat(path)
        # opening a FIFO would wait for ever
        if not stat.S_ISREG(status.st_mode) or status.st_size < _SAMPLE:
            return None
        with open(path, "rb", buffering=0) as stream:
            ends = stream.read(_SAMPLE)
            stream.seek(-_SAMPLE, os.SEEK_END)
            ends += stream.read(_SAMPLE)
    except (OSError, ValueError):
        return None
    return _State(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, _hash(ends))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return
