"""A file is written whole or not at all, and nothing else is left behind."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from fairseq_scaling.whole_files import write_whole


@pytest.mark.parametrize("name", ["a.json", "Ünï cödé, ‘quoted’.txt", "é" * 120 + ".json"])  # 245 of 255 bytes
def test_any_name_can_be_written_and_replaced(name: str, tmp_path: Path) -> None:
    write_whole(tmp_path / name, "first\r\n")
    write_whole(tmp_path / name, "zweitens\n\udcff", durable=False)
    assert (tmp_path / name).read_bytes() == b"zweitens\n?"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_the_mode(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "a", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "folder", b"x")
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "a", b"x")
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]
