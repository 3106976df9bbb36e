"""What files held when they were last read, so that files that have not changed are not read again.

One JSON file for each log lies in ``$XDG_CACHE_HOME/fairseq_scaling/logs`` (else ``~/.cache/...``). It counts only if
size, times, inode, first and last bytes of the log and this version of the reader are the same; otherwise, and where
anything about it is wrong, the log is read. Nothing is lost by deleting the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import __version__
from ..whole_files import write_whole
from .packing import pack, unpack
from .segments import FileReading

_SAMPLE = 4096  # bytes of either end that are compared; smaller files are read as fast
_YOUNG = 3.0  # seconds; a younger file may change again without a new time of change
_KEPT = 30 * 86400.0  # seconds without use


class Cache:
    """The readings of unchanged files. Whatever fails in here, fails silently: then files are read."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._stored = 0

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

    @cached_property
    def version(self) -> str:
        """A hash of everything that decides what a file is taken to say."""
        digest = hashlib.sha256(f"{__version__} {platform.python_version()}".encode())
        for module in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(module.read_bytes())
        return digest.hexdigest()

    def reading(self, path: Path, name: str, read: Callable[[], FileReading]) -> FileReading:
        """Return what the file holds: as it is kept here, else by reading it; ``name`` stands for it in origins."""
        before = self._state(path)
        place = self._place(path)
        if before is None or place is None:
            return read()
        kept = self._find(place, before, name)
        if kept is not None:
            return kept
        reading = read()
        if time.time() - before["modified"] / 1e9 > _YOUNG and before == self._state(path):
            self._keep(place, before, reading)
        return reading

    def _find(self, place: Path, state: dict[str, Any], name: str) -> FileReading | None:
        try:
            head, _, body = place.read_bytes().partition(b"\n")
            if json.loads(head) != {**state, "sha256": _hash(body)}:
                return None
            reading = unpack(json.loads(body), name)
            if time.time() - place.stat().st_mtime > _KEPT / 2:
                os.utime(place)
            return reading
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            return None

    def _keep(self, place: Path, state: dict[str, Any], reading: FileReading) -> None:
        try:
            body = json.dumps(pack(reading), separators=(",", ":")).encode()
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            head = json.dumps({**state, "sha256": _hash(body)}).encode()
            write_whole(place, head + b"\n" + body, durable=False)
            self._stored += 1
        except (OSError, ValueError, TypeError, RecursionError):
            return

    def tidy(self) -> None:
        """Remove what was not used for a month; looks only if something was added."""
        if not self._stored or self.folder is None:
            return
        self._stored = 0
        for entry in _entries(self.folder):
            try:
                if time.time() - entry.stat().st_mtime > _KEPT:
                    os.unlink(entry)
            except OSError:
                continue

    def _place(self, path: Path) -> Path | None:
        name = _hash(os.fsencode(os.path.abspath(path)))[:32]
        return self.folder / f"{name}.json" if self.folder is not None else None

    def _state(self, path: Path) -> dict[str, Any] | None:
        """Return what tells a file from what it was or will be, None where it is no file or too small to be kept."""
        try:
            status = os.stat(path)
            # opening a FIFO would wait for ever
            if not stat.S_ISREG(status.st_mode) or status.st_size < _SAMPLE:
                return None
            with open(path, "rb", buffering=0) as stream:
                ends = stream.read(_SAMPLE)
                stream.seek(-_SAMPLE, os.SEEK_END)
                ends += stream.read(_SAMPLE)
            version = self.version
        except (OSError, ValueError):
            return None
        return {
            "path": os.path.abspath(path),
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            "changed": status.st_ctime_ns,
            "inode": status.st_ino,
            "ends": _hash(ends),
            "reader": version,
        }


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return
