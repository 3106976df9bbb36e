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


@dataclass(frozen=True)
class Progress:
    """The state of one job.

    Attributes:
        id, stage, needs: as in ``plan.Job``.
        expected: first guess of its duration, in seconds.
        state: ``waiting``, ``running`` or ``finished`` (a failed job counts as waiting).
        fraction: the part that is done, 0 to 1.
        measured: seconds of running that were measured, 0 where none were.
        measured_fraction: the part of the job that those seconds did (less than ``fraction`` after a resume).
        counted: whether its log counts what is done; the others are guessed by their time.
    """

    id: str
    stage: str
    needs: tuple[str, ...] = ()
    expected: float = 1.0
    state: str = "waiting"
    fraction: float = 0.0
    measured: float = 0.0
    measured_fraction: float = 0.0
    counted: bool = False


def fraction_in_log(log: Path, goal: tuple[str, int] | None) -> float:
    """Return how far a training is: the last value of the goal's key in its log, divided by the goal.

    The key stands in fairseq's JSON records as it is or after ``train_`` or ``valid_``, the value in quotes or not; the
    description of the run (SCALING_RUN) has it too, with what the run is to reach.
    """
    if goal is None or goal[1] <= 0:
        return 0.0
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return 0.0
    value = re.compile(rb'"(?:train_|valid_)?' + re.escape(goal[0]).encode() + rb'": "?([0-9.e+]+)"?')
    for line in reversed(tail.splitlines()):
        if b"SCALING_RUN" not in line and (found := value.search(line)):
            return min(1.0, float(found[1]) / goal[1])
    return 0.0


def speed_factors(jobs: Iterable[Progress]) -> dict[str, float]:
    """Return stage -> measured duration divided by the guessed one, for the stages that were measured.

    The two kinds of training stand in for each other while only one of them was measured: both guesses count tokens.
    """
    spent: dict[str, float] = {}
    guessed: dict[str, float] = {}
    for job in jobs:
        # A job that has only just begun says nothing yet: most of its first seconds are start-up.
        if job.measured_fraction >= 0.03 or job.state == "finished":
            spent[job.stage] = spent.get(job.stage, 0.0) + job.measured
            guessed[job.stage] = guessed.get(job.stage, 0.0) + job.expected * job.measured_fraction
    factors = {stage: spent[stage] / guessed[stage] for stage in spent if guessed[stage] > 0 and spent[stage] > 0}
    trainings = [stage.name for stage in STAGES.values() if stage.trains]
    known = [factors[stage] for stage in trainings if stage in factors]
    for stage in (*trainings, "translate"):
        if known and stage not in factors:
            factors[stage] = sum(known) / len(known)
    return factors


def calibrated(jobs: Sequence[Progress]) -> list[Progress]:
    """Return the jobs with their guesses scaled to the speed that was measured.

    A running job without a count of its own is taken as done in proportion to its time, up to 95 %.
    """
    factors = speed_factors(jobs)
    scaled = []
    for job in jobs:
        expected = job.expected * factors.get(job.stage, 1.0)
        fraction = 1.0 if job.state == "finished" else job.fraction
        if job.state == "running" and fraction == 0 and not job.counted and expected > 0:
            fraction = min(0.95, job.measured / expected)
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


def format_bytes(size: float) -> str:
    """Return a size as people say it, in decimal units: ``12 bytes``, ``3.4 MB``, ``1.2 TB``."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 999.5 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size:.0f} bytes"


def counts(jobs: Sequence[Progress]) -> Mapping[str, int]:
    """Return state -> number of jobs."""
    found = {"waiting": 0, "running": 0, "finished": 0}
    for job in jobs:
        found[job.state] += 1
    return found
