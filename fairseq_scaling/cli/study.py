"""``scaling-study``: run a study from its study.yaml, show its plan, show how far it is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import click

from ..errors import SettingError
from ..study.plan.jobs import Plan
from ..study.run.folder import Source, StudyFolder
from ..study.run.progress import Progress
from ..study.run.scheduling import Scheduling
from ..study.stages import STAGES
from ._study import open_started, open_study, out_option, set_option, started_argument, study_argument
from ._study_plan import choose, plan, schema
from ._study_results import clean, export, report
from .common import EXIT_INTERRUPTED, Group, print_error, shows_errors


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a whole study: text, pretraining, finetuning, translation, scores, laws.

    \b
    scaling-study plan study.yaml      what it takes: runs, tokens, hours, price
    scaling-study run study.yaml       do it; the same command goes on after a stop
    scaling-study status study.yaml    how far it is
    scaling-study report study.yaml    the laws on what is there

    \b
    Exit codes:
      0    done
      1    a job failed (the message names its log); of report, the fit
      2    something to mend in the settings or the data (the message says what)
      130  stopped; the same command continues
    """


for command in (plan, schema, choose, report, clean, export):
    main.add_command(command)


@main.command()
@study_argument
@out_option
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    help="Cores that the jobs share; with --profile jobs in the queue.  [default: all cores; what the profile says]",
)
@set_option
@click.option("--dry-run", "-n", is_flag=True, help="Only list what there is to do.")
@click.option("--until", type=click.Choice(list(STAGES)), help="Stop after this stage.")
@click.option(
    "--sequential",
    is_flag=True,
    help="Train budgets in growing order. A mixture is pretrained no further once the advice for its score is settled. "
    "Runs that are evaluated already stay in the results.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often a failed job is tried again; not one that fails twice at the same place or refuses its settings.",
)
@click.option(
    "--gpus",
    metavar="LIST",
    help="GPUs of this machine, as in CUDA_VISIBLE_DEVICES; each runs one job at a time. none: use no GPU.  "
    "[default: all]",
)
@click.option(
    "--profile", metavar="NAME|DIR", help="Run on a cluster: slurm, or the folder of a Snakemake profile of your own."
)
@click.argument("snakemake_arguments", nargs=-1, metavar="[-- SNAKEMAKE ARGUMENTS]")
@shows_errors
def run(
    study: Path,
    out: Path | None,
    cores: int | None,
    settings: tuple[str, ...],
    dry_run: bool,
    until: str | None,
    sequential: bool,
    retries: int,
    gpus: str | None,
    profile: str | None,
    snakemake_arguments: tuple[str, ...],
) -> None:
    """Do what is left to do of a study, and print its results.

    After Ctrl-C or kill, the same command continues where it stopped. Arguments after -- are passed to Snakemake.

    \b
    scaling-study run study.yaml                     here, one job for each core or GPU
    scaling-study run study.yaml --profile slurm     on a SLURM cluster: docs/clusters.md
    """
    from ..study.run import workflow
    from ..study.run.gpus import find_gpus, parse_gpus
    from ..study.run.scheduling import find_profile

    plan, folder = open_study(study, out, settings, check=True)
    place = find_profile(profile) if profile else None
    found = () if place else find_gpus(os.environ)
    devices = (found or None) if gpus is None else parse_gpus(gpus)
    scheduling = Scheduling(cores, retries, place, devices, snakemake_arguments)
    if sequential and until not in (None, "fit"):
        raise SettingError("--until", until, "with --sequential the laws decide", "leave one of them out")
    if dry_run:
        _print_pending(plan, folder, until, sequential)
        return
    source = Source(study.absolute(), settings)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if sequential:
            done = _run_sequentially(plan, folder, scheduling, source)
        else:
            done = _run(plan, folder, scheduling, until, source)
    except KeyboardInterrupt:
        print_error("stopped. The same command goes on where it was.")
        sys.exit(EXIT_INTERRUPTED)
    except workflow.JobsFailed as error:
        print_error(str(error))
        sys.exit(1)
    if not done:
        click.echo(f"{plan.name}: nothing to do." if until is None else f"{plan.name}: nothing to do until {until}.")
    _print_results(folder, until)


@main.command()
@started_argument
@out_option
@set_option
@shows_errors
def status(study: Path | None, out: Path | None, settings: tuple[str, ...]) -> None:
    """Show how far a study is, also while it runs in another window. Give STUDY.yaml or --out.

    With --out alone the study.yaml of the last run is read again, so that jobs added to it since are counted.
    """
    from ..study.results.status import print_status

    plan, folder = open_started(study, out, settings, reread=True)
    print_status(plan, folder)


def _run(
    plan: Plan, folder: StudyFolder, scheduling: Scheduling, until: str | None, source: Source,
    limits: Mapping[str, int] | None = None,
) -> int:  # fmt: skip
    """Run a plan with its progress on standard error; return how many jobs that were."""
    from ..study.results.interim import InterimReports
    from ..study.results.status import show_progress
    from ..study.run.workflow import run_plan

    with show_progress(plan, scheduling.capacity) as display:
        reports = InterimReports(plan, folder, display.print_text)

        def observe(jobs: list[Progress]) -> None:
            display.update(jobs)
            reports.update(jobs)

        try:
            return run_plan(plan, folder, scheduling, until, source, limits, observe, display.print_failure)
        finally:
            reports.close()


def _run_sequentially(plan: Plan, folder: StudyFolder, scheduling: Scheduling, source: Source) -> int:
    from ..study.results.sequential import run_sequentially

    def run(part: Plan, limits: Mapping[str, int]) -> int:
        return _run(part, folder, scheduling, None, source, limits)

    return run_sequentially(plan, folder, run, lambda text: click.echo(text, err=True))


def _print_pending(plan: Plan, folder: StudyFolder, until: str | None, sequential: bool) -> None:
    from ..study.run.pending import pending_jobs

    pending = pending_jobs(plan, folder, plan.until(until) if until else None)
    for job in pending:
        click.echo(f"{job.stage:<14} {job.label}")
    # Which of them a sequential run leaves out only the scores can say.
    most = " at most: --sequential leaves out the budgets that a mixture turns out not to need"
    click.echo(f"{len(pending)} jobs to do{most if sequential else ''}" if pending else "nothing to do")


def _print_results(folder: StudyFolder, until: str | None) -> None:
    if until not in (None, "fit"):
        return
    if folder.table.exists():
        click.echo(folder.table.read_text("utf-8").rstrip())
    click.echo(f"Report: {folder.report}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
