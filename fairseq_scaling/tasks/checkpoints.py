"""Opening checkpoints: code in one is never run, and a run resumes from an undamaged one only."""

from __future__ import annotations

import re
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ._run import logger

LAST = "checkpoint_last.pt"
_REFUSED = re.compile(r"(?:GLOBAL|function|class) ([\w.]+)")  # how torch's messages name what it refused


def mend_last(folder: Path) -> None:
    """Replace a damaged ``checkpoint_last.pt`` by the whole one with the most updates; without one, set it aside.

    A run killed while fairseq copies ``checkpoint_last.pt`` cuts it in two.
    """
    last = folder / LAST
    if not last.is_file() or is_whole(last):
        return
    others = [path for path in folder.glob("checkpoint*.pt") if path != last and is_whole(path)]
    if not others:
        logger.warning("%s is damaged, and no other checkpoint lies beside it: training begins afresh", last)
        last.rename(last.with_suffix(".damaged"))
        return
    newest = max(others, key=_updates)
    logger.warning("%s is damaged: going on from %s", last, newest.name)
    temporary = folder / f".{LAST}"
    shutil.copyfile(newest, temporary)
    temporary.replace(last)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a fairseq checkpoint holds; see :func:`read_data`.

    Raises:
        CheckpointError: there is no such file, it is damaged, is no checkpoint, or would run code.
    """
    state = read_data(path, "fairseq checkpoint")
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path} is no fairseq checkpoint: it holds no model")
    return state


def read_data(path: Path, what: str) -> Any:
    """Return what torch.save wrote into a file, tensors mapped into memory rather than read; no code in it is run.

    Raises:
        CheckpointError: there is no such file, it is damaged, is no ``what``, or would run code.
    """
    try:
        zipped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch; the error says more
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is no file: a {what} was expected there") from None
    except Exception as error:
        raise CheckpointError(_why(path, what, error)) from None


def described(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a task of this project (or scaling-convert) noted in a checkpoint; empty for any other one."""
    task_state = state.get("task_state")
    noted = task_state.get("fairseq_scaling") if isinstance(task_state, dict) else None
    return noted if isinstance(noted, dict) else {}


def check_whole(path: Path) -> None:
    """Raise CheckpointError where bytes of a checkpoint have changed; torch's old format has no checksums to tell."""
    if zipfile.is_zipfile(path) and not is_whole(path):
        raise CheckpointError(
            f"{path} is damaged: its content does not agree with its checksums\n"
            "  take another checkpoint, or copy this one again"
        )


def is_whole(path: Path) -> bool:
    """Return whether nothing of a checkpoint is cut off or changed: torch stores checksums, but never looks at them."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, OSError):
        return False


def _why(path: Path, expected: str, error: Exception) -> str:
    """Return what is wrong with a file that torch refused."""
    found = _REFUSED.search(str(error).rpartition("following error message.")[2])
    with open(path, "rb") as stream:
        pickled = stream.read(1) == b"\x80"
    if found or (pickled and not zipfile.is_zipfile(path)):
        what = f"more than data ({found[1]})" if found else "a pickle that torch.save did not write"
        return (
            f"{path} holds {what}: opening it could run any code, so it is not opened\n"
            "  take one that holds data alone: get it again from where it was made"
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__) if path.stat().st_size else "the file is empty"
    return (
        f"{path} cannot be read as a {expected}: {reason}\n"
        "  it was cut short, or is something else; take another one, or make it again"
    )


def _updates(path: Path) -> int:
    try:
        return int(read_checkpoint(path)["optimizer_history"][-1]["num_updates"])
    except (CheckpointError, LookupError, TypeError, ValueError):  # whole, but no checkpoint of fairseq
        return -1
