"""Folders, files and job ids of a study: how each is named. They are for people; nothing is read out of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...mixture import Mixture
from ...quantities import format_tokens, parse_tokens

if TYPE_CHECKING:
    from ..settings.sections import Start

ALIGNMENT = "alignment.json"
# Below a name with a dot, so that the logs of candidates are not found among the runs.
CANDIDATES = ".study/candidates"


def job_id(stage: str, folder: str, subset: str = "") -> str:
    """Return ``stage/run``: the run is its folder without the first part (``pretraining``, ``finetuning``, .study)."""
    return f"{stage}/{folder.split('/', 1)[1]}" + (f"/{subset}" if subset else "")


def mixture_name(mixture: Mixture) -> str:
    """Return a folder name for a mixture: ``en0.5-fr0.5``; thirds are ``en1of3``."""
    pairs = (pair.split(":") for pair in str(mixture).split(","))
    return "-".join(f"{language}{share.replace('/', 'of')}" for language, share in pairs)


def pretraining_folder(mixture: Mixture, seed: int) -> str:
    """Return the folder of a pretraining; below it, each budget has its own."""
    return f"pretraining/{mixture_name(mixture)}/seed{seed}"


def start_folder(start: Start) -> str:
    """Return the folder of the pretraining whose checkpoint a finetuning starts from."""
    assert start.mixture is not None
    assert start.pretrain_tokens is not None
    return f"{pretraining_folder(start.mixture, start.seed)}/{exact_tokens(start.pretrain_tokens)}"


def checkpoint(folder: str) -> str:
    """Return the checkpoint that a training leaves in its folder."""
    return f"{folder}/checkpoint_last.pt"


def train_log(folder: str) -> str:
    """Return the log that a training leaves in its folder."""
    return f"{folder}/train.log"


def finetuning_folder(task: tuple[str, str], finetune_tokens: int, start: Start) -> str:
    """Return the folder of the finetunings from one start, one for each seed below it."""
    place = f"finetuning/{'-'.join(task)}/{exact_tokens(finetune_tokens)}"
    if start.checkpoint is not None:
        return f"{place}/checkpoints/{start.checkpoint}"
    if start.mixture is None or start.pretrain_tokens is None:
        return f"{place}/baseline"
    return f"{place}/{mixture_name(start.mixture)}/seed{start.seed}/{exact_tokens(start.pretrain_tokens)}"


def choice_folder(folder: str) -> str:
    """Return where the learning rates of a run, or of a mixture (``pretraining/de1``), are tried."""
    return f"{CANDIDATES}/{folder}"


def rate_file(folder: str) -> str:
    """Return the file that holds the chosen learning rate and nothing else; ``choice.json`` beside it says why."""
    return f"{choice_folder(folder)}/learning_rate"


def with_subset(file: str, subset: str) -> str:
    """Return ``scores.test1.json`` for ``scores.json``; without a subset the name as it is."""
    stem, dot, ending = file.rpartition(".")
    return f"{stem}.{subset}{dot}{ending}" if subset else file


def exact_tokens(tokens: int) -> str:
    """Return a short form that means exactly ``tokens``: 1500000 -> ``1.5M``, 1234567 -> ``1234567``."""
    short = format_tokens(tokens)
    try:
        return short if parse_tokens(short) == tokens else str(tokens)
    except ValueError:
        return str(tokens)


def seed_label(seed: int, seeds: list[int]) -> str:
    return f" seed {seed}" if len(seeds) > 1 else ""
