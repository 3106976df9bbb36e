"""What stock fairseq logs do not say, from a CSV table or from the paths of the files.

A CSV table has a column ``path`` (a glob pattern, or several separated by ``|``, matched against the end of a file's
path) and any of the columns of ``FIELDS``; every row that matches a file applies. ``run`` is any text that tells two
runs apart, ``checkpoint`` the checkpoint that was translated (``best``, ``last``, a number of updates or a file name).
A path pattern names fields in braces: ``{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*.log``.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, SettingError
from ..mixture import Mixture
from ..problems import Problem
from ..quantities import parse_tokens
from ..whole_files import write_whole
from .config import setting
from .kinds import LogProblem
from .record import CLAIMED, OTHER, Origin, RunRecord

FIELDS = (*CLAIMED, "run", "checkpoint")
COLUMNS = (
    "path", "run", "pretrain_tokens", "mixture", "finetune_tokens", "source_lang", "target_lang", "seed", "stage",
    "architecture", "parameters", "checkpoint", "note",
)  # fmt: skip
"""Columns of a table that is written to be filled in."""
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
        delimiter = ";" if text.split("\n")[0].count(";") > text.split("\n")[0].count(",") else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        reader.fieldnames = [str(column).strip() for column in reader.fieldnames or []]
        rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise DataError(f"mapping {path}: cannot be read ({error.strerror})\n  {_EXAMPLE}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"mapping {path}: {error}\n  save the table as CSV in UTF-8") from None
    columns = list(reader.fieldnames)
    if "path" not in columns:
        raise SettingError("mapping", path, f"no column path among {', '.join(columns) or 'none'}", _EXAMPLE)
    if unknown := [column for column in columns if column not in (*FIELDS, "path", "note")]:
        remedy = f"columns: path, note, {', '.join(FIELDS)}"
        raise SettingError("mapping", path, f"no such column: {unknown[0]}", remedy)
    rules = []
    for line, row in rows:
        if pattern := (row.get("path") or "").strip():
            constants = {field: row[field].strip() for field in FIELDS if (row.get(field) or "").strip()}
            matches = [_compile(part.strip(), needs_fields=False) for part in pattern.split("|") if part.strip()]
            rules.append(Rule(pattern, matches, constants, Origin(str(path), line)))
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


def write_table(runs: Iterable[RunRecord], path: Path) -> int:
    """Write a mapping table with a row for each run, filled in as far as the logs tell; return the number of rows.

    A score whose training is unknown lies in a row of its own, unless it lies beside the only training of its folder.
    The column ``run`` holds a name for each row: rows of the same name are one run.

    Raises:
        DataError: the file is there already, or cannot be written.
    """
    if path.exists():
        raise DataError(f"{path}: is there already, and may hold what you filled in\n  name another file")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    rows = [_row(members, patterns) for members, patterns in _row_patterns(list(runs))]
    _name_apart(rows)
    writer.writerows(rows)
    try:
        write_whole(path, text.getvalue())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})\n  name a file that you may write") from None
    return len(rows)


def _row_patterns(runs: list[RunRecord]) -> Iterator[tuple[list[RunRecord], list[str]]]:
    """Yield the runs of each row, the training first, and the patterns of their files."""
    files = {run.run_id: [Path(file).absolute() for file in _training_first(run)] for run in runs}
    every = [file for found in files.values() for file in found]
    if not every:
        return
    base = Path(os.path.commonpath([file.parent for file in every]))
    here: dict[Path, list[RunRecord]] = {}
    for run in runs:
        for folder in {file.parent for file in files[run.run_id]}:
            here.setdefault(folder, []).append(run)
    done: set[str] = set()
    for run in sorted(runs, key=lambda run: run.finished is None):
        folders = sorted({file.parent for file in files[run.run_id]})
        beside = {other.run_id: other for folder in folders for other in here[folder] if other is not run}
        alone = base not in folders and all(
            other.finished is None and all(file.parent in folders for file in files[run_id])
            for run_id, other in beside.items()
        )
        if run.run_id in done:
            continue
        members = [run, *beside.values()] if alone else [run]
        done |= {member.run_id for member in members}
        places = [folder / "*" for folder in folders] if alone else files[run.run_id]
        own = {file for member in members for file in files[member.run_id]}
        yield members, [_pattern(place, base, own, every) for place in places]


def _training_first(run: RunRecord) -> list[str]:
    """Return the files of a run, that of its training first."""
    files: list[str] = run.extra["files"]
    training = next((run.origin[name].file for name in ("updates", "seed") if name in run.origin), "")
    return sorted(files, key=lambda file: (file != training, file))


def _pattern(place: Path, base: Path, own: set[Path], every: list[Path]) -> str:
    """Return the pattern of a place below the base; of the whole path where the short one matches other files too."""

    def written(path: Path) -> str:
        parts = path.as_posix().split("/")
        return "/".join("*" if part == "*" else re.sub(r"[*?{}|]", "?", part) for part in parts)

    short = written(place.relative_to(base))
    compiled = _compile(short, needs_fields=False)
    foreign = any(compiled.search(file.as_posix()) for file in every if file not in own)
    return written(place) if foreign else short


def _row(members: list[RunRecord], patterns: list[str]) -> dict[str, str]:
    run = members[0]
    row = {name: getattr(run, name) for name in COLUMNS if name in FIELDS and hasattr(run, name)}
    mapped = run.extra.get("mapping", {})
    row |= {name: mapped[name] for name in ("run", "checkpoint") if name in mapped}
    subsets = {subset for member in members for subset in member.extra["scores_by_subset"]}
    losses = [subset for subset in run.cross_entropies if run.subset_kinds.get(subset) != OTHER]
    said = "scores, their training is unknown" if run.finished is None else "training"
    notes = [said if run.finished is not False else "training, did not finish"]
    notes += [f"losses of {', '.join(sorted(losses))}"] if losses else []
    notes += [f"scores of {', '.join(sorted(subsets))}"] if subsets else []
    config = run.extra.get("config", {})
    start = setting(config, "finetune_from_model", "checkpoint") or setting(config, "restore_file", "checkpoint")
    notes += [f"started from {start}"] if start and start != "checkpoint_last.pt" else []
    filled = {name: str(value) for name, value in row.items() if value is not None}
    return {**filled, "path": "|".join(patterns), "note": "; ".join(notes)}


def _name_apart(rows: list[dict[str, str]]) -> None:
    """Give each row without a ``run`` a name: that of its folder, or of its first file."""
    for row in rows:
        parts = [part for part in row["path"].split("|")[0].split("/") if part != "*"]
        row.setdefault("run", "/".join(parts))
    rows.sort(key=lambda row: row["path"])
