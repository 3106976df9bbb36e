"""The laws on the runs of a study that are finished, while the others still run or wait."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ...errors import SettingError
from ..plan.jobs import Job, Plan
from ..run.folder import StudyFolder
from ..run.job import NOTHING_FITTED, resolve
from ..run.pending import pending_jobs
from ..run.progress import Progress

_TABLE, _LOG = "table.txt", "fit.log"


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
    waiting = {other.id for other in pending_jobs(plan, folder)}
    scored = plan.reported("score")
    there = [other for other in scored if other.id not in waiting]
    if not there:
        return Interim(0, len(scored), NOTHING_FITTED)
    code = run_fit(plan, folder, interim_argv(plan, job, waiting, out))
    return Interim(len(there), len(scored), code)


class InterimReports:
    """The interim report of a study that runs: as soon as one curve can be fitted, then every few minutes.

    Args:
        tell: is given a text with the table when there is a new report.
        every: seconds from the start of the study, or from the last report, to the next.
    """

    def __init__(self, plan: Plan, folder: StudyFolder, tell: Callable[[str], None], every: float = 300.0) -> None:
        self._plan, self._folder, self._tell, self._every = plan, folder, tell, every
        self._next = time.monotonic() + every
        self._scored = 0
        self._early = [{job.id for job in scores} for scores in plan.early_scores]
        self._fit: subprocess.Popen[bytes] | None = None

    def update(self, jobs: Sequence[Progress]) -> None:
        """Look at the state of the jobs; start a fit where it is time and there are new scores, tell its result."""
        if self._fit is not None:
            if self._fit.poll() is not None:
                self._end(self._fit.returncode)
            return
        fit = self._plan.of_stage("fit")
        waiting = {job.id for job in jobs if job.state != "finished"}
        scored = sum(job.id not in waiting for job in self._plan.reported("score"))
        first_table = any(not scores & waiting for scores in self._early)
        too_few = bool(self._early) and scored < len(self._early[0])
        due = first_table or (time.monotonic() >= self._next and not too_few)
        if not due or not fit or scored == self._scored or fit[0].id not in waiting:
            return
        self._scored = scored
        if first_table:
            self._early.clear()
        self._folder.interim.mkdir(parents=True, exist_ok=True)
        argv = interim_argv(self._plan, fit[0], waiting, self._folder.interim)
        with (self._folder.interim / _TABLE).open("wb") as table, (self._folder.interim / _LOG).open("wb") as log:
            self._fit = subprocess.Popen(
                resolve(self._folder, self._plan, replace(fit[0], argv=argv)), cwd=self._folder.path,
                stdin=subprocess.DEVNULL, stdout=table, stderr=log, env=_environment(),
            )  # fmt: skip

    def close(self) -> None:
        """End a fit that still runs."""
        if self._fit is not None:
            self._fit.kill()
            self._fit.wait()

    def _end(self, code: int) -> None:
        self._fit = None
        self._next = time.monotonic() + self._every
        of = len(self._plan.reported("score"))
        if code in (0, NOTHING_FITTED):
            table = (self._folder.interim / _TABLE).read_text("utf-8", "replace").rstrip()
            self._tell(f"{table}\n{self._scored} of {of} runs are scored: {self._folder.interim / 'report.html'}")
        else:
            self._tell(f"The interim fit ended with exit code {code}: {self._folder.interim / _LOG}")


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        remedy = "name another folder for the report: --to DIR"
        raise SettingError("folder of the report", out, f"cannot write there: {error.strerror}", remedy) from None


def run_fit(plan: Plan, folder: StudyFolder, argv: Sequence[str], output: IO[bytes] | None = None) -> int:
    """Run the fit of a plan with another command; return its exit code. Its output goes to the terminal or a file."""
    (job,) = plan.of_stage("fit")
    command = resolve(folder, plan, replace(job, argv=[*argv]))
    return subprocess.run(
        command, cwd=folder.path, env=_environment(), stdout=output, stderr=output, check=False
    ).returncode  # fmt: skip


def _environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "120")}


def fit_argv(plan: Plan, out: str) -> list[str]:
    """Return the command of the fit, its results in another folder."""
    (job,) = plan.of_stage("fit")
    argv = list(job.argv)
    argv[argv.index("--out") + 1] = out
    return argv


def interim_argv(plan: Plan, fit: Job, waiting: Set[str], out: Path) -> list[str]:
    """Return the command of the fit without the inputs that are not there yet, writing to ``out``."""
    missing = {
        word for name, maker in fit.reads.items() if maker in waiting for word in (name, name.rpartition("/")[0])
    }
    return [word for word in fit_argv(plan, str(out.absolute())) if word not in missing]
