"""Going on from a whole checkpoint only: a run killed while fairseq copies ``checkpoint_last.pt`` cuts it in two."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from ._run import logger

LAST = "checkpoint_last.pt"


def mend_last(folder: Path) -> None:
    """Replace a damaged ``checkpoint_last.pt`` by the whole one with the most updates; without one, set it aside.

    Damaged is a file that is cut short or of which a byte has changed: torch stores a checksum of everything in it.
    """
    last = folder / LAST
    if not last.is_file() or _is_whole(last):
        return
    others = [path for path in folder.glob("checkpoint*.pt") if path != last and _is_whole(path)]
    if not others:
        logger.warning("%s is damaged and no whole checkpoint lies beside it: training begins afresh", last)
        last.rename(last.with_suffix(".damaged"))
        return
    newest = max(others, key=_updates)
    logger.warning("%s is damaged: going on from %s", last, newest.name)
    temporary = folder / f".{LAST}"
    shutil.copyfile(newest, temporary)
    temporary.replace(last)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, tensors mapped into memory rather than read; code in it is refused by torch."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return state


def _updates(path: Path) -> int:
    try:
        return int(read_checkpoint(path)["optimizer_history"][-1]["num_updates"])
    except Exception:  # whole, but no checkpoint of fairseq
        return -1


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False
