"""What the commands of ``scaling-study`` share: how they are told which study, and where it lies."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError
from ..study.plan.jobs import Plan
from ..study.plan.planner import make_plan
from ..study.results.sequential import as_decided
from ..study.run.folder import Source, StudyFolder
from ..study.run.lock import is_running

study_argument = click.argument("study", type=click.Path(path_type=Path), metavar="STUDY.yaml")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The study's folder.  [default: work/NAME]", metavar="DIR"
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a setting of STUDY.yaml; the value is YAML. May be given several times. Pass the same --set to "
    "status, report, clean and export.  [for example: --set pretraining.budgets='[1M, 2M]']",
)
started_argument = click.argument(
    "study", type=click.Path(path_type=Path), metavar="[STUDY.yaml]", required=False, default=None
)


def open_study(
    study: Path, out: Path | None, settings: tuple[str, ...] = (), check: bool = False, vocabulary: int | None = None
) -> tuple[Plan, StudyFolder]:
    """Return the plan of a study.yaml, with ``--set`` settings, and the study's folder.

    With ``check``, a finished corpus that is too small for the study is an error, and a file that is to be there and
    is not. ``vocabulary``, the rows of the embedding, is for a price alone: the files need not be there yet.
    """
    from ..study.plan.text_check import check_text, made_corpus
    from ..study.settings.config import load_study
    from ..study.settings.given import check_given, given_rows

    wanted = load_study(study, settings)
    plan, folder = make_plan(wanted), StudyFolder(out or Path("work") / wanted.name)
    if vocabulary is not None:
        return make_plan(wanted, vocabulary), folder
    if check:
        check_given(wanted)
        corpus = made_corpus(plan, folder)
        if corpus is not None:
            check_text(plan, corpus)
        plan = make_plan(wanted, corpus.manifest["vocabulary"]["size"] if corpus is not None else given_rows(wanted))
    return plan, folder


def open_started(
    study: Path | None, out: Path | None, settings: tuple[str, ...] = (), reread: bool = False
) -> tuple[Plan, StudyFolder]:
    """Return the plan and folder of a study that may also be named by its folder alone, where its last plan is kept.

    Jobs that a sequential run decided not to run are left out of the plan. With ``reread``, where the study is named by
    its folder, does not run now and its study.yaml has changed since the last run, the plan is made from study.yaml.

    Raises:
        DataError: no study was ever started there.
        click.UsageError: neither is given, or settings without the STUDY.yaml that they change.
    """
    if study is not None:
        plan, folder = open_study(study, out, settings)
        return as_decided(plan, folder), folder
    if out is None:
        raise click.UsageError("give STUDY.yaml or --out")
    if settings:
        raise click.UsageError("--set changes STUDY.yaml: give it, too")
    folder = StudyFolder(out)
    if not folder.plan_path.exists():
        raise DataError(f"--out = {out}: no study was ever started there")
    source = Source.kept(folder) if reread else None
    if source is not None and not is_running(folder) and source.has_changed(folder):
        click.echo(f"{source.file} has changed since the last run. The jobs of the changed file are shown.", err=True)
        plan, _ = open_study(source.file, out, source.settings)
        return as_decided(plan, folder), folder
    return Plan.read(folder.plan_path), folder
