"""Disks that fill up under a training or a command. ``make test-torture`` runs this; the disks need root."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disks import (
    COMMANDS,
    CONVERTING,
    assert_told_where_nothing_may_be_written,
    assert_told_without_room,
    mounted,
)
from tests.tasks.runs import FINETUNING, PRETRAINING, assert_same_run, fairseq

Record = Callable[[str, object], None]
ALL = COMMANDS | CONVERTING


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("Ünï cödé, with spaces")


@pytest.mark.faults("a full disk", lost="the result that was being written; what was there stays")
@pytest.mark.parametrize("name", CONVERTING)
def test_a_disk_without_room_is_told_and_left_as_it_was(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_without_room(name, ALL[name], folder, tmp_path)


@pytest.mark.faults("a read-only disk", lost="nothing")
@pytest.mark.parametrize("name", CONVERTING)
def test_a_read_only_disk_is_told(name: str, folder: Path, tmp_path: Path) -> None:
    assert_told_where_nothing_may_be_written(ALL[name], folder, tmp_path)


@pytest.mark.faults("a full disk", lost="the result that was being written; what was there stays")
@pytest.mark.parametrize("name", ALL)
def test_a_disk_of_any_size_holds_a_whole_result_or_none(
    name: str, folder: Path, tmp_path: Path, record_property: Record
) -> None:
    whole = ALL[name](folder, tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    pages = sum(-(-path.stat().st_size // 4096) for path in files)
    sizes = sorted({max(1, int(share * pages)) for share in (0, 0.2, 0.4, 0.6, 0.8, 0.95)})
    for size in sizes:
        with mounted(tmp_path / "dïsk, full", f"size={4096 * size}") as disk:
            result = ALL[name](folder, disk / "out")
            assert result.exit_code == 2, (size, result.output)
            assert "cannot be written" in result.output or "No space left" in result.output
            assert not list(disk.rglob("*.part"))
            for path in (disk / "out").rglob("*"):
                expected = tmp_path / "whole" / path.relative_to(disk / "out")
                same = path.is_dir() or path.stat().st_size == expected.stat().st_size
                assert same or name == "fit-scaling", path  # its page says when it was made
    record_property("faults", len(sizes))


@pytest.mark.faults("a disk that is full while a run trains", lost="the checkpoint that was being written")
@pytest.mark.parametrize("kind", ["pretraining", "finetuning"])
def test_a_training_goes_on_once_there_is_room_again(
    kind: str, corpus: Path, tmp_path: Path, record_property: Record
) -> None:
    arguments: list[object] = [*PRETRAINING, "--save-interval-updates", 5] if kind == "pretraining" else [*FINETUNING]
    fairseq("train", corpus, *arguments, "--save-dir", tmp_path / "whole")
    size = (tmp_path / "whole/checkpoint_last.pt").stat().st_size
    # of a checkpoint: full in the first one, in its copy, and (finetuning has no more than these) in a later one
    shares = (0.5, 1.5, 2.5) if kind == "pretraining" else (0.5, 1.5)
    for share in shares:
        with mounted(tmp_path / "dïsk, full", f"size={int(share * size)}") as disk:
            printed = fairseq("train", corpus, *arguments, "--save-dir", disk / "run", fails=True)
            assert "done training" not in printed
            subprocess.run(["mount", "-o", f"remount,size={100 * size}", str(disk)], check=True)
            fairseq("train", corpus, *arguments, "--save-dir", disk / "run")
            assert_same_run(tmp_path / "whole/checkpoint_last.pt", disk / "run/checkpoint_last.pt")
    record_property("faults", len(shares))
