"""One file into segments: a segment is what one start of a fairseq program printed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..run import READABLE_FORMATS
from .config import identity, parse_config, setting
from .files import Block, RawLine, TooLong, Unreadable, is_undivided, read_blocks, split_block
from .lines import Line, parse_line, telling
from .printed import Printed, parse_exact_integer, parse_printed
from .record import Origin, Problem
from .skimming import Run, Skimmer

_SENTENCES = (b"S-", b"T-", b"H-", b"D-", b"P-")
_GENERATED = re.compile(rb"^[STHDP]-\d+\t", re.MULTILINE)
_SKIPPED_STARTS = frozenset((b"S-", b"T-", b"H-", b"D-", b"P-", b"A-", b"I-", b"E-"))
TRAINING = ("train_inner", "train")
_GIVE_UP = 64 << 20  # bytes without anything of fairseq's in them
_MEASURED = frozenset(("wps", "ups", "wall", "train_wall", "best_loss", "best_bleu", "gb_free", "cuda_gb_allocated"))
_EACH_KIND = 3  # problems of one kind listed one by one per file; the rest are counted


@dataclass(slots=True)
class Stats:
    """One record of the log: tag (``train_inner``, ``train`` or the subset) and its fields as printed.

    ``updates`` is None where it was printed with too few digits or not at all; ``step`` is then rounded or -inf.
    """

    tag: str
    fields: dict[str, Any]
    updates: int | None
    origin: Origin
    step: float

    def number(self, key: str, decimals: int | None = None) -> Printed | None:
        return parse_printed(self.fields.get(key), decimals)


@dataclass(slots=True)
class Said:
    """A JSON object of a SCALING_ line or a score file, or the parts of a generation score, and where it stands."""

    content: dict[str, Any]
    origin: Origin


@dataclass
class Segment:
    """What one start of a program printed. ``mixed`` tells why its records can not be attributed to one run."""

    origin: Origin
    config: dict[str, Any] = field(default_factory=dict)
    config_origin: Origin | None = None
    tool: str = ""
    dated: bool = False
    run: Said | None = None
    stats: dict[tuple[str, str], Stats] = field(default_factory=dict)
    last: dict[str, Stats] = field(default_factory=dict)
    scores: list[Said] = field(default_factory=list)
    generated: list[Said] = field(default_factory=list)
    score_files: list[Said] = field(default_factory=list)
    parameters: int | None = None
    parameters_origin: Origin | None = None
    resumed_at: int | None = None
    saved_at: int | None = None
    saved_origin: Origin | None = None
    finished: bool = False
    died: Said | None = None
    translated: int | None = None
    failed: bool = False
    began: bool = False
    epochs: set[str] = field(default_factory=set)
    repeats: int = 0
    mixed: str = ""

    @property
    def run_id(self) -> str | None:
        return self.run.content["run_id"] if self.run else None

    @property
    def last_step(self) -> float:
        """The last update that the segment tells of, -inf without any."""
        return max(
            [-math.inf if self.saved_at is None else self.saved_at, *(stats.step for stats in self.last.values())]
        )

    @property
    def trains(self) -> bool:
        return bool(self.stats) or self.finished or self.saved_at is not None or self.tool.endswith("train")

    @property
    def only_config(self) -> bool:
        """Whether the program printed its configuration and then nothing that tells of training."""
        said = self.run or self.stats or self.finished or self.began or self.died or self.saved_at is not None
        return bool(self.config) and not said and not self.scores and not self.score_files

    @property
    def says_something(self) -> bool:
        return bool(self.trains or self.run or self.scores or self.generated or self.score_files or self.config)


@dataclass
class FileReading:
    """The segments of a file, and its problems."""

    segments: list[Segment]
    problems: list[Problem]


def read_file(path: Path, name: str) -> FileReading:
    """Return the segments of one text file; ``name`` stands for the file in origins and problems."""
    reader = _FileReader(name)
    try:
        for content in read_blocks(path):
            for part in reader.skimmer.cut(content):
                if isinstance(part, Block):
                    reader.take_block(part)
                else:
                    reader.take_run(part)
            if reader.skipped > _GIVE_UP and not reader.found:
                reader.problem(0, "nofairseq", f"no line of fairseq in the first {_GIVE_UP >> 20} MiB: left out")
                break
    except TooLong:
        reader.problem(0, "unreadable", str(TooLong.at(reader.skimmer.number)))
    except Unreadable as error:
        reader.problem(0, "unreadable", str(error))
    return reader.finish()


class _FileReader:
    """Takes the lines of a file in order, and cuts them into segments."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found = False
        self.skipped = 0
        self.skimmer = Skimmer()
        self.segments = [Segment(Origin(name, 1))]
        self.problems: list[Problem] = []
        self.counts: dict[str, int] = {}

    def problem(self, line: int, kind: str, message: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= _EACH_KIND:
            self.problems.append(Problem(self.name, line, message))

    def take_block(self, block: Block) -> None:
        number, content = block
        self.skipped += len(content)
        at = 0
        for begin, end in telling(content):
            number += content.count(b"\n", at, begin)
            at = begin
            told = content[begin:end]
            simple = told.endswith(b"\n") and b"\r" not in told and is_undivided(told)
            for raw in (RawLine(number, told[:-1], True),) if simple else split_block(Block(number, told)):
                if raw.content[:2] in _SKIPPED_STARTS:
                    continue
                line = parse_line(raw.content, raw.complete)
                if line is not None:
                    self.take(line, raw.number)
                    if line.kind == "stats" and line.tag == "train_inner":
                        self.skimmer.parsed(raw.content)
        if not self.found and any(map(content.__contains__, _SENTENCES)):
            self.found = _GENERATED.search(content) is not None

    def take_run(self, run: Run) -> None:
        if not self._now.mixed and not run.is_in_order():
            self.take_block(Block(run.number, run.content[run.begin : run.end]))
            return
        # those between can not change anything: of training only the last record is kept
        last = parse_line(run.last.removesuffix(b"\r"), True)
        assert last is not None
        if len(run.updates) > 1 and self._first_counts(run, last):
            first = parse_line(run.first.removesuffix(b"\r"), True)
            assert first is not None
            self.take(first, run.number)
        self.take(last, run.number + len(run.updates) - 1)

    def _first_counts(self, run: Run, last: Line) -> bool:
        """Return whether the first record of a run in order may change what the last does not."""
        if self._now.mixed:
            return False
        before, updates = self._now.last.get(last.tag), run.updates[0].decode()
        step = _step({"num_updates": updates}, parse_exact_integer(updates))
        return self._is_foreign(last) or (before is not None and step <= before.step)

    def _is_foreign(self, line: Line) -> bool:
        """Return whether the program whose configuration was printed last prints no such record."""
        segment = self._now
        return bool(segment.config) and (segment.tool == "generate" or line.dated != segment.dated)

    def take(self, line: Line, number: int) -> None:
        self.found = self.found or line.kind not in ("died", "failed")
        getattr(self, f"_{line.kind}")(line, Origin(self.name, number))

    def finish(self) -> FileReading:
        for kind, count in self.counts.items():
            if count > _EACH_KIND:
                self.problems.append(Problem(self.name, 0, f"{count - _EACH_KIND} more problems of the kind {kind!r}"))
        for before, segment in zip(self.segments, self.segments[1:], strict=False):
            # of two programs that write one file, either may have printed the records that follow
            unclear = before.only_config and not before.failed and segment.stats and segment.run is None
            if unclear and segment.config and identity(before.config) != identity(segment.config):
                other = before.config_origin or before.origin
                segment.mixed = (
                    segment.mixed or f"line {other.line} holds the configuration of another, which printed nothing"
                )
        return FileReading([segment for segment in self.segments if segment.says_something], self.problems)

    @property
    def _now(self) -> Segment:
        return self.segments[-1]

    def _start(self, origin: Origin) -> Segment:
        self.segments.append(Segment(origin))
        return self._now

    def _config(self, line: Line, origin: Origin) -> None:
        config = parse_config(line.value)
        if not config:
            self.problem(origin.line, "config", "the configuration line is cut or damaged: its settings are unknown")
        tool = line.tag.rpartition(".")[2]
        # fairseq-validate prints the saved configuration of the model again, after its own
        if self._now.tool == "validate" and tool == "validate" and not self._now.stats:
            return
        segment = self._start(origin)
        segment.config, segment.config_origin, segment.tool, segment.dated = config, origin, tool, line.dated

    def _run(self, line: Line, origin: Origin) -> None:
        content = line.value
        if not isinstance(content.get("run_id"), str) or not content["run_id"].strip():
            self.problem(origin.line, "SCALING_RUN", "the SCALING_RUN line has no run_id: it was left out")
            return
        if content.get("format") not in READABLE_FORMATS:
            self.problem(
                origin.line,
                "format",
                f"the SCALING_RUN line has format {content.get('format')!r}, "
                f"this version reads {' and '.join(map(str, READABLE_FORMATS))}: "
                "it was left out; install the fairseq_scaling that wrote it, or a newer one",
            )
            return
        segment = self._now
        another = segment.run is not None and segment.run_id != content["run_id"]
        if another or (segment.run is None and segment.stats):
            before, segment = segment, self._start(origin)
            if before.config and not before.finished:
                segment.mixed = (
                    f"its SCALING_RUN has no configuration before it, and another had not ended (line {origin.line})"
                )
        languages = [
            (setting(segment.config, name, "task"), content.get(name)) for name in ("source_lang", "target_lang")
        ]
        if any(configured and configured != said for configured, said in languages):
            segment.mixed = segment.mixed or f"its SCALING_RUN is of another task (line {origin.line})"
        if segment.run is not None:
            # said again, perhaps with more: what the first said stays where the second says nothing
            kept = {key: value for key, value in segment.run.content.items() if content.get(key) is None}
            content = {**content, **kept}
        segment.run = Said(content, origin)

    def _scores(self, line: Line, origin: Origin) -> None:
        if "scores" in line.value:
            # score-translations prints what it writes into its file
            self._now.score_files.append(Said(line.value, origin))
            return
        if line.value.get("format") != 1:
            message = f"SCALING_SCORES of format {line.value.get('format')!r}, this version knows 1: it was left out"
            self.problem(origin.line, "format", message)
            return
        self._now.scores.append(Said(line.value, origin))

    def _stats(self, line: Line, origin: Origin) -> None:
        segment, updates = self._now, parse_exact_integer(line.value.get("num_updates"))
        stats = Stats(line.tag, line.value, updates, origin, _step(line.value, updates))
        before = segment.last.get(line.tag)
        if before is not None and not segment.mixed:
            if stats.step < before.step:
                segment.mixed = f"the updates go back from {before.fields.get('num_updates')}"
            elif stats.step == before.step and line.tag in TRAINING and _differ(stats, before):
                segment.repeats += 1
                if segment.repeats > 1:
                    segment.mixed = f"update {updates} stands there twice with different values"
            if segment.mixed:
                segment.mixed += f" (line {origin.line})"
        if self._is_foreign(line):
            segment.mixed = (
                segment.mixed or f"the program of its configuration prints no such records (line {origin.line})"
            )
        segment.last[line.tag] = stats
        segment.stats[line.tag, stats_key(stats)] = stats

    def _generated(self, line: Line, origin: Origin) -> None:
        sentences, self._now.translated = self._now.translated, None
        self._now.generated.append(Said({**line.value, "sentences": sentences}, origin))

    def _begin(self, line: Line, origin: Origin) -> None:
        segment = self._now
        if segment.stats and not segment.began and segment.config:
            segment.mixed = segment.mixed or f"it has records before its training begins (line {origin.line})"
        segment.began = True
        if line.value is not None:
            if line.value in segment.epochs:
                segment.mixed = segment.mixed or f"epoch {line.value} begins twice (line {origin.line})"
            segment.epochs.add(line.value)

    def _translated(self, line: Line, origin: Origin) -> None:
        self._now.translated = line.value

    def _done(self, line: Line, origin: Origin) -> None:
        if self._now.finished:
            self._now.mixed = self._now.mixed or f"training is done twice (line {origin.line})"
        self._now.finished = True

    def _loaded(self, line: Line, origin: Origin) -> None:
        if not self._now.stats:
            self._now.resumed_at = line.value

    def _saved(self, line: Line, origin: Origin) -> None:
        self._now.saved_at, self._now.saved_origin = line.value, origin

    def _parameters(self, line: Line, origin: Origin) -> None:
        self._now.parameters, self._now.parameters_origin = line.value, origin

    def _failed(self, line: Line, origin: Origin) -> None:
        self._now.failed = True

    def _died(self, line: Line, origin: Origin) -> None:
        self._now.died = Said({"error": line.value}, origin)

    def _damaged(self, line: Line, origin: Origin) -> None:
        remedy = "look for a full disk, or two programs that write one file"
        self.problem(origin.line, "damaged", f"{line.value}; it was left out: {remedy}")


def stats_key(stats: Stats) -> str:
    """Return under which key beside its tag a record is kept: of training only the last, of validation every one."""
    return "" if stats.tag in TRAINING else str(stats.fields.get("num_updates"))


def _step(fields: dict[str, Any], updates: int | None) -> float:
    if updates is not None and abs(updates) < 10**15:
        return float(updates)
    printed = parse_printed(fields.get("num_updates"))
    return printed.value if printed is not None and not math.isnan(printed.value) else -math.inf


def _differ(one: Stats, two: Stats) -> bool:
    """Return whether two records of one step say different things, apart from speed and time."""
    shared = (one.fields.keys() & two.fields.keys()) - _MEASURED
    return any(str(one.fields[key]) != str(two.fields[key]) for key in shared)
