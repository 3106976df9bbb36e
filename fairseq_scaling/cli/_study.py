"""What the commands of ``scaling-study`` share: how they are told which study, and where it lies."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError
from ..study.plan import Plan, make_plan
from ..study.state import StudyFolder

study_argument = click.argument("study", type=click.Path(path_type=Path), metavar="STUDY.yaml")
out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="The study's folder.  [default: work/NAME]", metavar="DIR"
)
cores_option = click.option(
    "--cores", type=click.IntRange(min=1), help="Jobs side by side.  [default: all cores; with --profile: what it says]"
)
started_argument = click.argument(
    "study", type=click.Path(path_type=Path), metavar="[STUDY.yaml]", required=False, default=None
)


def open_study(study: Path, out: Path | None) -> tuple[Plan, StudyFolder]:
    """Return the plan of a study.yaml and the study's folder."""
    from ..study.config import load_study

    settings = load_study(study)
    return make_plan(settings), StudyFolder(out or Path("work") / settings.name)


def open_started(study: Path | None, out: Path | None) -> tuple[Plan, StudyFolder]:
    """Return the same of a study that may also be named by its folder alone, where its last plan lies.

    Raises:
        DataError: no study was ever started there.
        click.UsageError: neither is given.
    """
    if study is not None:
        return open_study(study, out)
    if out is None:
        raise click.UsageError("give STUDY.yaml or --out")
    folder = StudyFolder(out)
    if not folder.plan_path.exists():
        raise DataError(f"--out = {out}: no study was ever started there")
    return Plan.read(folder.plan_path), folder
