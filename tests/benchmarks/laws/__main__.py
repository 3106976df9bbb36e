"""What forecasts and fits reach: one command per figure; ``table`` runs those on single laws as one table.

    python -m tests.benchmarks.laws forecasts simulated|shared|advice|alarms|separation|worth|speed [--repeats 50]
    python -m tests.benchmarks.laws real TABLE.csv ... [--every 1] [--leave-out]
    python -m tests.benchmarks.laws studies POINTS.csv ... [--hold-out 1]
    python -m tests.benchmarks.laws table tests/laws/data/chinchilla.csv [--curves CURVES.csv]
    python -m tests.benchmarks.laws chinchilla tests/laws/data/chinchilla.csv [--draws 4000] [--starts 0]
    python -m tests.benchmarks.laws extrapolation CURVES.csv [--first 4]
    python -m tests.benchmarks.laws optimum [CURVES.csv] [--curves 20] [--starts 500] [--laws LAW ...] [--out FILE]
    python -m tests.benchmarks.laws speed [--curves 1000]
    python -m tests.benchmarks.laws coverage [--repeats 1000] [--interval profile] [--seeds 2 --between 1.0]

TABLE.csv is a table as fit-scaling reads it, with curve, metric, lower_is_better, pretrain_tokens, value, held_out; a
group is the text before " | " in a curve's name. CURVES.csv has the columns domain, curve, seen_examples, loss,
held_out, and where ``loss`` holds something else metric; ``real`` reads it, too. Times are those of one process; set
OMP_NUM_THREADS=1 to compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fairseq_scaling.laws.forms.registry import LAWS

from .accuracy import chinchilla, coverage, extrapolation
from .forecasts import PARTS, forecasts
from .optimum import optimum
from .real import real
from .speed import speed
from .studies import studies
from .table import table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.laws",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)

    def command(run: Callable[..., object], needs_data: bool | None = None, **numbers: int) -> argparse.ArgumentParser:
        first = " ".join((run.__doc__ or "").split("\n\n")[0].split())
        sub = commands.add_parser(run.__name__, help=first.replace("%", "%%"))
        sub.set_defaults(run=run)
        if needs_data is not None:
            sub.add_argument("data", type=Path, nargs=None if needs_data else "?")
        for name, default in numbers.items():
            flag = f"--{name.replace('_', '-')}"
            sub.add_argument(flag, type=int, default=default, help=f"default {default}")
        return sub

    command(forecasts, repeats=50).add_argument("parts", nargs="+", choices=[*PARTS])
    tables = command(real, every=1)
    tables.add_argument("tables", type=Path, nargs="+", metavar="TABLE.csv")
    tables.add_argument(
        "--leave-out", action="store_true", help="learn the prior anew for every group, from the other groups alone"
    )
    command(studies, hold_out=1).add_argument("tables", type=Path, nargs="+", metavar="POINTS.csv")
    whole = command(table, True, draws=4000, starts=500, problems=20, repeats=1000, peer_repeats=100)
    whole.add_argument("--curves", type=Path, metavar="CURVES.csv")
    command(chinchilla, True, draws=4000, starts=0)
    command(extrapolation, True, first=0)
    minimum = command(optimum, False, curves=20, starts=500)
    minimum.add_argument("--laws", nargs="+", choices=list(LAWS), default=list(LAWS), help="default: all")
    minimum.add_argument(
        "--out", type=Path, metavar="RESULTS.csv", help="append every result; a run that was stopped goes on"
    )
    command(speed, curves=1000)
    shares = command(coverage, repeats=1000, seeds=1)
    shares.add_argument("--between", type=float, default=1.0, help="variance of pretraining to that of a seed")
    kinds = ("profile", "delta", "case", "parametric", "residual", "forecast")
    shares.add_argument("--interval", choices=kinds, default="profile")
    chosen = vars(parser.parse_args(arguments))
    chosen.pop("run")(**chosen)


if __name__ == "__main__":
    main()
