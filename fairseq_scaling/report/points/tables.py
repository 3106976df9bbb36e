"""Reading points from CSV tables, with a message for every row that can not be used."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ScalingError
from ...metrics import METRICS, describe, metric_name
from ...mixture import Mixture
from ...problems import Problem, remark
from ...quantities import parse_tokens
from .point import Point

REQUIRED = ("curve", "metric", "pretrain_tokens", "value")
OPTIONAL = ("held_out", "seed", "mixture", "finetune_tokens", "weight", "lower_is_better")
_ALSO_READ = ("source_lang", "target_lang", "architecture", "parameters", "corpus", "pretrain_seed", "run_id")
# Written by this tool into points.csv beside the columns above; read back in silence.
_OWN = ("kind", "used", "reason", "task", "alignment", "signature", "file", "line", "origin")
_TRUE, _FALSE = {"1", "true", "yes"}, {"", "0", "false", "no"}


@dataclass
class Table:
    """The points of one or more tables and what was wrong with the others."""

    points: list[Point] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _BadRow(ValueError):
    """A row that can not be used; the message says which column and why."""


def is_table(path: Path) -> bool:
    """Return whether the file's first line names the columns ``curve`` and ``pretrain_tokens``."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(10_000)
    except (OSError, UnicodeDecodeError):
        return False
    columns = _columns(header)
    return "curve" in columns and "pretrain_tokens" in columns


def read_table(path: Path, name: str | None = None) -> Table:
    """Return the points of a table; bad rows become problems and the good ones are kept.

    Columns: ``curve, metric, pretrain_tokens, value`` and optionally ``held_out, seed, mixture, finetune_tokens,
    weight, lower_is_better`` (and ``source_lang, target_lang, architecture, parameters, corpus,
    pretrain_seed, run_id``). Separators: comma, semicolon or tab.
    Tokens may be written as 250000, 2.5e5 or 0.25M; ``pretrain_tokens`` 0 marks a baseline.

    Args:
        path: the file.
        name: how the file is called in messages and origins; default: the path as given.
    """
    name = name or str(path)
    table = Table()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        table.problems.append(remark(name, 0, f"cannot be read as UTF-8 text ({error})"))
        return table
    header = text.split("\n", 1)[0]
    columns = _columns(header)
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        table.problems.append(
            remark(name, 1, f"no column {', '.join(missing)}; a table needs the columns {', '.join(REQUIRED)}")
        )
        return table
    unknown = [c for c in columns if c and c not in REQUIRED + OPTIONAL + _ALSO_READ + _OWN]
    if unknown:
        table.problems.append(remark(name, 1, f"columns that nothing reads: {', '.join(unknown)}"))
    for line, cells in _rows(text, _separator(header), name, table.problems):
        if len(cells) != len(columns):
            table.problems.append(remark(name, line, f"{len(cells)} of {len(columns)} cells; row left out"))
            continue
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
        try:
            table.points.append(_point(row, name, line))
        except _BadRow as error:
            table.problems.append(remark(name, line, f"{error}; row left out"))
    if not table.points and not table.problems:
        table.problems.append(remark(name, 1, "a header without rows"))
    return table


def _rows(text: str, separator: str, name: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row below the header that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        next(reader, None)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        problems.append(remark(name, reader.line_num, f"not CSV from here on ({error}); the rest is left out"))


def _separator(header: str) -> str:
    return max((",", ";", "\t"), key=header.count)


def _columns(header: str) -> list[str]:
    header = header.rstrip("\r\n")
    return [column.strip().lower() for column in next(csv.reader([header], delimiter=_separator(header)), [])]


def _point(row: dict[str, str], file: str, line: int) -> Point:
    if not row["curve"]:
        raise _BadRow("curve is empty")
    if not row["metric"]:
        raise _BadRow("metric is empty")
    metric = metric_name(row["metric"])
    finetune_tokens = row.get("finetune_tokens", "")
    mixture = row.get("mixture", "")
    if mixture:
        try:
            mixture = str(Mixture.parse(mixture))
        except ScalingError as error:
            raise _BadRow(str(error).replace("\n ", ";")) from None
    weight = _number(row, "weight") if row.get("weight") else 1.0
    if weight <= 0:
        raise _BadRow(f"weight = {row['weight']}: must be above zero")
    return Point(
        metric=metric,
        pretrain_tokens=_tokens(row, "pretrain_tokens"),
        value=_number(row, "value"),
        curve=row["curve"],
        held_out=_flag(row, "held_out"),
        seed=_integer(row, "seed") if row.get("seed") else None,
        pretrain_seed=_integer(row, "pretrain_seed") if row.get("pretrain_seed") else None,
        weight=weight,
        lower_is_better=_direction(metric, row),
        mixture=mixture,
        source_lang=row.get("source_lang", ""),
        target_lang=row.get("target_lang", ""),
        finetune_tokens=round(_tokens(row, "finetune_tokens")) if finetune_tokens else None,
        architecture=row.get("architecture", ""),
        parameters=round(_tokens(row, "parameters")) if row.get("parameters") else None,
        corpus=row.get("corpus", ""),
        run_id=row.get("run_id", ""),
        file=file,
        line=line,
    )


def _direction(metric: str, row: dict[str, str]) -> bool:
    """Return whether lower is better, which a table must say for a metric this tool does not know."""
    written = row.get("lower_is_better", "")
    if metric in METRICS:
        known = describe(metric).lower_is_better
        if written and _flag(row, "lower_is_better") != known:
            raise _BadRow(f"lower_is_better = {written}, but of {metric} {'lower' if known else 'higher'} is better")
        return known
    if not written:
        raise _BadRow(
            f"metric {metric!r} is none of {', '.join(METRICS)}: say in a column lower_is_better (0 or 1) "
            f"which way is better"
        )
    return _flag(row, "lower_is_better")


def _flag(row: dict[str, str], column: str) -> bool:
    text = row.get(column, "").lower()
    if text not in _TRUE | _FALSE:
        raise _BadRow(f"{column} = {text!r}: write 0 or 1")
    return text in _TRUE


def _number(row: dict[str, str], column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        raise _BadRow(f"{column} = {row[column]!r}: not a number") from None
    if not math.isfinite(number):
        raise _BadRow(f"{column} = {row[column]}: not a finite number")
    return number


def _integer(row: dict[str, str], column: str) -> int:
    number = _number(row, column)
    if number != int(number):
        raise _BadRow(f"{column} = {row[column]}: not a whole number")
    return int(number)


def _tokens(row: dict[str, str], column: str) -> float:
    """Return a number of tokens: 250000, 2.5e5, 7700779.0 or 0.25M."""
    try:
        number = float(row[column])
    except ValueError:
        try:
            number = float(parse_tokens(row[column], column))
        except ScalingError:
            raise _BadRow(
                f"{column} = {row[column]!r}: not a number of tokens (write 250000, 2.5e5 or 0.25M)"
            ) from None
    if not math.isfinite(number) or number < 0:
        raise _BadRow(f"{column} = {row[column]}: must be a number of tokens, 0 or above")
    return number
