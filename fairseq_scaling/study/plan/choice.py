"""Learning rates that a study chooses while it runs: one short or whole run for each, the best on validation text.

The choice is a job of its own and leaves two files: ``choice.json``, and the chosen rate alone in ``learning_rate``.
The commands of the trainings that follow hold a placeholder for the chosen rate. So they are known before the choice is
made, and a choice made again with the same outcome leaves every training valid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from ...quantities import format_tokens
from ..stages import STAGES
from .jobs import Job
from .names import rate_file

if TYPE_CHECKING:
    from ...logs import RunRecord

_PLACEHOLDER = re.compile(r"\{chosen:([^}]+)\}")
_END = 20_000  # characters of a log that are searched for its last error
# The value before the choice. Only the check of the flags sees it: no job runs with it.
_NOT_YET = "1"


def placeholder(file: str) -> str:
    """Return the placeholder of a chosen rate; ``file`` holds it, a path below the study's folder."""
    return f"{{chosen:{file}}}"


def choice_job(tried: str, by: str, candidates: Mapping[str, Sequence[Job]], label: str) -> Job:
    """Return the choice between candidates: learning rate -> the training that tries it, and what scores it.

    ``tried`` is the folder whose rate is chosen: ``pretraining/de1``.
    """
    file = rate_file(tried)
    runs = [f"{rate}={{out}}/{jobs[0].folder}" for rate, jobs in candidates.items()]
    read = {job.writes[0]: job.id for jobs in candidates.values() for job in jobs if job.stage != "translate"}
    return Job(
        id=f"choose/{tried}",
        stage="choose",
        label=f"choose lr, {label}",
        argv=["scaling-study", "choose", *runs, "--by", by, "--out", f"{{out}}/{file}"],
        needs=list(read.values()),
        reads=read,
        writes=[file, f"{file.rpartition('/')[0]}/choice.json"],
        log=f"{file.rpartition('/')[0]}/choice.log",
        seconds=STAGES["choose"].seconds,
        group="choose learning rates",
        candidate=True,
    )


def filled(word: str, folder: Path) -> str:
    """Return a word with its placeholder replaced by what was chosen, or by a number where nothing is chosen yet."""
    return _PLACEHOLDER.sub(lambda match: chosen(folder / match[1]) or _NOT_YET, word)


def missing(argv: Sequence[str], folder: Path) -> Path | None:
    """Return the file that a command waits for and that holds no chosen rate yet, if there is one."""
    files = (folder / match[1] for word in argv if (match := _PLACEHOLDER.search(word)))
    return next((file for file in files if chosen(file) is None), None)


def chosen(file: Path) -> str | None:
    """Return the chosen learning rate as study.yaml writes it, or None where there is no choice."""
    try:
        return file.read_text("utf-8").strip() or None
    except OSError:
        return None


def diverged(log: Path) -> bool:
    """Tell whether a training ended because it diverged: fairseq raises FloatingPointError then."""
    try:
        return "FloatingPointError" in log.read_text("utf-8", "replace")[-_END:]
    except OSError:
        return False


def choose(candidates: Mapping[str, Path], by: str) -> dict[str, Any]:
    """Return the choice between runs: learning rate -> folder of the run that tried it.

    Args:
        candidates: learning rates, as written, with their runs.
        by: ``cross_entropy`` (nats, the least wins; upstream in a pretraining), or ``bleu`` or ``chrf`` (the greatest
            wins), of the validation set.

    Returns:
        ``chosen``; ``by``; ``subset``; ``candidates``, each with ``lr``, ``value`` (None where the run diverged or says
        nothing) and what it was trained on; ``at_edge``: whether the best is the least or the greatest of the rates, so
        that one outside the grid may be better.

    Raises:
        DataError: no candidate has a value.
    """
    from ...logs import read_runs

    rows: list[dict[str, Any]] = []
    for rate, folder in candidates.items():
        run = next(iter(read_runs([folder]).runs), None)
        value = _value(run, by) if run else None
        rows.append({"lr": rate, "value": value, "pretrain_tokens": run.pretrain_tokens if run else None})
    known = [row for row in rows if row["value"] is not None]
    if not known:
        where = "\n".join(f"  {rate}: {folder}" for rate, folder in candidates.items())
        raise DataError(f"no candidate has a {by} of the validation set: did all diverge?\n{where}")
    best = (min if by == "cross_entropy" else max)(known, key=lambda row: row["value"])
    rates = [float(row["lr"]) for row in rows]
    at_edge = float(best["lr"]) in (min(rates), max(rates))
    return {"chosen": best["lr"], "by": by, "subset": "valid", "at_edge": at_edge, "candidates": rows}


def describe(choice: Mapping[str, Any]) -> str:
    """Return a choice as lines for people."""
    lines = []
    for row in choice["candidates"]:
        value = "diverged, or has no value" if row["value"] is None else f"{choice['by']} {row['value']:.4f}"
        tokens = f" after {format_tokens(row['pretrain_tokens'])} tokens" if row["pretrain_tokens"] else ""
        lines.append(f"lr {row['lr']}: {value}{tokens}" + (" (chosen)" if row["lr"] == choice["chosen"] else ""))
    if choice["at_edge"]:
        lines.append("The best is at the edge of the grid: a rate beyond it may be better.")
    return "\n".join(lines)


def _value(run: RunRecord, by: str) -> float | None:
    if run.diverged:  # it may have been measured on its way
        return None
    if by == "cross_entropy":
        value = run.cross_entropies.get("valid")
    else:
        scores = run.extra.get("scores_by_subset", {}).get("valid", {})
        value = scores[by].value if by in scores else None
    return value if value is not None and math.isfinite(value) else None
