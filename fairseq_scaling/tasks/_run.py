"""The description of a run: what it is trained on, as a plain dictionary in checkpoints and one line in logs."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from importlib import metadata
from typing import Any

from .. import __version__

logger = logging.getLogger("fairseq_scaling.tasks")

# What makes two runs different runs; the rest of a description is circumstance or follows from these.
_IDENTITY = (
    "stage",
    "pretrain_tokens",
    "mixture",
    "finetune_tokens",
    "source_lang",
    "target_lang",
    "seed",
    "pretrain_seed",
    "architecture",
    "parameters",
    "corpus",
    "budgets",
    "pretrain_run_id",
    "hyperparameters",
)


def complete(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description with its format number, its ``run_id`` and the versions of what computes it."""
    identity = json.dumps({name: description.get(name) for name in _IDENTITY}, sort_keys=True)
    run_id = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return {"format": 1, "run_id": run_id, **description, "versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"fairseq_scaling": __version__, "python": platform.python_version()}
    for name, distributions in {
        "fairseq": ("ve-fairseq", "fairseq"),
        "torch": ("torch",),
        "numpy": ("numpy",),
        "sacrebleu": ("sacrebleu",),
        "sentencepiece": ("sentencepiece",),
    }.items():
        for distribution in distributions:
            try:
                found[name] = metadata.version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def log_run(description: dict[str, Any]) -> None:
    """Write the description into the log, as the one line that ``fit-scaling`` reads."""
    logger.info("SCALING_RUN %s", json.dumps(description, ensure_ascii=False, sort_keys=True))


def log_scores(run_id: str | None, subset: str, updates: int, cross_entropy: float, target_tokens: int) -> None:
    """Write a cross-entropy (nats per target token) into the log, in full precision."""
    record = {
        "format": 1,
        "run_id": run_id,
        "subset": subset,
        "updates": updates,
        "cross_entropy": cross_entropy,
        "target_tokens": target_tokens,
    }
    logger.info("SCALING_SCORES %s", json.dumps(record, sort_keys=True))
