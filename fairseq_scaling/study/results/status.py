"""What a person sees of a study: one live line while it runs, the table of its plan, the table of its state."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from ..plan.jobs import Plan
from ..run.folder import StudyFolder
from ..run.lock import is_running
from ..run.pending import pending_jobs
from ..run.progress import Progress, counts, format_duration, fraction_done, seconds_left
from ..run.scheduling import Capacity
from ..run.workflow import describe_failure, observe_jobs
from ..stages import STAGES

_SECONDS_BETWEEN_LINES = 30.0


class ProgressDisplay:
    """One line about a running study: the part done, the jobs done, the time left, what runs now."""

    def __init__(self, plan: Plan, capacity: Capacity, console: Console) -> None:
        self._plan, self._console = plan, console
        self._whole, self._takes = capacity.whole, {job.id: capacity.taken_by(job) for job in plan.jobs}
        rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._live = Bar(
            TextColumn("{task.description}", style="bold"), BarColumn(12), TextColumn("{task.fields[summary]}"),
            TextColumn("{task.fields[running]}", style="dim", markup=False, table_column=rest),
            console=console, refresh_per_second=4, transient=True, expand=True,
        )  # fmt: skip
        self._row = self._live.add_task(plan.name, total=1.0, summary="", running="")
        self._last_line = -_SECONDS_BETWEEN_LINES

    def update(self, jobs: list[Progress]) -> None:
        """Show the state of the jobs: at once on a terminal, about every half minute elsewhere."""
        if self._console.is_terminal:
            done, running = fraction_done(jobs), _running(self._plan, jobs)
            self._live.update(self._row, completed=done, summary=self._summary(jobs), running=running)
            self._live.start()
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(self.line(jobs), soft_wrap=True, highlight=False)

    def line(self, jobs: Sequence[Progress]) -> str:
        """Return the line as plain text."""
        running = _running(self._plan, jobs)
        return f"{self._plan.name}: {self._summary(jobs)}" + (f"; now {running}" if running else "")

    def print_failure(self, message: str) -> None:
        """Print a failure above the line."""
        self._console.print(Text(message, style="red"), soft_wrap=True)

    def print_text(self, text: str) -> None:
        """Print results above the line."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Take the line away."""
        if self._console.is_terminal:  # elsewhere nothing was started, and rich would write an empty line
            self._live.stop()

    def _summary(self, jobs: Sequence[Progress]) -> str:
        done, left = counts(jobs)["finished"], format_duration(seconds_left(jobs, self._whole, self._takes))
        return f"{fraction_done(jobs):.0%} done, {done} of {len(jobs)} jobs, about {left} left"


def _running(plan: Plan, jobs: Sequence[Progress]) -> str:
    return ", ".join(f"{plan.by_id[job.id].label} ({job.fraction:.0%})" for job in jobs if job.state == "running")


@contextlib.contextmanager
def show_progress(plan: Plan, capacity: Capacity) -> Iterator[ProgressDisplay]:
    """Yield a display that writes to standard error, so that standard output holds the results alone."""
    display = ProgressDisplay(plan, capacity, Console(file=sys.stderr))
    try:
        yield display
    finally:
        display.close()


def print_status(plan: Plan, folder: StudyFolder) -> None:
    """Print how many jobs of each stage are done, run, failed or wait, the failures, and the time left."""
    console = Console()
    live = is_running(folder)
    pending = {job.id for job in pending_jobs(plan, folder)}
    jobs = observe_jobs(plan, folder, plan.jobs, pending, live)
    table = Table(title=f"Study {plan.name} ({'running' if live else 'not running'})")
    for title in ("stage", "done", "running", "failed", "to do"):
        table.add_column(title, justify="left" if title == "stage" else "right")
    recorded = ((job, folder.record(job.id)) for job in plan.jobs)
    failed = [job for job, record in recorded if record is not None and record["state"] == "failed"]
    for stage in STAGES:
        of_stage = [job for job in jobs if job.stage == stage]
        if of_stage:
            found = counts(of_stage)
            broken = sum(job.stage == stage for job in failed)
            numbers = (found["finished"], found["running"], broken, found["waiting"] - broken)
            table.add_row(stage, *map(str, numbers))
    console.print(table)
    for job in failed:
        console.print(Text(describe_failure(folder, job), style="red"), soft_wrap=True)
    line = ProgressDisplay(plan, Capacity.of(folder), console).line(jobs)
    console.print(line, soft_wrap=True, highlight=False)
    for settled in folder.settled:
        console.print(f"Not run: {settled}", soft_wrap=True, highlight=False)
    if folder.report.exists() and not pending:
        console.print(f"Report: {folder.report}", soft_wrap=True, highlight=False)
