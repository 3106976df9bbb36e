"""The user's own text files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_scaling.data.corpus import file_checksum
from fairseq_scaling.errors import SettingError

from ..lines import read_lines, read_pairs
from .base import Source

SidePaths = tuple[Path, Path]


class FilesSource(Source):
    """Monolingual and parallel UTF-8 files (``.gz`` too), one sentence a line.

    Args:
        mono: language -> files.
        pairs: ``en-fr`` -> (English file, French file), line i of one the translation of line i of the other.
        held_out: (pair, ``valid`` or ``test``) -> the two files.

    Raises:
        SettingError: a file does not exist or is empty, or is to be its own translation.
    """

    name = "files"

    def __init__(
        self,
        mono: Mapping[str, Sequence[Path]],
        pairs: Mapping[str, Sequence[SidePaths]],
        held_out: Mapping[tuple[str, str], SidePaths],
    ) -> None:
        self._mono, self._pairs, self._held_out = mono, pairs, held_out
        for path in self._paths():
            if not path.is_file():
                raise SettingError("file", path, "does not exist")
            if not path.stat().st_size:
                raise SettingError("file", path, "is empty", "leave it out, or copy it again")
        for left, right in self._sides():
            if left.samefile(right):
                raise SettingError("file", left, "stands for both sides of a pair", "give the file of each language")

    def monolingual(self, language: str) -> Iterator[str]:
        for path in self._mono.get(language, ()):
            yield from read_lines(path)

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        for left, right in self._pairs.get(f"{source}-{target}", ()):
            yield from read_pairs(left, right)

    def held_out(self, source: str, target: str, split: str) -> Iterator[tuple[str, str]]:
        if paths := self._held_out.get((f"{source}-{target}", split)):
            yield from read_pairs(*paths)

    def describe(self) -> dict[str, Any]:
        files = [{"name": path.name, "sha256": file_checksum(path)} for path in self._paths()]
        return {"source": self.name, "files": files}

    def _paths(self) -> list[Path]:
        mono = (path for paths in self._mono.values() for path in paths)
        return [*mono, *(path for pair in self._sides() for path in pair)]

    def _sides(self) -> list[SidePaths]:
        return [*(pair for pairs in self._pairs.values() for pair in pairs), *self._held_out.values()]
