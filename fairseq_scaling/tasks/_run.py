"""What a task says of its run in checkpoints and logs, beside fairseq's own records."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import __version__
from ..run import SCORES_MARK, RunDescription, read_description
from ..versions import installed_version

logger = logging.getLogger("fairseq_scaling.tasks")


def complete(description: RunDescription) -> RunDescription:
    """Return the description with its ``run_id`` and the versions of what computes it."""
    return replace(description, run_id=description.identity(), versions=versions())


def saved_description(noted: Mapping[str, Any]) -> RunDescription | None:
    """Return the description in what a task noted in a checkpoint; None for a converted or foreign one."""
    content = noted.get("run")
    return read_description(content)[0] if isinstance(content, dict) else None


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"fairseq_scaling": __version__, "python": platform.python_version()}
    others = {"fairseq": installed_version("ve-fairseq", "fairseq")}
    others |= {name: installed_version(name) for name in ("torch", "numpy", "sacrebleu", "sentencepiece")}
    return found | {name: version for name, version in others.items() if version}


def log_scores(
    run_id: str | None, subset: str, updates: int, cross_entropy: float, target_tokens: int, counts: Mapping[str, int]
) -> None:
    """Write a cross-entropy (nats per target token) into the log, in full precision, and what was read until then."""
    record = {
        "format": 1,
        "run_id": run_id,
        "subset": subset,
        "updates": updates,
        "cross_entropy": cross_entropy,
        "target_tokens": target_tokens,
        **counts,
    }
    logger.info("%s %s", SCORES_MARK, json.dumps(record, sort_keys=True))
