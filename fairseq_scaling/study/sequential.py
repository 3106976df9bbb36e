"""Budgets in growing order, and no further one for a mixture whose verdict is settled: the paper's advice, carried out.

A pretraining then stops at a budget and later goes on from there, bit for bit as if it had never stopped. This changes
the order of the work alone, no setting: a study run sequentially can be run in full later, and nothing is done twice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..mixture import Mixture
from ..quantities import format_tokens, parse_tokens
from .commands import options
from .plan import Job, Plan
from .progress import format_duration
from .state import StudyFolder

SETTLING = ("stop", "finetuning data suffices", "change the data")
"""The advice after which more of the same pretraining is not wanted (see ``laws.advise``)."""

RunPlan = Callable[[Plan, Mapping[str, int]], int]
Advice = dict[str, dict[str, tuple[str, str]]]


@dataclass(frozen=True)
class Settled:
    """A mixture that is pretrained no further.

    Attributes:
        mixture: as in study.yaml.
        budget, largest: tokens of the last budget that was run, and of the last one of the study.
        advice: of each of its curves (task and finetune_tokens), the same at this budget and the one before.
        tokens: pretraining tokens that were not needed.
        runs: finetuning runs that were not needed.
        seconds: what these would have taken on one core, by the speed of those that were run.
    """

    mixture: str
    budget: int
    largest: int
    advice: dict[str, str]
    tokens: int
    runs: int
    seconds: float

    def __str__(self) -> str:
        reasons = "; ".join(f"{curve}: {sentence}" for curve, sentence in self.advice.items())
        return (
            f"{self.mixture} is settled: not pretrained beyond {format_tokens(self.budget)} of "
            f"{format_tokens(self.largest)} tokens.\n  Saved: {format_tokens(self.tokens)} tokens of pretraining and "
            f"{self.runs} finetunings, about {format_duration(self.seconds)} on one core.\n  {reasons}"
        )


def run_sequentially(plan: Plan, folder: StudyFolder, run: RunPlan, tell: Callable[[str], None]) -> int:
    """Run a plan budget by budget; return how many jobs were done.

    The first round takes as many budgets as a verdict needs. A mixture is settled when the advice for each of its
    curves of the study's first score (BLEU, as a rule) is one of ``SETTLING`` and was the same a budget before. The
    laws are deterministic, so that a run that was stopped comes to the same decisions again.

    Args:
        run: runs a part of the plan whose pretrainings stop after so many budgets (see ``workflow.run_plan``).
        tell: is given a text about each mixture that is settled.

    Raises:
        DataError: the results hold no score.
    """
    from ..laws.diagnosis import FEWEST_BUDGETS

    budgets = {job.id: len(budgets_of(job)) for job in plan.reported("pretrain")}
    mixtures = {job.id: mixture_of(job) for job in plan.reported("pretrain")}
    if not budgets:
        return run(plan, {})  # of checkpoints that the study is given there is nothing to stop
    reached: dict[str, int] = {}
    settled: dict[str, Settled] = {}
    before: Advice = {}
    done = 0
    for number in range(min(FEWEST_BUDGETS, *budgets.values()), max(budgets.values()) + 1):
        reached |= {job: min(number, of) for job, of in budgets.items() if mixtures[job] not in settled}
        limits = {job: stop for job, stop in reached.items() if stop < budgets[job]}
        part = limited(plan, limits)
        done += run(part, limits)
        now = advice(folder.path / "results/fits.json")
        for mixture in dict.fromkeys(mixtures[job] for job in limits):
            if mixture not in settled and is_settled(now.get(mixture, {}), before.get(mixture, {})):
                settled[mixture] = _settle(plan, folder, part, mixture, reached, now[mixture])
                tell(str(settled[mixture]))
        before = now
        folder.write_limits(limits, [str(one) for one in settled.values()])
        if all(mixtures[job] in settled for job in limits):
            break
    if settled:
        # The report of the last round was made before its decisions, and knows the runs alone that there are.
        done += run(limited(plan, limits, [str(one) for one in settled.values()]), limits)
    return done


def limited(plan: Plan, limits: Mapping[str, int], remarks: Sequence[str] = ()) -> Plan:
    """Return the part of a plan whose pretrainings stop after so many budgets (id -> number).

    ``remarks`` are for the report: why some do.
    """
    dropped: set[str] = set()
    jobs: list[Job] = []
    for job in plan.jobs:
        if job.id in limits:
            jobs.append(_until(job, limits[job.id]))
        elif job.stage != "fit" and (dropped & set(job.needs) or _beyond(job, limits)):
            dropped.add(job.id)
        else:
            left = _without(job, dropped)
            if job.stage == "fit":
                left = replace(left, words=[*left.words, *options({"remark": remarks})])
            jobs.append(left)
    return replace(plan, jobs=jobs)


def advice(fits: Path) -> Advice:
    """Return mixture -> curve -> (action, sentence) for the first score in ``fits.json``; not for cross-entropy.

    Raises:
        DataError: the file cannot be read, or holds no score.
    """
    from ..report.metrics import CROSS_ENTROPY, order

    try:
        curves: list[dict[str, Any]] = json.loads(fits.read_text("utf-8"))["curves"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{fits}: cannot be read: {error}") from None
    scores = {curve["metric"] for curve in curves} - {CROSS_ENTROPY}
    if not scores:
        raise DataError(f"{fits}: no score in it, and cross-entropy alone must not decide")
    metric = min(scores, key=order)
    found: Advice = {}
    for curve in curves:
        if curve["metric"] == metric and curve["advice"] and curve["setting"]["mixture"]:
            mixture = str(Mixture.parse(curve["setting"]["mixture"]))
            found.setdefault(mixture, {})[curve["name"]] = (curve["advice"]["action"], curve["advice"]["sentence"])
    return found


def is_settled(now: Mapping[str, tuple[str, str]], before: Mapping[str, tuple[str, str]]) -> bool:
    """Tell whether every curve of a mixture has the same advice as a budget before, and one that ends pretraining."""
    return bool(now) and all(
        action in SETTLING and curve in before and before[curve][0] == action for curve, (action, _) in now.items()
    )


def budgets_of(job: Job) -> list[int]:
    """Return the budgets of a pretraining, in tokens."""
    return [parse_tokens(budget) for budget in _flag(job, "--budgets").split(",")]


def mixture_of(job: Job) -> str:
    return str(Mixture.parse(_flag(job, "--mixture")))


def _flag(job: Job, name: str) -> str:
    return job.words[job.words.index(name) + 1]


def _settle(
    plan: Plan,
    folder: StudyFolder,
    part: Plan,
    mixture: str,
    reached: Mapping[str, int],
    curves: Mapping[str, tuple[str, str]],
) -> Settled:
    trained = [job for job in plan.reported("pretrain") if mixture_of(job) == mixture]
    kept = {job.id for job in part.jobs}
    left = [job for job in plan.jobs if job.id not in kept and _belongs(plan, job, trained)]
    tokens, seconds = 0, sum(job.seconds for job in left)
    for job in trained:
        budgets = budgets_of(job)
        saved = budgets[-1] - budgets[reached[job.id] - 1]
        tokens += saved
        seconds += job.seconds * saved / budgets[-1]
    budgets = budgets_of(trained[0])
    return Settled(
        mixture=mixture,
        budget=budgets[reached[trained[0].id] - 1],
        largest=budgets[-1],
        advice={curve: sentence for curve, (_, sentence) in curves.items()},
        tokens=tokens,
        runs=sum(job.stage == "finetune" for job in left),
        seconds=seconds * _measured(part, folder),
    )


def _belongs(plan: Plan, job: Job, trained: list[Job]) -> bool:
    """Tell whether a job needs one of these pretrainings, directly or through others."""
    ids = {one.id for one in trained}
    return any(need in ids or _belongs(plan, plan.by_id[need], trained) for need in job.needs)


def _measured(part: Plan, folder: StudyFolder) -> float:
    """Return the measured duration of the finetunings that are done, divided by the planned one."""
    spent = planned = 0.0
    for job in part.of_stage("finetune"):
        record = folder.record(job.id)
        if record and record.get("seconds"):
            spent += float(record["seconds"])
            planned += job.seconds
    return spent / planned if planned else 1.0


def _until(job: Job, number: int) -> Job:
    """Return a pretraining that is to stop after a budget: its goal and its duration; its words stay."""
    budgets = budgets_of(job)
    share = budgets[number - 1] / budgets[-1]
    goal = (job.goal[0], budgets[number - 1]) if job.goal else None
    return replace(job, goal=goal, seconds=job.seconds * share, tokens=round(job.tokens * share))


def _beyond(job: Job, limits: Mapping[str, int]) -> bool:
    """Tell whether a job reads the checkpoint of a budget that is not to be run."""
    for name, maker in job.reads.items():
        number = re.search(r"/checkpoint(\d+)\.pt$", name)
        if number and int(number[1]) > limits.get(maker, math.inf):
            return True
    return False


def _without(job: Job, dropped: set[str]) -> Job:
    """Return a job that reads nothing of the dropped ones (the fit)."""
    if not dropped & set(job.needs):
        return job
    files = {name for name, maker in job.reads.items() if maker in dropped}
    gone = files | {name.rpartition("/")[0] for name in files}
    return replace(
        job,
        words=[word for word in job.words if word not in gone],
        needs=[need for need in job.needs if need not in dropped],
        reads={name: maker for name, maker in job.reads.items() if name not in files},
    )
