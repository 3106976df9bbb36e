"""The user's own text files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairseq_scaling.data.corpus import file_checksum
from fairseq_scaling.errors import SettingError

from ..lines import read_lines, read_pairs
from .base import HeldOut, Request, Source

SidePaths = tuple[Path, Path]


class FilesSource(Source):
    """Monolingual and parallel UTF-8 files (``.gz`` too), one sentence a line.

    Raises:
        SettingError: a file does not exist or is empty, or is to be its own translation.
    """

    name = "files"

    def __init__(self, request: Request) -> None:
        self._mono = {language: [Path(value) for value in values] for language, values in request.mono.items()}
        self._pairs = {
            pair: [_two_files("--pair", value) for value in values] for pair, values in request.parallel.items()
        }
        self._held_out = {
            (pair, split): _two_files(f"--{split.rstrip('0123456789')}", value)
            for (pair, split), value in request.given.items()
        }
        for path in self._paths():
            if not path.is_file():
                raise SettingError("file", path, "does not exist")
            if not path.stat().st_size:
                raise SettingError("file", path, "is empty", "leave it out, or copy it again")
        for left, right in self._sides():
            if left.samefile(right):
                raise SettingError("file", left, "is given as both sides of a pair", "give the file of each language")

    def monolingual(self, language: str) -> Iterator[str]:
        for path in self._mono.get(language, ()):
            yield from read_lines(path)

    def parallel(self, source: str, target: str) -> Iterator[tuple[str, str]]:
        for left, right in self._pairs.get(f"{source}-{target}", ()):
            yield from read_pairs(left, right)

    def held_out(self, source: str, target: str) -> dict[str, HeldOut]:
        return {
            split: HeldOut(_common_name(*paths), read_pairs(*paths))
            for (pair, split), paths in self._held_out.items()
            if pair == f"{source}-{target}"
        }

    def describe(self) -> dict[str, Any]:
        files = [{"name": path.name, "sha256": file_checksum(path)} for path in self._paths()]
        return {"source": self.name, "files": files}

    def _paths(self) -> list[Path]:
        mono = (path for paths in self._mono.values() for path in paths)
        return [*mono, *(path for pair in self._sides() for path in pair)]

    def _sides(self) -> list[SidePaths]:
        return [*(pair for pairs in self._pairs.values() for pair in pairs), *self._held_out.values()]


def _common_name(left: Path, right: Path) -> str:
    """Return what the names of two files have in common: ``newstest2014`` of newstest2014.en and newstest2014.fr."""
    equal = itertools.takewhile(lambda letters: letters[0] == letters[1], zip(left.name, right.name, strict=False))
    return "".join(letter for letter, _ in equal).rstrip(".-_") or left.stem


def _two_files(option: str, text: str) -> SidePaths:
    parts = text.split(",")
    pairs = [(Path(",".join(parts[:cut])), Path(",".join(parts[cut:]))) for cut in range(1, len(parts))]
    if len(pairs) > 1:  # a name with a comma in it: the files that are there tell where the other begins
        pairs = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    if len(pairs) != 1:
        raise SettingError(option, text, "must name two files", f"for example: {option} en-fr=train.en,train.fr")
    return pairs[0]
