"""Which jobs of a study have to run: Snakemake is asked, with what decides the result of each job as a parameter."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...fingerprint import code_fingerprint, fingerprint
from ..plan.jobs import Job, Plan
from ..stages import STAGES
from .folder import StudyFolder
from .scheduling import Scheduling, workflow_command


def decided_by(plan: Plan, job: Job) -> dict[str, Any]:
    """Return what decides a job's result, beside those of its inputs whose content Snakemake compares.

    These are its command; the content of files of the user's own; the number of GPUs, as each takes a batch of its own;
    the code of the fit, which takes seconds: a better version is to be used on old runs. Of a checkpoint that it reads,
    all this counts, and not how often it was made.
    """
    found: dict[str, Any] = {"argv": job.deciding_argv}
    files = [(place, content(path)) for place, path in sorted(plan.given_to(job).items())]
    if job.stage == "fetch":
        files += _stamps(job.argv, Path(plan.source_folder))
    if "{corpus}" in job.argv and not plan.of_stage("encode"):
        files.append(("corpus", corpus_content(Path(plan.corpus))))
    if files:
        found["files"] = files
    if STAGES[job.stage].trains and (gpus := job.resources.get("gpu", 1)) not in (0, 1):
        found["gpus"] = gpus
    if job.stage == "fit":
        found["code"] = code_fingerprint("logs", "scores", "laws", "report")
    # A pretraining has the same command to the budget before, but for what changes no result.
    makers = [plan.by_id[maker] for name, maker in job.reads.items() if name.endswith(".pt")]
    if makers and job.stage != "pretrain":
        text = json.dumps([decided_by(plan, maker) for maker in makers], sort_keys=True)
        found["checkpoint"] = hashlib.sha256(text.encode()).hexdigest()
    return found


def pending_jobs(plan: Plan, folder: StudyFolder, jobs: Sequence[Job] | None = None) -> list[Job]:
    """Return those of ``jobs`` (None: all) that have to run, in their order.

    A removed checkpoint is made again where a job has to run that reads it, and not for others.

    Raises:
        DataError: Snakemake cannot say it.
    """
    kept = folder.path / ".snakemake"
    if not kept.is_dir():
        waiting = set(plan.by_id)
    else:
        waiting = _asked(plan, folder) if os.access(kept, os.W_OK) else _unrecorded(plan, folder)
    new = set(waiting)
    while new:
        missing = {
            maker for name in new for read, maker in plan.by_id[name].reads.items() if not (folder.path / read).exists()
        }
        logs = {log for maker in missing for log in plan.by_id[maker].writes[:1]}
        new = (missing | {job.id for job in plan.jobs if logs & set(job.reads)}) - waiting
        waiting |= new
    return [job for job in jobs or plan.jobs if job.id in waiting]


def _asked(plan: Plan, folder: StudyFolder) -> set[str]:
    """Return the ids of the jobs that Snakemake would run if none of them needed a checkpoint."""
    makers = {name: job.id for job in plan.jobs for name in job.writes}
    with tempfile.TemporaryDirectory() as place:
        asked, nothing = Path(place) / "plan.json", Path(place) / "to-do.json"
        asked.write_text(plan.to_json(), "utf-8")
        nothing.write_text("[]")
        command = workflow_command(folder, asked, nothing)
        result = subprocess.run(
            [*command, "--cores", "1", "--summary"], env=Scheduling().environment(folder), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    if result.returncode != 0 or not rows:
        said = "\n".join(f"  {line}" for line in result.stderr.splitlines()[-10:])
        raise DataError(f"{folder.path}: Snakemake cannot say what there is to do\n{said}")
    up_to_date = {row[0] for row in rows if row[-1] == "no update"}
    return {makers[name] for name in makers if name not in up_to_date}


def _unrecorded(plan: Plan, folder: StudyFolder) -> set[str]:
    """Return the ids of the jobs that have not finished with their command, or need one that has not.

    For a folder that cannot be written: Snakemake keeps notes of its own whatever it is asked.
    """
    waiting: set[str] = set()
    for job in plan.jobs:
        if not folder.has_made(job) or set(job.needs) & waiting:
            waiting.add(job.id)
    return waiting


def content(path: Path) -> str:
    """Return the fingerprint of a file, or nothing where it cannot be read."""
    try:
        return fingerprint(path)
    except OSError:
        return ""


def corpus_content(corpus: Path) -> str:
    """Return the fingerprint of a corpus folder, or nothing where it holds no finished corpus."""
    try:
        return str(json.loads((corpus / "corpus.json").read_text("utf-8")).get("fingerprint", ""))
    except (OSError, ValueError):
        return ""


def _stamps(argv: list[str], folder: Path) -> list[tuple[str, str]]:
    """Return (name, bytes and modification time) of every file of the user's that a command names."""
    stamps = set()
    for argument in argv:
        # a name may hold a comma itself
        for part in {argument, argument.partition("=")[2], *re.split(r"[=:,]", argument)}:
            path = folder / part
            if part and path.is_file():
                stamps.add((part, f"{path.stat().st_size} {path.stat().st_mtime_ns}"))
    return sorted(stamps)
