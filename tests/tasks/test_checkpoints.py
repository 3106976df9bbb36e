"""A run never goes on from a checkpoint that was cut short or has changed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from fairseq_scaling.tasks.checkpoints import mend_last


def save(path: Path, updates: int) -> bytes:
    torch.save({"model": {"w": torch.full((500,), updates)}, "optimizer_history": [{"num_updates": updates}]}, path)
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_checkpoint_is_replaced_by_the_whole_one_with_the_most_updates(damage: str, tmp_path: Path) -> None:
    newest = save(tmp_path / "checkpoint2.pt", 20)
    save(tmp_path / "checkpoint_1_10.pt", 10)  # younger as a file, older as a checkpoint
    (tmp_path / "checkpoint3.pt").write_bytes(save(tmp_path / "x.pt", 30)[:-100])  # cut, too
    last = tmp_path / "checkpoint_last.pt"
    whole = save(last, 25)
    middle = len(whole) // 2
    last.write_bytes(
        {
            "cut": whole[:middle],
            "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    mend_last(tmp_path)
    assert last.read_bytes() == newest


def test_a_whole_checkpoint_is_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "checkpoint9.pt", 90)
    before = save(tmp_path / "checkpoint_last.pt", 10)
    mend_last(tmp_path)
    assert (tmp_path / "checkpoint_last.pt").read_bytes() == before


def test_without_a_whole_checkpoint_training_begins_afresh_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = tmp_path / "checkpoint_last.pt"
    last.write_bytes(b"half a checkpoint")
    with caplog.at_level(logging.WARNING):
        mend_last(tmp_path)
    assert not last.exists()
    assert "begins afresh" in caplog.text
    assert (tmp_path / "checkpoint_last.damaged").read_bytes() == b"half a checkpoint"


def test_a_folder_without_a_checkpoint_stays_as_it_is(tmp_path: Path) -> None:
    mend_last(tmp_path)
    mend_last(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
