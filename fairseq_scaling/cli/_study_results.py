"""What is done with a study beside running it: ``scaling-study report``, ``clean`` and ``export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.filesize import decimal

from ._study import open_started, out_option, set_option, started_argument
from .common import Command, print_error, shows_errors


@click.command(cls=Command)
@started_argument
@out_option
@set_option
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the report here, for example where the study's folder is read-only.  [default: interim/ in --out]",
)
@shows_errors
def report(study: Path | None, out: Path | None, settings: tuple[str, ...], to: Path | None) -> None:
    """Fit the laws to the runs that are scored, also while a study runs or is half done; give STUDY.yaml or --out.

    The table of a finished study is printed as it is. Otherwise, and with --to, the laws are fitted again.
    """
    from ..study.results.interim import fit_interim
    from ..study.run.pending import pending_jobs

    plan, folder = open_started(study, out, settings)
    if to is None and not pending_jobs(plan, folder):
        click.echo(folder.table.read_text("utf-8").rstrip())
        click.echo(f"Report: {folder.report}")
        return
    interim = fit_interim(plan, folder, to)
    if interim.scored == 0:
        click.echo(f"{plan.name}: no run is scored yet, of {interim.of}.")
        return
    if not interim.written:
        print_error(f"fit-scaling ended with exit code {interim.code}; see its message above")
        sys.exit(1)
    click.echo(f"{plan.name}: {interim.scored} of {interim.of} runs are scored.")
    click.echo(f"Report on these: {(to or folder.interim) / 'report.html'}")


@click.command(cls=Command)
@started_argument
@out_option
@set_option
@click.option("--pretrained", is_flag=True, help="The checkpoints at the budgets, too, where no run needs them.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
@shows_errors
def clean(study: Path | None, out: Path | None, settings: tuple[str, ...], pretrained: bool, yes: bool) -> None:
    """Remove checkpoints whose work is done, and say first how much that is. Give STUDY.yaml or --out.

    Logs, scores, translations, results and text stay, so that the study stays finished. What a later change of the
    settings needs again is trained again.
    """
    from ..study.results.cleaning import removable
    from ..study.run.lock import locked
    from ..study.run.progress import format_duration

    plan, folder = open_started(study, out, settings)
    with locked(folder):
        kinds = removable(plan, folder, pretrained)
        for kind in kinds:
            cost = f"; to have them again: {kind.remedy}, about {format_duration(kind.seconds)} on one core"
            what = f"{len(kind.files)} files: {kind.what}"
            click.echo(f"{decimal(kind.size):>9}  {what}{cost if kind.seconds else ''}")
        if not kinds:
            click.echo("Nothing can be removed.")
            return
        total = decimal(sum(kind.size for kind in kinds))
        if not yes and not (sys.stdin.isatty() and click.confirm(f"Remove {total}?")):
            click.echo(f"Nothing was removed. --yes removes these {total}.")
            return
        for path in (path for kind in kinds for path in kind.files):
            path.unlink(missing_ok=True)
        click.echo(f"{total} removed.")


@click.command(cls=Command)
@started_argument
@out_option
@set_option
@click.option(
    "--archive", type=click.Path(path_type=Path), metavar="FILE.tar.gz", help="What to write.  [default: NAME.tar.gz]"
)
@click.option("--weights", is_flag=True, help="Put the checkpoints in, too.")
@shows_errors
def export(
    study: Path | None, out: Path | None, settings: tuple[str, ...], archive: Path | None, weights: bool
) -> None:
    """Write one archive to publish: settings, points, logs, fits, versions, checksums. Give STUDY.yaml or --out.

    The study must be finished with these settings, and not run now; --out alone takes those of its last run.
    The same study gives the same bytes. Folders of this machine are replaced by placeholders. fit-scaling reads it
    again, once unpacked; its README.txt says how.
    """
    from ..study.results.export import export as write
    from ..study.settings.config import settings_text

    plan, folder = open_started(study, out, settings)
    archive = archive or Path(f"{plan.name}.tar.gz")
    text = None if study is None else settings_text(study, settings)
    files, size = write(plan, folder, archive, text, weights)
    click.echo(f"{archive}: {files} files, {decimal(size)}")
