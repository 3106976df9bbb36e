"""``fit-scaling``: logs and tables in; forecasts, advice, laws, figures and a report out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import SettingError
from ._fitting import Request, fit, write_mapping
from ._tables import TableFlags, takes_table_flags
from .common import Command, shows_errors

# Not 1, with which Python ends after a traceback: scaling-study takes this code alone as done.
EXIT_NOTHING_FITTED = 3

# Written out here because asking the laws for their names would import numpy and scipy; a test compares the two.
LAW_NAMES = (
    "log_law",
    "cross_entropy_law",
    "linear_log",
    "power_law",
    "power_ceiling",
    "logistic",
    "saturating",
    "m4",
    "bnsl1",
)
# Options that are settings of the analysis, by their own names.
_SETTINGS = ("law", "protocol", "delta", "level", "interval", "seed", "worthwhile", "likely", "sure")

_HELP = """
Fit scaling laws to what finetuned models scored after more and more pretraining.

PATHs are, in any mixture, folders and files of fairseq logs, fairseq-generate outputs, score files of
score-translations, alignment files of scaling-alignment, and CSV tables.

\b
  fit-scaling logs/                          the runs of a folder
  fit-scaling scores.csv --out results       a table
  fit-scaling logs/ older.csv --metric bleu  both, one metric
  fit-scaling logs/ --protocol paper         fit the four smallest sizes and
                                             predict the others
  fit-scaling logs/ --target-score bleu=25   how many tokens a BLEU of 25 takes
  fit-scaling logs/ --untried en:0.7,fr:0.3  a mixture that was not trained
  fit-scaling logs/ --write-mapping mapping.csv
                                             what the logs hold, and a table to
                                             fill in what they do not say
  fit-scaling logs/ --mapping mapping.csv    fit with what was filled in
  fit-scaling logs/ --mapping '{mixture}/dp{pretrain_tokens}/seed{seed}/*.log'
                                             the same where the paths say it

\b
A table is CSV with any separator, or JSON. Columns are known by their names
(tokens, steps, D_p ...; bleu, eval_loss, acc ...; model, seed, stderr), one
column a metric; what was taken for what is printed. Where that is wrong:
  fit-scaling a.csv --columns pretrain_tokens=tokens,bleu=score,curve=model
  fit-scaling a.csv --x updates              over updates, not tokens
The columns of points.csv are
  curve, metric, pretrain_tokens, value
and optionally
  held_out (0/1), seed, mixture (en:0.5,fr:0.5), finetune_tokens, weight,
  stderr, test_set, lower_is_better (0/1), source_lang, target_lang,
  architecture, parameters
Any metric will do; one that is not known needs lower_is_better or --better.
Rows with 0 tokens are the baseline. Tokens: 250000, 2.5e5 or 0.25M.

\b
Written into --out:
  report.html      the report, one file that needs nothing beside it
  figures/         the figures as SVG and PDF
  points.csv       every point and where it came from; a table that
                   fit-scaling reads
  fits.json        everything that the report shows: forecasts, verdicts,
                   advice, coefficients, intervals, signature
  predictions.csv  of the forecast and of each law: predicted, lower, upper;
                   at every point, and at 2, 4 and 10 times the largest size

\b
Exit codes:
  0  at least one curve was fitted
  2  a wrong option, a missing path, or nothing that could be read
  3  points were read, but no curve has enough of them to be fitted
     (the files are written all the same)
"""


_POSITIVE = click.FloatRange(min=0, min_open=True)
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command(
    cls=Command, help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="scaling-report",
    show_default=True,
    metavar="DIR",
    help="Folder for the results.",
)
@click.option(
    "--mapping",
    metavar="CSV|PATTERN",
    help="What stock fairseq logs do not say: a CSV file, or a path pattern with fields in braces.",
)
@click.option(
    "--law",
    type=click.Choice(["auto", *LAW_NAMES]),
    default="auto",
    show_default=True,
    metavar="LAW",
    help=f"Single laws to fit beside the forecast. auto: all that suit the metric; else one of {', '.join(LAW_NAMES)}.",
)
@click.option(
    "--protocol",
    type=click.Choice(["all", "paper"]),
    default="all",
    show_default=True,
    help="paper: fit the four smallest sizes of a curve and hold out the others.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; may be repeated.")
@click.option(
    "--delta",
    type=_POSITIVE,
    metavar="NUMBER",
    help="Huber threshold on the logarithms' residuals.  [default: 0.1 scores, 0.001 cross-entropy]",
)
@click.option(
    "--level",
    type=_SHARE,
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Coverage of all intervals.",
)
@click.option(
    "--interval",
    type=click.Choice(["profile", "delta", "case", "parametric"]),
    default="profile",
    show_default=True,
    help="Intervals of the single laws: profile likelihood, delta method, or bootstrap over cases or over simulated "
    "errors.",
)
@click.option(
    "--target-score",
    "targets",
    multiple=True,
    metavar="[METRIC=]SCORE",
    help="How many pretraining tokens this score takes; may be repeated.",
)
@click.option(
    "--untried",
    multiple=True,
    metavar="MIXTURE",
    help="Forecast a mixture that nobody has trained, such as en:0.7,fr:0.3, from three or more that were; may be "
    "repeated.",
)
@click.option(
    "--worthwhile",
    type=_POSITIVE,
    metavar="POINTS",
    help="Smallest gain from doubling the data that is worth its cost.  [default: 1 % of the score]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random draws.")
@click.option(
    "--likely",
    type=_SHARE,
    default=0.7,
    show_default=True,
    metavar="PROBABILITY",
    help="Verdicts and advice speak of what is at least this probable.",
)
@click.option(
    "--sure",
    type=_SHARE,
    default=0.95,
    show_default=True,
    metavar="PROBABILITY",
    help="Advice that ends pretraining is settled from this probability on.",
)
@click.option(
    "--remark",
    "remarks",
    multiple=True,
    metavar="TEXT",
    help="What readers of the report must know and no log says, such as runs that were not made; may be repeated.",
)
@click.option(
    "--report/--no-report",
    "with_report",
    default=True,
    show_default=True,
    help="Without the report neither figures nor report.html are made.",
)
@click.option(
    "--max-figures",
    type=click.IntRange(min=0),
    default=40,
    show_default=True,
    metavar="N",
    help="Draw at most this many figures of each kind.",
)
@click.option(
    "--write-mapping",
    "mapping_table",
    type=click.Path(dir_okay=False),
    metavar="CSV",
    help="Do not fit: say what the logs hold, and write a mapping table to fill in, with a row for each run.",
)
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    metavar="[METRIC=]NAME",
    help="Take the values (of one metric) from this subset, such as valid or newstest2014; may be repeated.",
)
@click.option("--unfinished", is_flag=True, help="Use runs whose training did not end, as far as they came.")
@takes_table_flags
@shows_errors
def main(paths: tuple[str, ...], out: str, mapping_table: str | None, **options: Any) -> None:
    # The matrices are small: threads of the linear algebra only wait for each other. numpy is imported after this.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    tables = TableFlags(**{name: options.pop(name) for name in TableFlags._fields})
    request = Request(
        paths=paths,
        out=Path(out),
        targets=tuple(_target(text) for text in options.pop("targets")),
        subsets=_subsets(options.pop("subsets")),
        settings={name: options.pop(name) for name in _SETTINGS} | {"untried": _mixtures(options.pop("untried"))},
        tables=tables.options(),
        noise=tables.noises(),
        **options,
    )
    if mapping_table is not None:
        click.echo("\n".join(write_mapping(request, Path(mapping_table))))
        return
    report, files = fit(request)
    for line in report.read.columns:
        click.echo(f"Read {line}")

    from ..report.render.terminal import make_console, print_report

    print_report(report, make_console(), files)
    if report.fitted == 0:
        click.echo("Nothing could be fitted: no curve has enough points.", err=True)
        sys.exit(EXIT_NOTHING_FITTED)


def _subsets(texts: tuple[str, ...]) -> dict[str, str]:
    """Return metric -> subset of ``test``, ``bleu=newstest2014`` ...; the empty metric stands for all others."""
    from ..metrics import metric_name

    chosen: dict[str, str] = {}
    for text in texts:
        metric, _, subset = text.rpartition("=")
        metric = metric_name(metric) if metric.strip() else ""
        if not subset.strip():
            raise SettingError("--subset", text, "names no subset", "write for example test or bleu=newstest2014")
        if chosen.setdefault(metric, subset.strip()) != subset.strip():
            raise SettingError("--subset", text, f"another one than {chosen[metric]}", "give one subset for a metric")
    return chosen


def _mixtures(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the mixtures in one spelling each.

    Raises:
        SettingError: one is malformed, or its shares do not sum to one.
    """
    from ..mixture import Mixture

    return tuple(dict.fromkeys(str(Mixture.parse(text)) for text in texts))


def _target(text: str) -> tuple[str, float]:
    """Return (metric or nothing, score) of a target such as ``bleu=25`` or ``25``."""
    metric, _, number = text.rpartition("=")
    try:
        return metric.strip(), float(number)
    except ValueError:
        raise SettingError("--target-score", text, "not a number", "write for example 25 or bleu=25") from None


if __name__ == "__main__":
    main()
