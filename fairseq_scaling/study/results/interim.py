"""The laws on what is there of a study, while the rest is still to come."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ...errors import SettingError
from ..plan.jobs import Job, Plan
from ..run.job import NOTHING_FITTED, resolve
from ..run.state import StudyFolder


@dataclass(frozen=True)
class Interim:
    """What an interim fit has read: scored runs, of how many, and the exit code of fit-scaling."""

    scored: int
    of: int
    code: int

    @property
    def written(self) -> bool:
        return self.code in (0, NOTHING_FITTED)


def fit_interim(plan: Plan, folder: StudyFolder, out: Path | None = None) -> Interim:
    """Fit the runs that are scored, and print the table. The files go to ``out``, by default the study's ``interim/``.

    A run that is being finetuned or translated is left out: its numbers are not its last.

    Raises:
        SettingError: the folder cannot be written.
    """
    out = out or folder.interim
    _check_writable(out)
    (job,) = plan.of_stage("fit")
    waiting = {other.id for other in folder.pending(plan, plan.jobs)}
    scored = plan.reported("score")
    there = [other for other in scored if other.id not in waiting]
    if not there:
        return Interim(0, len(scored), NOTHING_FITTED)
    code = run_fit(plan, folder, interim_argv(plan, folder, job, waiting, out))
    return Interim(len(there), len(scored), code)


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        remedy = "name another folder for the report: --to DIR"
        raise SettingError("folder of the report", out, f"cannot write there: {error.strerror}", remedy) from None


def run_fit(plan: Plan, folder: StudyFolder, argv: Sequence[str], output: IO[bytes] | None = None) -> int:
    """Run the fit of a plan with other argv; return its exit code. What it says goes to the terminal or a file."""
    (job,) = plan.of_stage("fit")
    command = resolve(folder, plan, replace(job, argv=[*argv]))
    environment = {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "120")}
    return subprocess.run(
        command, cwd=folder.path, env=environment, stdout=output, stderr=output, check=False
    ).returncode  # fmt: skip


def fit_argv(plan: Plan, out: str) -> list[str]:
    """Return the argv of the fit, its results in another folder."""
    (job,) = plan.of_stage("fit")
    argv = list(job.argv)
    argv[argv.index("--out") + 1] = out
    return argv


def interim_argv(plan: Plan, folder: StudyFolder, fit: Job, waiting: Set[str], out: Path) -> list[str]:
    """Return the argv of the fit without the inputs that are not there yet, writing to ``out``."""
    missing = set()
    for name, maker in fit.reads.items():
        # The log of a pretraining that goes on holds whole records of the budgets that it has passed.
        there = (folder.path / name).exists() if plan.by_id[maker].stage == "pretrain" else maker not in waiting
        if not there:
            missing |= {name, name.rpartition("/")[0]}
    return [word for word in fit_argv(plan, str(out.absolute())) if word not in missing]
