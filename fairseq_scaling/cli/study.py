"""``scaling-study``: run a study from its study.yaml, show its plan, show how far it is."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from ..errors import DataError, SettingError
from ..study.choice import CRITERIA
from ..study.plan import STAGES, Plan, make_plan
from ..study.pricing import PEAKS, UTILISATION
from ..study.state import StudyFolder
from ._common import EXIT_INTERRUPTED, print_error, shows_errors

_study_argument = click.argument("study", type=click.Path(path_type=Path), metavar="STUDY.yaml")
_out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The study's folder.  [default: work/NAME]", metavar="DIR"
)
_cores_option = click.option(
    "--cores", type=click.IntRange(min=1), help="Jobs side by side, one thread each.  [default: all cores]"
)
_set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a setting of STUDY.yaml; the value is YAML. May stand there several times.  "
    "[for example: --set pretraining.budgets='[1M, 2M]']",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run a whole study: text, pretraining, finetuning, translation, scores, laws."""


@main.command()
@_study_argument
@_out_option
@_cores_option
@_set_option
@click.option("--dry-run", "-n", is_flag=True, help="Only list what there is to do.")
@click.option("--until", type=click.Choice(STAGES), help="Stop after this stage.")
@click.argument("snakemake_arguments", nargs=-1, metavar="[-- SNAKEMAKE ARGUMENTS]")
@shows_errors
def run(
    study: Path,
    out: Path | None,
    cores: int | None,
    settings: tuple[str, ...],
    dry_run: bool,
    until: str | None,
    snakemake_arguments: tuple[str, ...],
) -> None:
    """Do what is left to do of a study, and print its results.

    Stopped with Ctrl-C or kill, the same command goes on where it was. What stands after -- goes to Snakemake, for
    example on a SLURM cluster, at most 40 jobs at a time: --cores 40 -- --executor slurm --jobs 40
    """
    from ..study import workflow
    from ..study.display import show_progress

    plan, folder = _open(study, out, settings, check=True)
    cores = cores or _cores()
    if dry_run:
        _print_pending(plan, folder, until)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with show_progress(plan, cores) as display:
            done = workflow.run_plan(
                plan, folder, cores, until, snakemake_arguments, display.update, display.print_failure
            )
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
@_study_argument
@_out_option
@_cores_option
@_set_option
@click.option("--jobs", "every_job", is_flag=True, help="One row for each job, not for each kind of run.")
@click.option("--hardware", metavar="NAME", help=f"Hours and price on: {', '.join(PEAKS)}.")
@click.option("--flops", type=click.FloatRange(min=0, min_open=True), help="Peak FLOP/s of one device, if not listed.")
@click.option(
    "--utilisation",
    type=click.FloatRange(0, 1, min_open=True),
    default=UTILISATION,
    show_default=True,
    help="Share of the peak that training reaches.",
)
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Devices that work at once.")
@click.option("--price", type=click.FloatRange(min=0), help="Of one device for one hour, in your currency.")
@shows_errors
def plan(
    study: Path,
    out: Path | None,
    cores: int | None,
    settings: tuple[str, ...],
    every_job: bool,
    hardware: str | None,
    flops: float | None,
    utilisation: float,
    devices: int,
    price: float | None,
) -> None:
    """Show the runs of a study, their tokens, FLOPs, disk, hours and price; nothing is started.

    Too little text for a budget is an error here, as soon as there is a corpus.

    \b
    scaling-study plan study.yaml
    scaling-study plan study.yaml --hardware a100 --devices 8 --price 2
    scaling-study plan study.yaml --set model.arch=t5_small --set finetuning.seeds='[1, 2, 3]'
    """
    from ..study import pricing
    from ..study.plan_table import print_plan

    if hardware is None and flops is None and price is not None:
        raise SettingError("--price", price, "the price of a device needs its speed", "give --hardware or --flops, too")
    asked = hardware is not None or flops is not None
    devices_used = pricing.hardware(hardware, flops, utilisation, devices, price) if asked else None
    plan, folder = _open(study, out, settings, check=True)
    print_plan(plan, folder, cores or _cores(), devices_used, every_job)


@main.command()
def schema() -> None:
    """Print the JSON schema of study.yaml, for editors.

    Save it, and begin study.yaml with: # yaml-language-server: $schema=study.schema.json
    """
    from ..study.config import study_schema

    click.echo(json.dumps(study_schema(), indent=2))


@main.command(hidden=True)
@click.argument("runs", nargs=-1, required=True, metavar="RATE=FOLDER...")
@click.option("--by", type=click.Choice(CRITERIA), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@shows_errors
def choose(runs: tuple[str, ...], by: str, out: Path) -> None:
    """Choose a learning rate among runs that tried one each, by the validation set; a job of a study calls this."""
    from ..study import choice
    from ..study.state import write_whole

    pairs = [run.partition("=") for run in runs]
    found = choice.choose({rate: Path(folder) for rate, _, folder in pairs}, by)
    write_whole(out, json.dumps(found, indent=1))
    click.echo(choice.describe(found))


@main.command()
@click.argument("study", type=click.Path(path_type=Path), metavar="[STUDY.yaml]", required=False)
@_out_option
@shows_errors
def status(study: Path | None, out: Path | None) -> None:
    """Show how far a study is, also while it runs in another window. Give STUDY.yaml or --out."""
    from ..study.display import print_status

    if study is not None:
        plan, folder = _open(study, out)
    elif out is not None:
        folder = StudyFolder(out)
        if not folder.plan_path.exists():
            raise DataError(f"--out = {out}: no study was ever started there")
        plan = Plan.read(folder.plan_path)
    else:
        raise click.UsageError("give STUDY.yaml or --out")
    print_status(plan, folder, _cores())


def _open(
    study: Path, out: Path | None, settings: tuple[str, ...] = (), check: bool = False
) -> tuple[Plan, StudyFolder]:
    """Return the plan of a study and its folder; with ``check``, a finished corpus that is too small is an error."""
    from ..study.config import load_study
    from ..study.text_check import check_text, find_corpus

    wanted = load_study(study, settings)
    plan, folder = make_plan(wanted), StudyFolder(out or Path("work") / wanted.name)
    # A corpus that will be made anew says nothing about the text that there will be.
    corpus = None if folder.pending(plan, plan.until("encode")) else find_corpus(wanted, folder)
    if check and corpus is not None:
        check_text(wanted, corpus)
        plan = make_plan(wanted, corpus.manifest["vocabulary"]["size"])
    return plan, folder


def _print_pending(plan: Plan, folder: StudyFolder, until: str | None) -> None:
    pending = folder.pending(plan, plan.until(until) if until else plan.jobs)
    for job in pending:
        click.echo(f"{job.stage:<14} {job.label}")
    click.echo(f"{len(pending)} jobs to do" if pending else "nothing to do")


def _print_results(folder: StudyFolder, until: str | None) -> None:
    if until not in (None, "fit"):
        return
    if folder.table.exists():
        click.echo(folder.table.read_text("utf-8").rstrip())
    click.echo(f"Report: {folder.report}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
