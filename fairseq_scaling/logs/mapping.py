"""What stock fairseq logs do not say, from a CSV table or from the paths of the files.

A CSV table has a column ``path`` (a glob pattern, matched against the end of a file's path) and any of the columns of
``FIELDS``; every row that matches a file applies. A path pattern names fields in braces:
``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log``.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from ..errors import DataError, SettingError
from ..mixture import Mixture
from ..quantities import parse_tokens
from .record import Origin

FIELDS = (
    "stage",
    "pretrain_tokens",
    "finetune_tokens",
    "mixture",
    "alignment",
    "source_lang",
    "target_lang",
    "seed",
    "architecture",
    "parameters",
    "run",
)
_EXAMPLE = (
    "for example {mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log, or a CSV table with a column path"
)
_TOKENS = r"\d[\d_]*(?:\.\d+)?(?:[eE]\+?\d+)?[kKmMbBgGtT]?"
_SHAPES = {
    "pretrain_tokens": _TOKENS,
    "finetune_tokens": _TOKENS,
    "seed": r"\d+",
    "parameters": _TOKENS,
    "source_lang": r"[A-Za-z0-9_]+?",
    "target_lang": r"[A-Za-z0-9_]+?",
    "alignment": r"\d+(?:\.\d+)?",
    "stage": r"pretraining|finetuning",
}
_PERCENT = re.compile(r"(?P<language>[A-Za-z]+)(?P<percent>\d{1,3})")


class PathMapping:
    """Fields for the files that one of its rules matches."""

    def __init__(self, rules: list[tuple[re.Pattern[str], dict[str, str], Origin]]) -> None:
        self._rules = rules

    @classmethod
    def read(cls, mapping: str | Path) -> PathMapping:
        """Return the mapping that a CSV file or a path pattern describes.

        Raises:
            DataError: the CSV file is missing or can not be read.
            SettingError: a column or field has no known name, or nothing names a field.
        """
        text = str(mapping)
        if "{" in text:
            return cls([(*_compile(text), Origin(f"mapping {text}", 0))])
        return cls(_rows(Path(text)))

    def fields(self, path: Path) -> tuple[dict[str, Any], dict[str, Origin], list[str]]:
        """Return field -> value for a file, where each value came from, and messages for values that are none."""
        name = "/" + path.absolute().as_posix().lstrip("/")
        written: dict[str, tuple[str, Origin]] = {}
        messages: list[str] = []
        for pattern, constants, origin in self._rules:
            match = pattern.search(name)
            if match is None:
                continue
            captured = {key: value for key, value in match.groupdict().items() if value}
            for field, text in {**captured, **constants}.items():
                if field in written and written[field][0] != text:
                    messages.append(f"the mapping says {field} = {written[field][0]} and {text}: keep one of the rows")
                written.setdefault(field, (text, origin))
        values: dict[str, Any] = {}
        for field, (text, origin) in written.items():
            try:
                values[field] = _value(field, text)
            except SettingError as error:
                place = f"{origin.file}:{origin.line}" if origin.line else origin.file
                messages.append(f"{place}: {str(error).splitlines()[0]}")
        origins = {field: written[field][1] for field in values}
        return values, origins, messages


def _rows(path: Path) -> list[tuple[re.Pattern[str], dict[str, str], Origin]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"mapping {path}: can not be read ({error.strerror})\n  {_EXAMPLE}") from None
    except UnicodeDecodeError:
        raise DataError(f"mapping {path}: is no UTF-8 text\n  save the table as CSV in UTF-8") from None
    if "\0" in text:
        raise DataError(f"mapping {path}: is no text\n  save the table as CSV in UTF-8")
    delimiter = ";" if text.split("\n")[0].count(";") > text.split("\n")[0].count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [str(column).strip() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    if "path" not in columns:
        raise SettingError("mapping", path, f"no column path among {', '.join(columns) or 'none'}", _EXAMPLE)
    for column in columns:
        if column not in (*FIELDS, "path", "note"):
            raise SettingError(
                "mapping", path, f"no such column: {column}", f"columns: path, note, {', '.join(FIELDS)}"
            )
    rules = []
    try:
        for row in reader:
            pattern = (row.get("path") or "").strip()
            if not pattern:
                continue
            compiled, constants = _compile(pattern, needs_fields=False)
            for field in FIELDS:
                if isinstance(row.get(field), str) and row[field].strip():
                    constants[field] = row[field].strip()
            rules.append((compiled, constants, Origin(str(path), reader.line_num)))
    except csv.Error as error:
        raise DataError(f"mapping {path}:{reader.line_num}: {error}\n  save the table as CSV in UTF-8") from None
    return rules


def _compile(pattern: str, needs_fields: bool = True) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return a regular expression for the end of a path; named groups are fields."""
    names: list[str] = []
    out = []
    for part in re.split(r"(\{[^{}]*\}|\*\*/|\*\*|\*|\?)", pattern.removeprefix("./")):
        if part.startswith("{"):
            field = part[1:-1].strip()
            if field not in FIELDS:
                raise SettingError("mapping", pattern, f"no such field: {field!r}", f"fields: {', '.join(FIELDS)}")
            shape = _SHAPES.get(field, r"[^/]+?")
            out.append(f"(?P={field})" if field in names else f"(?P<{field}>{shape})")
            names.append(field)
        else:
            out.append({"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}.get(part, re.escape(part)))
    if needs_fields and not names:
        raise SettingError("mapping", pattern, "names no field", _EXAMPLE)
    start = "" if pattern.startswith("/") else "/"
    return re.compile("^" * pattern.startswith("/") + start + "".join(out) + "$"), {}


def _value(field: str, text: str) -> Any:
    if re.search(r"[eE]\+?\d{3}|.{60}", text):
        raise SettingError(field, text[:60], "not a value that this can be")
    if field in ("pretrain_tokens", "finetune_tokens", "parameters"):
        return parse_tokens(text, field)
    if field == "mixture":
        return _mixture(text)
    if field == "seed":
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise SettingError("seed", text, "not a whole number")
        return int(text)
    if field == "alignment":
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 10:
            raise SettingError("alignment", text, "not a number from 0 up")
        return value
    if field == "stage" and text not in ("pretraining", "finetuning"):
        raise SettingError("stage", text, "neither pretraining nor finetuning")
    return text


def _mixture(text: str) -> Mixture | None:
    """Return the mixture, also as folders are named: ``en``, ``en50-fr50``, ``en50_fr50``; None for no pretraining."""
    if text.lower() in ("none", "baseline", "scratch"):
        return None
    parts = re.split(r"[-_+]", text)
    matches = [_PERCENT.fullmatch(part) for part in parts]
    if ":" not in text and all(matches):
        return Mixture.parse(",".join(f"{match['language']}:{match['percent']}/100" for match in matches if match))
    if ":" not in text and not re.fullmatch(r"[A-Za-z]+", text):
        raise SettingError("mixture", text, "not a mixture: write en:0.5,fr:0.5 or, in a path, en50-fr50")
    return Mixture.parse(text)
