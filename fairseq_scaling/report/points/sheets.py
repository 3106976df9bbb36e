"""Files of rows and columns, as text: CSV with comma, semicolon or tab, JSON, JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...problems import Problem, ProblemKind

TABLE_ENDINGS = (".csv", ".tsv")
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_SAVE = "save it as CSV in UTF-8"


class SheetProblem(ProblemKind):
    """Why a file, or rows of it, hold no table."""

    NOT_TEXT = "is no table as text (not UTF-8)", "", _SAVE
    NOT_JSON = "is no table as text (not JSON: {error})", "", _SAVE
    UNREADABLE = "cannot be read ({reason})"
    NO_TABLE = "holds no table", "a table has a line of column names and at least one row below it"
    NOT_CSV = "not CSV from here on ({reason})", "", "the rest is left out"
    OTHER_WIDTH = "row without a cell for each column", "{cells} of {columns} cells", "row left out"
    HEADER_AGAIN = "the column names are repeated here", "", "rows that are read twice count once"


@dataclass(frozen=True)
class Row:
    """The cells of a row, stripped, and its line (of JSON: its number among the records)."""

    line: int
    cells: tuple[str, ...]


@dataclass
class Sheet:
    """A table as text: ``columns`` as they are written, rows of as many cells, and what could not be read."""

    path: Path
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    separator: str = ","
    problems: list[Problem] = field(default_factory=list)

    def cells(self, column: int) -> list[str]:
        """Return the cells of a column."""
        return [row.cells[column] for row in self.rows]


def read_sheet(path: Path, name: str | None = None, limit: int | None = None) -> Sheet:
    """Return the table of a file. Lines above the column names (a title, comments) and empty rows are skipped.

    Args:
        path: the file.
        name: what problems call it; default: the path as given.
        limit: the number of bytes to read; of a longer file the last line is left out.
    """
    name = name or str(path)
    sheet = Sheet(path)
    try:
        text = _text(path, limit)
    except OSError as error:
        sheet.problems.append(SheetProblem.UNREADABLE.at(name, reason=error.strerror or str(error)))
        return sheet
    except ValueError:
        sheet.problems.append(SheetProblem.NOT_TEXT.at(name))
        return sheet
    if path.suffix.lower() in JSON_ENDINGS:
        _from_json(sheet, text, name)
    else:
        _from_csv(sheet, text, name)
    if not sheet.rows and not sheet.problems:
        sheet.problems.append(SheetProblem.NO_TABLE.at(name))
    return sheet


def _text(path: Path, limit: int | None) -> str:
    """Return the text of a file, or of its beginning.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text.
    """
    with path.open("rb") as file:
        content = file.read() if limit is None else file.read(limit + 1)
    if limit is None or len(content) <= limit:
        return _decoded(content)
    return _decoded(content, cut=True).rpartition("\n")[0]


def _decoded(content: bytes, cut: bool = False) -> str:
    """Return the text of a file in UTF-8, UTF-16 or, where it is neither, Windows' Latin-1.

    Raises:
        ValueError: it is no text.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="ignore" if cut else "strict")
    else:
        try:
            text = content.decode("utf-8-sig", errors="ignore" if cut else "strict")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    if "\0" in text or sum(not (sign.isprintable() or sign.isspace()) for sign in text[:10_000]) > 5:
        raise ValueError("not UTF-8")
    return text


def _from_csv(sheet: Sheet, text: str, name: str) -> None:
    lines = [line for line in text.splitlines()[:200] if line.strip() and not line.startswith("#")]
    sheet.separator = _separator(lines)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sheet.separator, skipinitialspace=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells) or (not sheet.columns and cells[0].startswith("#")):
                continue
            if not sheet.columns:
                sheet.columns = _header(cells)
            else:
                _add_row(sheet, reader.line_num, cells, name)
    except csv.Error as error:
        sheet.problems.append(SheetProblem.NOT_CSV.at(name, reader.line_num, reason=str(error)))
    _drop_empty_columns(sheet)


def _header(cells: list[str]) -> list[str]:
    """Return the cells if they can be column names: two of them or more, and not mostly empty as under a title."""
    named = sum(map(bool, cells))
    return [] if named < 2 or 2 * named < len(cells) else cells


def _add_row(sheet: Sheet, line: int, cells: list[str], name: str) -> None:
    width = len(sheet.columns)
    if cells[:width] == sheet.columns:
        sheet.problems.append(SheetProblem.HEADER_AGAIN.at(name, line))
        return
    if len(cells) > width and not any(cells[width:]):
        cells = cells[:width]  # trailing separators
    if len(cells) != width:
        sheet.problems.append(SheetProblem.OTHER_WIDTH.at(name, line, cells=len(cells), columns=width))
        return
    sheet.rows.append(Row(line, tuple(cells)))


def _drop_empty_columns(sheet: Sheet) -> None:
    """Leave out columns that have neither a name nor a cell."""
    kept = [i for i, column in enumerate(sheet.columns) if column or any(row.cells[i] for row in sheet.rows)]
    if len(kept) < len(sheet.columns):
        sheet.columns = [sheet.columns[i] for i in kept]
        sheet.rows = [Row(row.line, tuple(row.cells[i] for i in kept)) for row in sheet.rows]


def _separator(lines: list[str]) -> str:
    """Return the separator that cuts most lines into the same number of cells, the larger number first."""
    best, found = (0.0, 1), ","
    for separator in (",", ";", "\t"):
        counts = [len(next(csv.reader([line], delimiter=separator), [])) for line in lines[:50]]
        usual = max(set(counts), key=counts.count, default=1)
        score = (counts.count(usual) / len(counts) if usual > 1 else 0.0, usual)
        if score > best:
            best, found = score, separator
    return found


def _from_json(sheet: Sheet, text: str, name: str) -> None:
    try:
        records = list(_records(text))
    except ValueError as error:
        sheet.problems.append(SheetProblem.NOT_JSON.at(name, error=error))
        return
    flat = [(line, _flat(record)) for line, record in records if isinstance(record, Mapping)]
    sheet.columns = list(dict.fromkeys(column for _, record in flat for column in record))
    sheet.rows = [Row(line, tuple(record.get(column, "") for column in sheet.columns)) for line, record in flat]


def _records(text: str) -> Iterator[tuple[int, Any]]:
    """Yield (line, object) of a list of objects, of columns of values, or of one object a line."""
    try:
        whole = json.loads(text)
    except ValueError:
        for line, content in enumerate(text.splitlines(), 1):
            if content.strip():
                yield line, json.loads(content)
        return
    if isinstance(whole, dict):  # the Trainer's state holds its records in a list of its own
        lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = max(lists, key=len, default=whole)
    if isinstance(whole, list):
        yield from enumerate(whole, 1)
    elif isinstance(whole, dict) and whole and all(isinstance(value, list | dict) for value in whole.values()):
        columns = {name: _values(value) for name, value in whole.items()}
        length = max(map(len, columns.values()))
        for i in range(length):
            yield i + 1, {name: values[i] if i < len(values) else None for name, values in columns.items()}
    else:
        yield 1, whole


def _values(column: Any) -> list[Any]:
    return list(column.values()) if isinstance(column, dict) else list(column)


def _flat(record: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}/")
        elif value is None:
            flat[above + name] = ""
        else:
            flat[above + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def names_of(columns: Iterable[str]) -> str:
    """Return column names as a message lists them."""
    return ", ".join(column or "(no name)" for column in columns)
