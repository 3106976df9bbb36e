"""The flags of ``fit-scaling`` that say what the columns of a table are, and of its metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import SettingError

if TYPE_CHECKING:
    from ..report.points.roles import TableOptions

_FLAGS = (
    click.option(
        "--columns",
        multiple=True,
        metavar="ROLE=COLUMN,...",
        help="What the columns of a table are: pretrain_tokens=tokens,bleu=score,curve=model+size,seed=run; a factor "
        "goes behind the column (tokens*1e9).",
    ),
    click.option(
        "--x",
        metavar="NAME",
        help="The quantity on the x axis: pretrain_tokens, finetune_tokens, parameters, updates, flops or any column.  "
        "[default: pretrain_tokens, or what the table has]",
    ),
    click.option(
        "--noise",
        multiple=True,
        metavar="METRIC=SD",
        help="Standard deviation of one run, where it is known from elsewhere; may be repeated.",
    ),
    click.option(
        "--scale",
        multiple=True,
        metavar="METRIC=TOP",
        help="The value of a perfect score in tables: accuracy=100 for per cent, bleu=1 for shares; may be repeated.",
    ),
    click.option(
        "--better",
        multiple=True,
        metavar="METRIC=lower|higher",
        help="Which way is better, of a metric that is not known; may be repeated.",
    ),
)


def takes_table_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags of tables."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


class TableFlags(NamedTuple):
    """The flags as they were written."""

    columns: Sequence[str] = ()
    x: str | None = None
    noise: Sequence[str] = ()
    scale: Sequence[str] = ()
    better: Sequence[str] = ()

    def options(self) -> TableOptions:
        """Return what they say of tables.

        Raises:
            SettingError: one is malformed.
        """
        from ..metrics import METRICS, metric_name
        from ..report.points.roles import TableOptions

        scales = {metric_name(name): value for name, value in _numbers("--scale", self.scale)}
        for name in scales:
            if name in METRICS and METRICS[name].scale is None:
                raise SettingError("--scale", name, "has no perfect score")
        directions = {}
        for name, said in _pairs("--better", self.better):
            if said not in ("lower", "higher"):
                raise SettingError("--better", f"{name}={said}", "says no direction", "write lower or higher")
            directions[metric_name(name)] = said == "lower"
        return TableOptions(self._columns(), self.x, scales, directions)

    def noises(self) -> tuple[tuple[str, float], ...]:
        """Return (metric, standard deviation of one run) of ``--noise``."""
        return _numbers("--noise", self.noise)

    def _columns(self) -> dict[str, str]:
        # A comma separates only before ``name=``: columns may have commas in their names.
        parts = [part for text in self.columns for part in re.split(r",(?=\s*[^,=]+=)", text)]
        return dict(_pairs("--columns", parts))


def _pairs(flag: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise SettingError(flag, text, "is not NAME=VALUE", f"write for example {_EXAMPLES[flag]}")
        pairs.append((name, value))
    return pairs


def _numbers(flag: str, texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    numbers = []
    for name, value in _pairs(flag, texts):
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not 0 < number < float("inf"):
            raise SettingError(flag, f"{name}={value}", "is not a number above zero", f"write {_EXAMPLES[flag]}")
        numbers.append((name, number))
    return tuple(numbers)


_EXAMPLES = {
    "--columns": "--columns pretrain_tokens=tokens,bleu=score",
    "--noise": "--noise bleu=0.3",
    "--scale": "--scale accuracy=100",
    "--better": "--better latency=lower",
}
