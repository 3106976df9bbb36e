"""The laws on what is there of a study, while the rest is still to come."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Set
from dataclasses import dataclass

from .job import NOTHING_FITTED, find_program
from .plan import Job, Plan
from .state import StudyFolder


@dataclass(frozen=True)
class Interim:
    """What an interim fit has read: scored runs, of how many, and the exit code of fit-scaling."""

    scored: int
    of: int
    code: int

    @property
    def written(self) -> bool:
        return self.code in (0, NOTHING_FITTED)


def fit_interim(plan: Plan, folder: StudyFolder) -> Interim:
    """Fit the runs that are scored; the results lie in ``interim/`` beside ``results/``, the table goes to stdout.

    A run that is being finetuned or translated is left out: its numbers are not its last.
    """
    (job,) = plan.of_stage("fit")
    waiting = {other.id for other in folder.pending(plan, plan.jobs)}
    scored = plan.reported("score")
    there = [other for other in scored if other.id not in waiting]
    if not there:
        return Interim(0, len(scored), NOTHING_FITTED)
    words = interim_words(plan, folder, job, waiting)
    program = find_program(words[0]) or words[0]
    environment = {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "120")}
    code = subprocess.run([program, *words[1:]], cwd=folder.path, env=environment, check=False).returncode
    return Interim(len(there), len(scored), code)


def interim_words(plan: Plan, folder: StudyFolder, fit: Job, waiting: Set[str]) -> list[str]:
    """Return the words of the fit without the inputs that are not there yet, writing to ``interim/``."""
    missing = set()
    for name, maker in fit.reads.items():
        # The log of a pretraining that goes on holds whole records of the budgets that it has passed.
        there = (folder.path / name).exists() if plan.by_id[maker].stage == "pretrain" else maker not in waiting
        if not there:
            missing |= {name, name.rpartition("/")[0]}
    words = [word for word in fit.words if word not in missing]
    words[words.index("--out") + 1] = folder.interim.name
    return words
