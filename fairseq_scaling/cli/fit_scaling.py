"""``fit-scaling``: logs and tables in; forecasts, advice, laws, figures and a report out."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from . import _values
from ._overview import first_contact, overview
from .common import EXIT_USER_ERROR, Command, shows_errors

# Not 1, with which Python ends after a traceback: scaling-study takes this code alone as done.
EXIT_NOTHING_FITTED = 3

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
A table is CSV (comma, semicolon or tab) or JSON. Columns are known by name
(tokens, steps, D_p ...; bleu, eval_loss, acc ...; model, seed, stderr), one
column a metric; what was taken for what is printed. Where that is wrong:
  fit-scaling a.csv --columns pretrain_tokens=tokens,bleu=score,curve=model
  fit-scaling a.csv --x updates              over updates, not tokens
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
  2  a wrong option, a missing path, or nothing to fit yet: the first lines
     say what was found, what is missing and the next command
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
    type=click.Path(path_type=Path, file_okay=False),
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
    default="auto",
    show_default=True,
    metavar="LAW",
    help="Single laws to fit beside the forecast. auto: all that suit the metric; else one of docs/laws.md.",
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
    "--level",
    type=_SHARE,
    default=0.95,
    show_default=True,
    metavar="SHARE",
    help="Coverage of all intervals.",
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
    "--write-mapping",
    "mapping_table",
    type=click.Path(path_type=Path, dir_okay=False),
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
@click.option(
    "--columns",
    multiple=True,
    metavar="ROLE=COLUMN,...",
    help="What the columns of a table are: pretrain_tokens=tokens,bleu=score,curve=model+size,seed=run; a factor goes "
    "behind the column (tokens*1e9).",
)
@click.option(
    "--x",
    metavar="NAME",
    help="The quantity on the x axis of tables: pretrain_tokens, finetune_tokens, parameters, updates, flops or any "
    "column.  [default: pretrain_tokens, or what the table has]",
)
@click.option(
    "--noise",
    multiple=True,
    metavar="METRIC=SD",
    help="Standard deviation of one run, where it is known from elsewhere; may be repeated.",
)
@click.option(
    "--scale",
    multiple=True,
    metavar="METRIC=TOP",
    help="The value of a perfect score in tables: accuracy=100 for per cent, bleu=1 for shares; may be repeated.",
)
@click.option(
    "--better",
    multiple=True,
    metavar="METRIC=lower|higher",
    help="Which way is better, of a metric that is not known; may be repeated.",
)
@shows_errors
def main(
    paths: tuple[str, ...],
    out: Path,
    mapping: str | None,
    mapping_table: Path | None,
    metrics: tuple[str, ...],
    targets: tuple[str, ...],
    untried: tuple[str, ...],
    remarks: tuple[str, ...],
    with_report: bool,
    subsets: tuple[str, ...],
    unfinished: bool,
    columns: tuple[str, ...],
    x: str | None,
    noise: tuple[str, ...],
    scale: tuple[str, ...],
    better: tuple[str, ...],
    **settings: Any,
) -> None:
    # The matrices are small: threads of the linear algebra only wait for each other. numpy is imported after this.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from ..mixture import Mixture
    from ..report.points.roles import TableOptions
    from ..report.reading import read_inputs
    from ..report.run_points import Choice

    scales, directions = _values.scales(scale), _values.directions(better)
    table = TableOptions(_values.columns(columns), x, scales, directions)
    noises, wanted = _values.numbers("--noise", noise), [_values.target(text) for text in targets]
    settings["law"] = _values.law(settings["law"])
    settings["untried"] = tuple(dict.fromkeys(str(Mixture.parse(text)) for text in untried))
    points, inputs = read_inputs(paths, mapping, Choice(_values.subsets(subsets), unfinished), table)
    runs = inputs.reading.runs if inputs.reading is not None else []
    if inputs.reading is not None and runs and mapping_table is not None:
        from ..logs.mapping import write_table

        rows = write_table(runs, mapping_table)
        click.echo("\n".join(overview(inputs.reading, paths, inputs.problems)))
        click.echo(f"wrote {mapping_table}: {rows} row{'' if rows == 1 else 's'}, one for each run")
        logs = shlex.join(paths)
        click.echo(f"next: fill in the column pretrain_tokens, then fit-scaling {logs} --mapping {mapping_table}")
        return
    if mapping_table is not None or not points:
        click.echo("\n".join(first_contact(inputs, paths, mapping)), err=True)
        sys.exit(EXIT_USER_ERROR)

    from ..report.render.files import write_data, write_page
    from ..report.render.terminal import make_console, print_report
    from ._fitting import fit

    inputs.remarks = list(remarks)
    report = fit(points, inputs, metrics, wanted, noises, settings)
    files = write_data(report, out)
    if with_report:
        from ..report.render.figures import draw_all

        page, *figures = write_page(report, draw_all(report), out)
        files = [page, *files, *([out / "figures"] if figures else [])]
    for line in report.read.columns:
        click.echo(f"Read {line}")
    print_report(report, make_console(), files)
    if report.fitted == 0:
        click.echo("Nothing could be fitted: no curve has enough points.", err=True)
        sys.exit(EXIT_NOTHING_FITTED)


if __name__ == "__main__":
    main()
