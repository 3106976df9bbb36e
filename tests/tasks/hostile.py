"""Checkpoints as they should not be: with code in them, of other models and runs, damaged."""

from __future__ import annotations

import os
import pickle
import types
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf import OmegaConf

from tests.data.tiny import write_corpus
from tests.tasks.runs import set_up

LANGUAGES = ("aa", "bb")


def small_corpus(folder: Path, pieces: int = 20) -> Path:
    """Write a corpus of aa and bb with training text alone: enough to set up both tasks, and made in no time."""
    sentences = [[4 + (number + place) % pieces for place in range(7)] for number in range(200)]
    return write_corpus(folder, dict.fromkeys(LANGUAGES, sentences), {"aa-bb": (sentences, sentences)}, pieces)


def save_checkpoint(path: Path, corpus: Path, task_arguments: Sequence[str], *arguments: object) -> Path:
    """Write what fairseq saves at the start of a run with these arguments (see ``set_up``)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg, task, model = set_up(corpus, task_arguments, *arguments, "--save-dir", path.parent / "nothing here")
    state = {
        "args": None,
        "cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [{"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 3}],
        "task_state": task.state_dict(),
        "extra_state": {"train_iterator": {"epoch": 1}, **task.get_checkpoint_dict()},
        "last_optimizer_state": None,
    }
    torch.save(state, path)
    return path


class Running:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def with_code(path: Path, how: str, witness: Path) -> Path:
    """Write a checkpoint that makes the file ``witness`` when it is opened carelessly."""
    state = {"model": {"w": torch.zeros(3)}, "extra_state": Running(f"touch '{witness}'")}
    if how == "pickle":
        path.write_bytes(pickle.dumps(state))
    elif how == "object":
        torch.save({"model": {}, "args": types.SimpleNamespace(harmless=True)}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=how == "zip")
    return path


def flip(path: Path) -> None:
    """Change one bit of the largest tensor in a checkpoint."""
    with zipfile.ZipFile(path) as file:
        largest = max(file.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + len(largest.FileHeader()) + 200] ^= 1
    path.write_bytes(content)
