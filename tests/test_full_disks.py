"""A full or read-only disk: one message, exit code 2, the old result as it was, and nothing that looks finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disks import COMMANDS, assert_told_where_nothing_may_be_written, assert_told_without_room


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("Ünï cödé, with spaces")


@pytest.mark.faults("a full disk", lost="the result that was being written; what was there stays")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_without_room_is_told_and_left_as_it_was(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_without_room(name, COMMANDS[name], folder, tmp_path)


@pytest.mark.faults("a read-only disk", lost="nothing")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_disk_is_told(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_where_nothing_may_be_written(COMMANDS[name], folder, tmp_path)
