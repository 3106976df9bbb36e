"""What is known of a study before it runs: ``scaling-study plan`` and ``schema``, and the choice of a learning rate."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import SettingError
from ..study.plan.pricing import PEAKS, UTILISATION
from ..study.run.scheduling import Capacity
from ..study.stages import CRITERIA
from ._study import open_study, out_option, set_option, study_argument
from .common import Command, shows_errors


@click.command(cls=Command)
@study_argument
@out_option
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    help="Cores of a machine, for the time.  [default: what the study was last run on, or all cores here]",
)
@set_option
@click.option("--jobs", "every_job", is_flag=True, help="One row for each job, not for each kind of run.")
@click.option(
    "--vocabulary",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Size of the vocabulary, to price a study before its model and corpus are there (mT5: 250112). No file is "
    "looked for.",
)
@click.option("--hardware", metavar="NAME", help=f"Hours and price on: {', '.join(PEAKS)}.")
@click.option(
    "--flops",
    type=click.FloatRange(min=0, min_open=True),
    help="Peak FLOP/s of one device, if not listed; a measured speed, which a study that has trained prints, with "
    "--utilisation 1.",
)
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
    vocabulary: int | None,
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
    from ..study.plan import pricing
    from ..study.plan.text_check import made_corpus
    from ..study.results.plan_table import print_plan

    if hardware is None and flops is None and price is not None:
        raise SettingError("--price", price, "the price of a device needs its speed", "give --hardware or --flops, too")
    asked = hardware is not None or flops is not None
    devices_used = pricing.hardware(hardware, flops, utilisation, devices, price) if asked else None
    plan, folder = open_study(study, out, settings, check=True, vocabulary=vocabulary)
    corpus = made_corpus(plan, folder) if vocabulary is None else None
    print_plan(plan, folder, Capacity(cores) if cores else Capacity.of(folder), devices_used, every_job, corpus)


@click.command(cls=Command)
def schema() -> None:
    """Print the JSON schema of study.yaml, for editors.

    Save it, and begin study.yaml with: # yaml-language-server: $schema=study.schema.json
    """
    from ..study.settings.config import study_schema

    click.echo(json.dumps(study_schema(), indent=2))


@click.command(cls=Command, hidden=True)
@click.argument("runs", nargs=-1, required=True, metavar="RATE=FOLDER...")
@click.option("--by", type=click.Choice(CRITERIA), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@shows_errors
def choose(runs: tuple[str, ...], by: str, out: Path) -> None:
    """Choose a learning rate among runs that tried one each, by the validation set; a job of a study calls this."""
    from ..study.plan import choice
    from ..study.run.folder import write_whole

    pairs = [run.partition("=") for run in runs]
    found = choice.choose({rate: Path(folder) for rate, _, folder in pairs}, by)
    write_whole(out.with_name("choice.json"), json.dumps(found, indent=1))
    write_whole(out, f"{found['chosen']}\n")
    click.echo(choice.describe(found))
