"""One file into starts: a start is what one start of a fairseq program printed."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..problems import Problem
from ..run import RUN_MARK, SCORES_MARK, Defect, read_description
from .config import identity, parse_config, setting
from .files import RawLine, Unreadable, read_lines
from .kinds import LogProblem, Why
from .lines import Kind, Line, parse_line
from .printed import Records, Stats
from .record import Origin

_SENTENCE = re.compile(rb"[STHDP]-\d+\t")
_SENTENCE_STARTS = frozenset((b"S-", b"T-", b"H-", b"D-", b"P-", b"A-", b"I-", b"E-"))
_TOOLS = ("train", "generate", "validate", "interactive", "eval_lm")
_GIVE_UP = 64 << 20  # bytes without anything of fairseq's in them
_EACH_KIND = 100  # problems of one kind listed one by one per file; the rest are counted
# a handler that was added twice prints these twice, one directly after the other
_REPEATABLE = frozenset((Kind.CONFIG, Kind.BEGIN, Kind.DONE, Kind.STATS))

DIVERGED = "FloatingPointError"
"""How fairseq says that a loss became nan or inf."""


@dataclass
class Said:
    """A JSON object of a SCALING_ line or a score file, or the parts of a generation score, and where it stands."""

    content: dict[str, Any]
    origin: Origin


@dataclass(frozen=True)
class Program:
    """The configuration that a program printed when it started.

    Attributes:
        tool: ``train``, ``generate``, ``validate`` ...; empty where the logger was not printed.
        dated: something stands before the configuration, such as a time.
    """

    tool: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    dated: bool = False


@dataclass
class Progress:
    """How far a start came.

    Attributes:
        epochs: the epochs that began.
        resumed_at: updates of the checkpoint that it started from.
        saved: updates of the last checkpoint, and where that stands.
        error: the last line of a traceback, and where it stands.
        traceback: a traceback began.
    """

    began: bool = False
    epochs: set[str] = field(default_factory=set)
    resumed_at: int | None = None
    saved: tuple[int, Origin] | None = None
    finished: bool = False
    error: tuple[str, Origin] | None = None
    traceback: bool = False


@dataclass
class Start:
    """What one start of a program printed.

    Attributes:
        run: the SCALING_RUN object.
        scores: SCALING_SCORES objects.
        generated: scores that fairseq-generate printed.
        score_files: what score-translations wrote or printed.
        parameters: number of weights, and where it stands.
        languages: source and target language, and where they stand.
        mixed: why its records cannot be attributed to one run, and where that shows.
    """

    origin: Origin
    program: Program = field(default_factory=Program)
    run: Said | None = None
    records: Records = field(default_factory=Records)
    progress: Progress = field(default_factory=Progress)
    scores: list[Said] = field(default_factory=list)
    generated: list[Said] = field(default_factory=list)
    score_files: list[Said] = field(default_factory=list)
    parameters: tuple[int, Origin] | None = None
    languages: list[tuple[str, Origin]] = field(default_factory=list)
    mixed: Problem | None = None

    @property
    def config(self) -> dict[str, Any]:
        return self.program.config

    @property
    def run_id(self) -> str | None:
        return self.run.content["run_id"] if self.run else None

    @property
    def last_step(self) -> float:
        """The last update that the start tells of, -inf without any."""
        saved = self.progress.saved
        return max(-math.inf if saved is None else saved[0], self.records.last_step)

    @property
    def trains(self) -> bool:
        """Whether it is a start of fairseq-train."""
        progress = self.progress
        return bool(self.records) or progress.finished or progress.saved is not None or self.program.tool == "train"

    @property
    def is_only_config(self) -> bool:
        """Whether the program printed its configuration and then nothing that tells of training or scores."""
        progress = self.progress
        said = self.run or self.records or progress.finished or progress.began or progress.error or progress.saved
        return bool(self.config) and not (said or self.scores or self.score_files or self.generated)

    @property
    def trained_nothing(self) -> bool:
        """Whether a stock start of fairseq-train ended before its first record, or resumed what was done already."""
        progress = self.progress
        if not self.config or self.program.tool not in ("", "train"):
            return False
        if self.run or self.records or progress.saved or self.scores or self.score_files or self.generated:
            return False
        if progress.error is not None and progress.error[0].startswith(DIVERGED):
            return False
        return progress.resumed_at is not None or not progress.finished

    @property
    def is_empty(self) -> bool:
        return not (self.trains or self.run or self.scores or self.generated or self.score_files or self.config)

    def mix(self, mixed: Why | None, line: int) -> None:
        """Note why the records cannot be of one run, unless a reason is known already."""
        if mixed is not None and self.mixed is None:
            self.mixed = mixed.kind.at(*self.origin, **mixed.fields, at=line)


@dataclass
class FileReading:
    """The starts that a file holds, its problems, and whether it holds translations."""

    starts: list[Start]
    problems: list[Problem]
    translations: bool = False


def read_file(path: Path, name: str) -> FileReading:
    """Return the starts of one text file; ``name`` stands for the file in origins and problems."""
    reader = _FileReader(name)
    try:
        for raw in read_lines(path):
            reader.take(raw)
            if reader.skipped > _GIVE_UP:
                reader.list(LogProblem.NO_FAIRSEQ_LINE.at(name, limit=_GIVE_UP >> 20))
                break
    except Unreadable as error:
        reader.list(error.problem(name))
    return reader.finish()


class _FileReader:
    """Takes the lines of a file in order, and cuts them into starts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.skipped = 0  # bytes before the first line of fairseq's
        self._found = False
        self._translations = False
        self._starts = [Start(Origin(name, 1))]
        self._problems: list[Problem] = []
        self._counts: Counter[str] = Counter()
        self._sentences: int | None = None
        self._before: Line | None = None

    def take(self, raw: RawLine) -> None:
        """Take the next line."""
        if raw.content[:2] in _SENTENCE_STARTS:
            if not self._translations and _SENTENCE.match(raw.content):
                self._translations = self._found = True
            return
        line = parse_line(raw.content, raw.complete)
        if line is None:
            self.skipped += 0 if self._found else len(raw.content)
            return
        if line.kind not in (Kind.DIED, Kind.FAILED):
            self._found, self.skipped = True, 0
        if not self._is_repeated(line):
            self._take(line, Origin(self.name, raw.number))
        self._before = line

    def list(self, problem: Problem) -> None:
        """List a problem; of one kind, not too many."""
        self._counts[problem.headline] += 1
        if self._counts[problem.headline] <= _EACH_KIND:
            self._problems.append(problem)

    def finish(self) -> FileReading:
        for headline, count in self._counts.items():
            if count > _EACH_KIND:
                self._problems.append(LogProblem.MORE.at(self.name, count=count - _EACH_KIND, headline=headline))
        self._check_styles()
        self._check_silent()
        starts = [start for start in self._starts if not start.is_empty]
        return FileReading(starts, self._problems, self._translations)

    def _is_repeated(self, line: Line) -> bool:
        """Return whether the line was printed by a second handler: it says what the line before it said."""
        before = self._before
        return (
            before is not None
            and line.kind in _REPEATABLE
            and (line.kind, line.value, line.tag) == (before.kind, before.value, before.tag)
        )

    def _check_styles(self) -> None:
        """Two programs write one file where records of one tag, or configurations, come with and without a time.

        One program may print its configuration with a time and its records without (fairseq in the first half of 2020).
        """
        programs = {start.program.dated for start in self._starts if start.config}
        styles = {style for start in self._starts for style in start.records.styles}
        for start in self._starts:
            for (tag, dated), origin in start.records.styles.items():
                several = len(programs) > 1 or (tag, not dated) in styles
                if start.config and dated != start.program.dated and several:
                    start.mix(Why(LogProblem.OTHER_STYLE), origin.line)

    def _check_silent(self) -> None:
        """Of two programs that write one file, either may have printed the records that follow both configurations.

        A program that failed, or one that was stopped before its training began, is told by the other's beginning.
        """
        for before, start in zip(self._starts, self._starts[1:], strict=False):
            unclear = before.is_only_config and not before.progress.traceback and start.records and start.run is None
            if unclear and start.config and identity(before.config) != identity(start.config):
                start.mix(Why(LogProblem.SILENT_CONFIG), (before.program.origin or before.origin).line)

    @property
    def _now(self) -> Start:
        return self._starts[-1]

    def _start(self, origin: Origin) -> Start:
        self._starts.append(Start(origin))
        self._sentences = None
        return self._now

    def _take(self, line: Line, origin: Origin) -> None:
        """Note what a line says; the types of the values stand in :class:`Kind`."""
        start, progress, value = self._now, self._now.progress, line.value
        match line.kind:
            case Kind.CONFIG:
                self._config(line, origin)
            case Kind.RUN:
                self._run(value, origin)
            case Kind.SCORES:
                self._scores(value, origin)
            case Kind.STATS:
                start.mix(start.records.add(Stats.of(line.tag, value, origin), line.dated), origin.line)
                if start.program.tool == "generate":
                    start.mix(Why(LogProblem.OTHER_PROGRAM, {"tool": "generate"}), origin.line)
            case Kind.TRANSLATED:
                self._sentences = value
            case Kind.GENERATED:
                start.generated.append(Said({**value, "sentences": self._sentences}, origin))
                self._sentences = None
            case Kind.BEGIN:
                self._begin(value, origin)
            case Kind.DONE:
                if progress.finished:
                    start.mix(Why(LogProblem.DONE_TWICE), origin.line)
                progress.finished = True
            case Kind.LOADED:
                if not start.records:
                    progress.resumed_at = value
            case Kind.SAVED:
                progress.saved = value, origin
            case Kind.PARAMETERS:
                start.parameters = value, origin
            case Kind.LANGUAGE:
                start.languages.append((value, origin))
            case Kind.PAIR:
                # a task may load other dictionaries than those of the two languages
                if len(start.languages) != 2:
                    start.languages = [(language, origin) for language in value]
            case Kind.FAILED:
                progress.traceback = True
            case Kind.DIED:
                progress.error = value, origin
            case Kind.DAMAGED_RECORD:
                self.list(value.kind.at(*origin, **value.fields))
            case Kind.DAMAGED_OBJECT:
                self.list(LogProblem.DAMAGED_OBJECT.at(*origin, mark=value))

    def _config(self, line: Line, origin: Origin) -> None:
        config = parse_config(line.value)
        if not config:
            self.list(LogProblem.DAMAGED_CONFIG.at(*origin))
        tool = next((name for name in _TOOLS if name in line.tag), "")
        if not tool and "beam" in config:
            tool = "generate"  # fairseq 0.9 and before print no logger, and only fairseq-generate has a beam
        # fairseq-validate prints the saved configuration of the model again, after its own
        if self._now.program.tool == "validate" and tool == "validate" and not self._now.records:
            return
        self._start(origin).program = Program(tool, config, origin, line.dated)

    def _run(self, content: dict[str, Any], origin: Origin) -> None:
        described, unusable = read_description(content)
        if described is None:
            if unusable[0].defect is Defect.NO_RUN_ID:
                self.list(LogProblem.NO_RUN_ID.at(*origin))
            else:
                self.list(LogProblem.UNKNOWN_FORMAT.at(*origin, mark=RUN_MARK, found=unusable[0].value))
            return
        start = self._now
        another = start.run is not None and start.run_id != content["run_id"]
        if another or (start.run is None and start.records):
            before, start = start, self._start(origin)
            if before.config and not before.progress.finished:
                start.mix(Why(LogProblem.NO_CONFIG), origin.line)
        for name in ("source_lang", "target_lang"):
            configured = setting(start.config, name, "task")
            if configured and configured != content.get(name):
                start.mix(Why(LogProblem.OTHER_TASK), origin.line)
        if start.run is not None:
            # said again, perhaps with more: what the first said stays where the second says nothing
            kept = {key: value for key, value in start.run.content.items() if content.get(key) is None}
            content = {**content, **kept}
        start.run = Said(content, origin)

    def _scores(self, content: dict[str, Any], origin: Origin) -> None:
        if "scores" in content:
            # score-translations prints what it writes into its file
            self._now.score_files.append(Said(content, origin))
        elif content.get("format") != 1:
            self.list(LogProblem.UNKNOWN_FORMAT.at(*origin, mark=SCORES_MARK, found=content.get("format")))
        else:
            self._now.scores.append(Said(content, origin))

    def _begin(self, epoch: str | None, origin: Origin) -> None:
        start, progress = self._now, self._now.progress
        if start.records and not progress.began and start.config:
            start.mix(Why(LogProblem.RECORDS_FIRST), origin.line)
        progress.began = True
        if epoch in progress.epochs:
            start.mix(Why(LogProblem.EPOCH_TWICE, {"epoch": epoch}), origin.line)
        if epoch is not None:
            progress.epochs.add(epoch)
