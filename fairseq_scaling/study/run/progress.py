"""How far a study is, and how long it still takes: arithmetic on the state of its jobs."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..stages import STAGES

_TAIL_BYTES = 65536
# Seconds: after which a measurement counts half, at the least; how much evidence it takes to believe in a drift; and
# the longest time between two jobs that is no interruption.
_HALF_LIFE = 60.0
_PATIENCE = 20.0
_LONGEST_GAP = 30.0


@dataclass(frozen=True)
class Progress:
    """The state of one job.

    Attributes:
        id, stage, needs: as in ``plan.Job``.
        expected: first guess of its duration, in seconds.
        start: the part of them that it takes to start.
        state: ``waiting``, ``running`` or ``finished`` (a failed job counts as waiting).
        fraction: the part that is done, 0 to 1.
        measured: seconds of running that were measured, 0 where none were.
        measured_fraction: the part of the job that those seconds did (less than ``fraction`` after a resume).
        ended: until when they were measured, in seconds since 1970; 0 where that is not known.
        counted: whether its log counts what is done; the others are guessed by their time.
    """

    id: str
    stage: str
    needs: tuple[str, ...] = ()
    expected: float = 1.0
    start: float = 0.0
    state: str = "waiting"
    fraction: float = 0.0
    measured: float = 0.0
    measured_fraction: float = 0.0
    ended: float = 0.0
    counted: bool = False

    @property
    def is_measured(self) -> bool:
        """Whether it says something about speed. A job that has only just begun does not: it is still starting."""
        return self.state == "finished" or self.measured_fraction >= 0.03


def fraction_in_log(log: Path, goal: tuple[str, int] | None, start: int = 0) -> float:
    """Return how far a training is, 0 to 1: the last value of the goal's key in its log, between start and goal.

    The key stands in fairseq's JSON records as it is or after ``train_`` or ``valid_``, the value in quotes or not; the
    description of the run (SCALING_RUN) has it too, with what the run is to reach.
    """
    if goal is None or goal[1] <= start:
        return 0.0
    key, end = goal
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            ending = file.read()
    except OSError:
        return 0.0
    value = re.compile(rb'"(?:train_|valid_)?' + re.escape(key).encode() + rb'": "?([0-9.e+]+)"?')
    for line in reversed(ending.splitlines()):
        if b"SCALING_RUN" not in line and (found := value.search(line)):
            return min(1.0, max(0.0, (float(found[1]) - start) / (end - start)))
    return 0.0


@dataclass(frozen=True)
class Speed:
    """How a stage's jobs compare with the first guesses: measured seconds for each guessed second.

    Attributes:
        start: of starting up: importing fairseq, loading data and model.
        work: of the work itself. A job twice as large takes twice as long after its start.
    """

    start: float = 1.0
    work: float = 1.0


def speeds(jobs: Iterable[Progress]) -> dict[str, Speed]:
    """Return the speed of every stage of which a job was measured, by least squares over its jobs.

    Where the jobs of a stage are too alike to tell start and work apart, both get the same value. Stages that train or
    translate and were not measured yet get the mean of those that were: all their guesses count operations.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for job in jobs:
        if job.is_measured:
            work = (job.expected - job.start) * job.measured_fraction
            rows.setdefault(job.stage, []).append((job.start, work, job.measured))
    found = {stage: _speed(measured) for stage, measured in rows.items()}
    guessed = [stage.name for stage in STAGES.values() if stage.uses_gpu]
    known = [found[stage] for stage in guessed if stage in found]
    for stage in guessed:
        if known and stage not in found:
            mean = [sum(values) / len(known) for values in zip(*((one.start, one.work) for one in known), strict=True)]
            found[stage] = Speed(*mean)
    return found


def _speed(rows: Sequence[tuple[float, float, float]]) -> Speed:
    """Return the speed that explains (guessed seconds of start, of work, measured seconds) best; never negative."""
    guessed = sum(start + work for start, work, _ in rows)
    if guessed <= 0:
        return Speed()
    both = sum(seconds for *_, seconds in rows) / guessed
    # The penalty on a difference between the two values has the weight of one job's start.
    penalty = sum(start * start for start, *_ in rows) / len(rows)
    a, b, c = penalty, -penalty, penalty
    x = y = 0.0
    for start, work, seconds in rows:
        a, b, c = a + start * start, b + start * work, c + work * work
        x, y = x + start * seconds, y + work * seconds
    determinant = a * c - b * b
    if penalty <= 0 or determinant <= 0:
        return Speed(both, both)
    first, second = (x * c - y * b) / determinant, (y * a - x * b) / determinant
    if first < 0:
        return Speed(0.0, sum(work * seconds for _, work, seconds in rows) / sum(work * work for _, work, _ in rows))
    return Speed(first, second) if second > 0 else Speed(both, both)


def drift(jobs: Iterable[Progress], found: Mapping[str, Speed], now: float) -> float:
    """Return how much longer jobs take of late than ``found``, their mean over the whole run, says: 1 for as long.

    Another process on the machine slows every stage, also those of which no job was measured since it began.
    """
    measured = [job for job in jobs if job.is_measured and job.ended > 0]
    if not measured:
        return 1.0
    half_life = max(_HALF_LIFE, (now - min(job.ended - job.measured for job in measured)) / 8)
    took = expected = _PATIENCE
    for job in measured:
        weight = 0.5 ** ((now - job.ended) / half_life)
        speed = found[job.stage]
        took += weight * job.measured
        expected += weight * (speed.start * job.start + speed.work * (job.expected - job.start) * job.measured_fraction)
    return took / expected


def launch_gap(jobs: Iterable[Progress]) -> float:
    """Return the median time from the end of a job to the start of the next on the same core, 0 where none is known.

    Snakemake and the interpreter take it for each job; next to jobs of a few seconds it counts.
    """
    began = sorted(job.ended - job.measured for job in jobs if job.ended > 0)
    ends = sorted(job.ended for job in jobs if job.ended > 0 and job.state == "finished")
    gaps: list[float] = []
    for time in began:
        before = [end for end in ends if end <= time]
        if before and time - before[0] < _LONGEST_GAP:
            gaps.append(time - before[0])
        if before:
            ends.remove(before[0])
    return sorted(gaps)[len(gaps) // 2] if gaps else 0.0


def calibrated(jobs: Sequence[Progress], now: float = 0.0) -> list[Progress]:
    """Return the jobs with their guesses replaced by what was measured: speed, drift and gaps between jobs.

    A running job without a count of its own is taken as done in proportion to its time, up to 95 %.
    """
    found = speeds(jobs)
    slower, gap = drift(jobs, found, now), launch_gap(jobs)
    scaled = []
    for job in jobs:
        speed = found.get(job.stage, Speed())
        start = speed.start * job.start * slower
        expected = start + speed.work * (job.expected - job.start) * slower
        fraction = 1.0 if job.state == "finished" else job.fraction
        if job.state == "waiting":
            expected += gap
        elif job.state == "running" and expected > 0:
            if not job.counted and fraction == 0:
                fraction = min(0.95, job.measured / expected)
            elif fraction > 0:
                fraction = 1 - (expected - start) * (1 - fraction) / expected  # its start lies behind it
        scaled.append(replace(job, expected=expected, fraction=fraction))
    return scaled


def fraction_done(jobs: Sequence[Progress]) -> float:
    """Return the part of all work that is done, 0 to 1, each calibrated job weighted by its duration."""
    total = sum(job.expected for job in jobs)
    return sum(job.expected * job.fraction for job in jobs) / total if total else 1.0


def seconds_left(jobs: Sequence[Progress], cores: int, takes: Mapping[str, int] | None = None) -> float:
    """Return the time until the last calibrated job ends, on ``cores`` of which each takes one, or ``takes[id]``.

    The jobs are played through: cores that are free take the next job, in their order, whose needs have ended; one that
    needs more than are free holds up those behind it.
    """
    takes = takes or {}
    unfinished = {job.id: place for place, job in enumerate(jobs) if job.state != "finished"}
    needs = [{need for need in job.needs if need in unfinished} for job in jobs]
    needed_by: dict[str, list[int]] = {}
    for place in unfinished.values():
        for need in needs[place]:
            needed_by.setdefault(need, []).append(place)
    durations = [job.expected * (1 - job.fraction) for job in jobs]
    running = [(durations[place], place) for place in unfinished.values() if jobs[place].state == "running"]
    ready = [place for place in unfinished.values() if jobs[place].state == "waiting" and not needs[place]]
    heapq.heapify(running)
    free = cores - sum(takes.get(jobs[place].id, 1) for _, place in running)
    now = 0.0
    while running or ready:
        while ready and (free >= takes.get(jobs[ready[0]].id, 1) or not running):
            place = heapq.heappop(ready)
            free -= takes.get(jobs[place].id, 1)
            heapq.heappush(running, (now + durations[place], place))
        now, ended = heapq.heappop(running)
        free += takes.get(jobs[ended].id, 1)
        for place in needed_by.get(jobs[ended].id, ()):
            needs[place].discard(jobs[ended].id)
            if not needs[place] and jobs[place].state == "waiting":
                heapq.heappush(ready, place)
    return now


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``7 min``, ``2 h 05 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def counts(jobs: Sequence[Progress]) -> Mapping[str, int]:
    """Return state -> number of jobs."""
    found = {"waiting": 0, "running": 0, "finished": 0}
    for job in jobs:
        found[job.state] += 1
    return found


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a text file, or a word about why there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
