"""What stock fairseq logs do not say, from a CSV table or from the paths of the files.

A CSV table has a column ``path`` (a glob pattern, or several separated by ``|``, matched against the end of a file's
path) and any of the columns of ``FIELDS``; every row that matches a file applies. ``run`` is any text that tells two
runs apart, ``checkpoint`` the checkpoint that was translated (``best``, ``last``, a number of updates or a file name).
A path pattern names fields in braces: ``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log``.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, SettingError
from ..mixture import Mixture
from ..problems import Problem
from ..quantities import parse_tokens
from .kinds import LogProblem
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
    "checkpoint",
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


@dataclass
class Rule:
    """Fields for the files whose path matches: those that the pattern names in braces, and constants.

    Attributes:
        pattern: as it was written.
        matches: compiled patterns for the end of a path; a cell may hold several, separated by ``|``.
        used: whether a file matched.
    """

    pattern: str
    matches: list[re.Pattern[str]]
    constants: dict[str, str]
    origin: Origin
    used: bool = False

    def apply(self, name: str) -> dict[str, str] | None:
        """Return field -> text for a file, None where the rule does not match it."""
        match = next((match for match in (compiled.search(name) for compiled in self.matches) if match), None)
        if match is None:
            return None
        self.used = True
        return {**{key: value for key, value in match.groupdict().items() if value}, **self.constants}


class PathMapping:
    """Fields for the files that one of its rules matches."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules

    @classmethod
    def read(cls, mapping: str | Path) -> PathMapping:
        """Return the mapping that a CSV file or a path pattern describes.

        Raises:
            DataError: the CSV file is missing or cannot be read.
            SettingError: a column or field has no known name, or nothing names a field.
        """
        text = str(mapping)
        if "{" in text:
            return cls([Rule(text, [_compile(text)], {}, Origin(f"mapping {text}", 0))])
        return cls(_rows(Path(text)))

    def fields(self, path: Path) -> tuple[dict[str, Any], dict[str, Origin], list[Problem]]:
        """Return field -> value for a file, where each value came from, and problems of values that are none."""
        name = "/" + path.absolute().as_posix().lstrip("/")
        written: dict[str, tuple[str, Origin]] = {}
        problems: list[Problem] = []
        for rule in self._rules:
            for field, text in (rule.apply(name) or {}).items():
                if field in written and written[field][0] != text:
                    first = written[field][0]
                    problems.append(LogProblem.MAPPING_TWICE.at(str(path), name=field, value=first, other=text))
                written.setdefault(field, (text, rule.origin))
        values: dict[str, Any] = {}
        for field, (text, origin) in written.items():
            try:
                values[field] = _value(field, text)
            except SettingError as error:
                problems.append(LogProblem.MAPPING_VALUE.at(*origin, reason=str(error).splitlines()[0]))
        origins = {field: written[field][1] for field in values}
        return values, origins, problems

    def unused(self) -> list[Problem]:
        """Return a problem for each rule that has matched no file."""
        return [LogProblem.UNUSED_RULE.at(*rule.origin, pattern=rule.pattern) for rule in self._rules if not rule.used]


def _rows(path: Path) -> list[Rule]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"mapping {path}: cannot be read ({error.strerror})\n  {_EXAMPLE}") from None
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
            constants = {field: row[field].strip() for field in FIELDS if (row.get(field) or "").strip()}
            matches = [_compile(part.strip(), needs_fields=False) for part in pattern.split("|") if part.strip()]
            rules.append(Rule(pattern, matches, constants, Origin(str(path), reader.line_num)))
    except csv.Error as error:
        raise DataError(f"mapping {path}:{reader.line_num}: {error}\n  save the table as CSV in UTF-8") from None
    return rules


def _compile(pattern: str, needs_fields: bool = True) -> re.Pattern[str]:
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
    return re.compile("^" * pattern.startswith("/") + start + "".join(out) + "$")


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
