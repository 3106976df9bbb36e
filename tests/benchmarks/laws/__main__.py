"""What the fitting engine reaches: one command per figure, each printing a small table; ``table`` runs them all.

    python -m tests.benchmarks.laws table tests/laws/data/chinchilla.csv [--curves CURVES.csv]
    python -m tests.benchmarks.laws chinchilla tests/laws/data/chinchilla.csv [--draws 4000] [--starts 0]
    python -m tests.benchmarks.laws extrapolation CURVES.csv [--first 4] [--interval profile]
    python -m tests.benchmarks.laws optimum [CURVES.csv] [--curves 20] [--starts 500] [--laws LAW ...] [--out FILE]
    python -m tests.benchmarks.laws speed [--curves 1000]
    python -m tests.benchmarks.laws coverage [--repeats 1000] [--interval profile] [--seeds 2 --between 1.0]
    python -m tests.benchmarks.laws verdicts [CURVES.csv] [--repeats 200]

CURVES.csv has the columns domain, curve, seen_examples, loss, held_out, and where ``loss`` holds something else metric.
Times are those of one process; set OMP_NUM_THREADS=1 to compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fairseq_scaling.laws.registry import LAWS

from .accuracy import chinchilla, coverage, extrapolation
from .optimum import optimum
from .speed import speed
from .table import table
from .verdicts import verdicts


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

    whole = command(table, True, draws=4000, starts=500, problems=20, repeats=1000, peer_repeats=100)
    whole.add_argument("--curves", type=Path, metavar="CURVES.csv")
    command(chinchilla, True, draws=4000, starts=0)
    ends = command(extrapolation, True, first=0)
    ends.add_argument("--interval", choices=("profile", "delta", "case", "parametric"), default="profile")
    minimum = command(optimum, False, curves=20, starts=500)
    minimum.add_argument("--laws", nargs="+", choices=list(LAWS), default=list(LAWS), help="default: all")
    minimum.add_argument(
        "--out", type=Path, metavar="RESULTS.csv", help="append every result; a run that was stopped goes on"
    )
    command(speed, curves=1000)
    shares = command(coverage, repeats=1000, seeds=1)
    shares.add_argument("--between", type=float, default=1.0, help="variance of pretraining to that of a seed")
    kinds = ("profile", "delta", "case", "parametric", "residual", "average")
    shares.add_argument("--interval", choices=kinds, default="profile")
    command(verdicts, False, repeats=200)
    chosen = vars(parser.parse_args(arguments))
    chosen.pop("run")(**chosen)


if __name__ == "__main__":
    main()
