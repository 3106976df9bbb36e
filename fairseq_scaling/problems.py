"""Problems: what could not be read, contradicts something else, or is missing.

A problem is a kind with fields. Code compares kinds, never words. The words of a kind are written once, beside the
kind; :attr:`Problem.message` puts the fields into them when the problem is shown.

Each room declares its kinds::

    class TableProblem(ProblemKind):
        NOT_A_NUMBER = "{column} = {cell!r} is not a number", "row left out"
        NO_COLUMN = "no column {missing}", "the table has {found}", "name it with --columns"

    TableProblem.NOT_A_NUMBER.at("scores.csv", 7, column="value", cell="x")

The three texts of a kind are:

- the headline, which repeated problems share: ``NOT_A_NUMBER`` of the same cell and column is counted, not repeated;
- the detail of one occurrence, which is not shown where several are counted;
- the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from string import Formatter
from typing import Any


def place(file: str, line: int) -> str:
    """Return ``file:line``, or the file alone where it is the file as a whole (line 0)."""
    return f"{file}:{line}" if line else file


class ProblemKind(Enum):
    """Base of the kinds of problem of a room; see the module's text for how to declare one."""

    def __new__(cls, *texts: str) -> ProblemKind:
        # two kinds of the same words are two kinds: by its words as value the second would be an alias of the first
        kind = object.__new__(cls)
        kind._value_ = len(cls.__members__) + 1
        return kind

    def __init__(self, headline: str, detail: str = "", remedy: str = "") -> None:
        self.headline, self.detail, self.remedy = headline, detail, remedy

    def at(self, file: str, line: int = 0, *, run: str = "", curve: str = "", **fields: object) -> Problem:
        """Return a problem of this kind.

        Args:
            file: the file or folder, empty where there is none.
            line: counted from 1; 0 means the file as a whole.
            run: the ``run_id`` that the problem is about.
            curve: the name of the curve that the problem is about.
            fields: a value for each name in braces in the words of the kind, and no other.

        Raises:
            TypeError: a field is missing or unknown.
        """
        texts = (self.headline, self.detail, self.remedy)
        wanted = {name.partition("[")[0] for text in texts for _, name, _, _ in Formatter().parse(text) if name}
        if wanted != fields.keys():
            raise TypeError(f"{self} needs the fields {sorted(wanted)}, not {sorted(fields)}")
        return Problem(self, file, line, run, curve, fields)


@dataclass(frozen=True)
class Problem:
    """One occurrence of a kind of problem; made by :meth:`ProblemKind.at`."""

    kind: ProblemKind
    file: str = ""
    line: int = 0
    run: str = ""
    curve: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def headline(self) -> str:
        """What repeated problems of the kind share."""
        return self.kind.headline.format(**self.fields)

    @property
    def remedy(self) -> str:
        return self.kind.remedy.format(**self.fields)

    @property
    def message(self) -> str:
        """The problem in one sentence, without its place."""
        subject = f"run {self.run}: " if self.run else f"curve {self.curve}: " if self.curve else ""
        parts = (self.headline, self.kind.detail.format(**self.fields), self.remedy)
        return subject + "; ".join(part for part in parts if part)

    @property
    def place(self) -> str:
        return place(self.file, self.line)

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(frozen=True)
class Counted:
    """Problems of one kind that share a headline, in the order in which they were found."""

    problems: tuple[Problem, ...]

    @property
    def first(self) -> Problem:
        return self.problems[0]

    @property
    def message(self) -> str:
        """One problem in its own words; several as ``lacks pretrain_tokens: 59 runs; <remedy>``."""
        if len(self.problems) == 1:
            return self.first.message
        return "; ".join(part for part in (f"{self.first.headline}: {self._count()}", self.first.remedy) if part)

    def _count(self) -> str:
        """Return how many runs, curves, lines or files the problems are about."""
        for name in ("run", "curve"):
            subjects = {getattr(problem, name) for problem in self.problems}
            if "" not in subjects:
                return _number(len(subjects), name)
        lines = {problem.place for problem in self.problems if problem.line}
        files = {problem.file for problem in self.problems}
        if not lines:
            return _number(len(files), "file")
        return _number(len(lines), "line") + (f" in {_number(len(files), 'file')}" if len(files) > 1 else "")

    def as_json(self) -> dict[str, Any]:
        """Return the group as it stands in ``fits.json``: the first occurrence, and where the others are."""
        shown: dict[str, Any] = {
            "kind": self.first.kind.name.lower(),
            "file": self.first.file,
            "line": self.first.line,
            "message": self.message,
        }
        if len(self.problems) > 1:
            shown["count"] = len(self.problems)
            shown["places"] = [problem.place for problem in self.problems]
            if runs := list(dict.fromkeys(problem.run for problem in self.problems if problem.run)):
                shown["runs"] = runs
        return shown


def count_problems(problems: Iterable[Problem]) -> list[Counted]:
    """Return the problems with those of one kind and headline together, in the order of the first of each."""
    groups: dict[object, list[Problem]] = {}
    for problem in problems:
        group = groups.setdefault((problem.kind, problem.headline), [])
        if problem not in group:
            group.append(problem)
    return [Counted(tuple(group)) for group in groups.values()]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems by file and line, each once."""
    found: list[Problem] = []
    for problem in sorted(problems, key=lambda each: (each.file, each.line, each.message)):
        if not found or found[-1] != problem:
            found.append(problem)
    return found


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"
