"""The time left, played through: a whole study with known durations, on cores that another process may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from fairseq_scaling.study.plan.jobs import Job, Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run.progress import Progress, calibrated, seconds_left
from fairseq_scaling.study.settings.config import load_study
from fairseq_scaling.study.stages import STAGES

CORES = 2
STEP = 2.0  # seconds
GAP = 1.5  # from one job to the next on a core
# What a job really takes: seconds to start, and seconds for each guessed second of work.
TRUTH = {
    "pretrain": (2.0, 0.5), "finetune": (2.5, 1.4), "translate": (3.0, 0.3), "fetch": (1.0, 0.4), "clean": (1.0, 0.2),
    "sentencepiece": (1.0, 0.5), "encode": (1.0, 0.3), "alignment": (1.0, 1.0), "score": (1.0, 0.5), "fit": (1.0, 0.5),
}  # fmt: skip
Load = Callable[[float], float]


@pytest.fixture
def plan(values: dict[str, Any], write_study: Callable[[dict[str, Any]], Any]) -> Plan:
    """About an hour on two cores: two mixtures, five budgets over a factor of 16, two seeds of each training."""
    values["pretraining"] |= {"budgets": ["0.25M", "0.5M", "1M", "2M", "4M"], "seeds": [1, 2]}
    values["finetuning"]["seeds"] = [1, 2]
    return make_plan(load_study(write_study(values)))


def play(plan: Plan, load: Load) -> Iterator[tuple[float, Callable[[], list[Progress]]]]:
    """Yield (time, what gives the state of all jobs then) at every step of a run, in Snakemake's order.

    ``load`` gives, at a time, how many times longer everything takes.
    """
    jobs = plan.jobs
    work = {job.id: _parts(job)[1] * TRUTH[job.stage][1] for job in jobs}
    queue = sorted(jobs, key=lambda job: -plan.priorities[job.id])
    begun: dict[str, float] = {}  # the time of its start; in the future while Snakemake starts it
    spent: dict[str, float] = {}  # seconds of an idle machine
    ended: dict[str, float] = {}
    now = 0.0
    while len(ended) < len(jobs):
        for job in queue:
            if len(begun) - len(ended) < CORES and job.id not in begun and all(need in ended for need in job.needs):
                begun[job.id], spent[job.id] = now + GAP, 0.0
        yield now, lambda now=now: [_state(job, now, begun, spent, ended, work) for job in jobs]
        now += STEP
        for name in begun.keys() - ended.keys():
            if begun[name] < now:
                spent[name] += STEP / load(now)
                if spent[name] >= TRUTH[plan.by_id[name].stage][0] + work[name]:
                    ended[name] = now


def _parts(job: Job) -> tuple[float, float]:
    start = min(STAGES[job.stage].start, job.seconds)
    return start, job.seconds - start


def _state(
    job: Job, now: float, begun: dict[str, float], spent: dict[str, float], ended: dict[str, float],
    work: dict[str, float],
) -> Progress:  # fmt: skip
    base = Progress(job.id, job.stage, tuple(job.needs), job.seconds, _parts(job)[0])
    if job.id in ended:
        measured = ended[job.id] - begun[job.id]
        return replace(
            base, state="finished", fraction=1.0, measured=measured, measured_fraction=1.0, ended=ended[job.id] + 1e6
        )  # fmt: skip
    if job.id in begun and begun[job.id] <= now:
        done = max(0.0, spent[job.id] - TRUTH[job.stage][0]) / work[job.id]
        counted = round(done, 1) if job.goal else 0.0  # a log counts in steps
        return replace(
            base, state="running", fraction=counted, measured=now - begun[job.id], measured_fraction=counted,
            ended=now + 1e6, counted=job.goal is not None,
        )  # fmt: skip
    return base


def worst(plan: Plan, load: Load, first: float) -> tuple[float, float]:
    """Return by how much the time left is most wrong (2: twice or half as long), and at which share of the run.

    Looked at from the share ``first`` on, thirty times. In the last half minute the ratio says little.
    """
    end = duration(plan, load)
    found = (1.0, 0.0)
    looks = [end * (first + (1 - first) * number / 30) for number in range(30)]
    for now, state in play(plan, load):
        if looks and now >= looks[0] and end - now > 30:
            looks.pop(0)
            said = seconds_left(calibrated(state(), now + 1e6), CORES)
            found = max(found, (max(said / (end - now), (end - now) / said), now / end))
    assert len(looks) < 5
    return found


def duration(plan: Plan, load: Load) -> float:
    return max(now for now, _ in play(plan, load)) + STEP


def test_the_time_left_is_right_within_a_third_from_the_first_tenth_on(plan: Plan) -> None:
    ratio, share = worst(plan, lambda now: 1.0, 0.1)
    assert ratio < 4 / 3, f"{ratio:.2f} at {share:.0%}"


@pytest.mark.parametrize("slower", [2.0, 3.0])
def test_so_it_is_while_another_process_keeps_the_cores_busy(plan: Plan, slower: float) -> None:
    ratio, share = worst(plan, lambda now: slower, 0.1)
    assert ratio < 4 / 3, f"{ratio:.2f} at {share:.0%}"


@pytest.mark.parametrize(("before", "after"), [(1.0, 2.0), (2.0, 1.0)])
def test_a_load_that_comes_or_goes_is_followed(plan: Plan, before: float, after: float) -> None:
    """It changes after ten minutes; a tenth of the run later the time left is right again."""
    changed = 600.0

    def load(now: float) -> float:
        return before if now < changed else after

    ratio, share = worst(plan, load, changed / duration(plan, load) + 0.1)
    assert ratio < 4 / 3, f"{ratio:.2f} at {share:.0%}"
