"""Budgets in growing order, and no further one for a mixture whose verdict is settled: the paper's advice, carried out.

A pretraining then stops at a budget and later goes on from there, bit for bit as if it had never stopped. This changes
the order of the work alone, no setting: a study run sequentially can be run in full later, and nothing is done twice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...mixture import Mixture
from ...quantities import format_tokens
from ..plan.flags import options
from ..plan.jobs import Job, Plan, budget_number, budgets_of, mixture_of
from ..run.job import NOTHING_FITTED
from ..run.progress import format_duration
from ..run.state import StudyFolder
from .interim import fit_argv, run_fit

RunPlan = Callable[[Plan, Mapping[str, int]], int]
Advice = dict[str, dict[str, tuple[str, str, bool]]]


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
        done = "pretrained" if self.tokens else "finetuned"
        return (
            f"{self.mixture} is settled: not {done} beyond {format_tokens(self.budget)} of "
            f"{format_tokens(self.largest)} tokens.\n  Saved: {format_tokens(self.tokens)} tokens of pretraining and "
            f"{self.runs} finetunings, about {format_duration(self.seconds)} on one core.\n  {reasons}"
        )


def run_sequentially(plan: Plan, folder: StudyFolder, run: RunPlan, tell: Callable[[str], None]) -> int:
    """Run a plan budget by budget; return how many jobs were done.

    The first round takes as many budgets as a verdict needs, and all that are evaluated already: nothing that is there
    is left out of the results. A mixture is settled when the advice for each of its curves of the study's first score
    (BLEU, as a rule) is settled (see ``laws.Advice``) and was the same a budget before. The laws are deterministic, so
    that a run that was stopped comes to the same decisions again.

    Args:
        run: runs a part of the plan whose pretrainings stop after so many budgets (see ``workflow.run_plan``).
        tell: is given a text about each mixture that is settled.

    Raises:
        DataError: the results hold no score.
    """
    from ...laws.verdict import FEWEST_BUDGETS

    trained: dict[str, list[Job]] = {}
    for job in plan.reported("pretrain"):
        trained.setdefault(mixture_of(job), []).append(job)
    if not trained:
        return run(plan, {})  # of checkpoints that the study is given there is nothing to stop
    last = {mixture: len(budgets_of(jobs[0])) for mixture, jobs in trained.items()}
    reached = {
        mixture: max(min(FEWEST_BUDGETS, last[mixture]), evaluated(plan, folder, jobs))
        for mixture, jobs in trained.items()
    }

    def limits_at(numbers: Mapping[str, int]) -> dict[str, int]:
        return {job.id: numbers[name] for name in trained for job in trained[name] if numbers[name] < last[name]}

    limits = limits_at(reached)
    remarks = folder.settled if limits else []  # what a run before this one has decided
    settled: dict[str, Settled] = {}
    before: Advice | None = None
    done = 0
    while True:
        reported = remarks
        done += run(limited(plan, limits, reported), limits)
        now = advice(folder.path / "results/fits.json")
        going = [name for name in trained if reached[name] < last[name] and name not in settled]
        if before is None:
            older = [name for name in going if reached[name] > FEWEST_BUDGETS]
            part = limited(plan, limits_at({**reached, **{name: reached[name] - 1 for name in older}}))
            found = advice_apart(part, folder) if older else {}
            before = {name: curves for name, curves in found.items() if name in older}
        for name in going:
            if is_settled(now.get(name, {}), before.get(name, {})):
                settled[name] = _settle(plan, folder, trained[name], reached[name], now[name])
                tell(str(settled[name]))
        before = now
        remarks = [str(one) for one in settled.values()]
        folder.write_limits(limits, remarks)
        going = [name for name in going if name not in settled]
        if not going:
            break
        reached |= {name: reached[name] + 1 for name in going}
        limits = limits_at(reached)
    if remarks != reported:
        # The report of the last round was made before its decisions, and knows the runs alone that there are.
        done += run(limited(plan, limits, remarks), limits)
    return done


def as_decided(plan: Plan, folder: StudyFolder) -> Plan:
    """Return the part of a study's plan that its sequential run, if its last run was one, has come to."""
    numbers = {job.id: (folder.limit(job.id), len(budgets_of(job))) for job in plan.reported("pretrain")}
    limits = {name: limit for name, (limit, last) in numbers.items() if limit is not None and limit < last}
    return limited(plan, limits, folder.settled) if limits else plan


def evaluated(plan: Plan, folder: StudyFolder, trained: Sequence[Job]) -> int:
    """Return how many budgets of a mixture, from the first one on, are finetuned, translated and scored everywhere.

    ``trained`` are its pretrainings, one for each seed, which may have stopped or gone on since.
    """
    if folder.pending(plan, plan.with_needs(need for job in trained for need in job.needs)):
        return 0
    for job in trained:
        record = folder.record(job.id)
        if record is None or record["identities"][:1] != folder.identities(plan, job)[:1]:
            return 0
    undone = [number for job, number in _numbered(plan, trained) if not folder.is_done(plan, job)]
    return min([number - 1 for number in undone], default=len(budgets_of(trained[0])))


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
                left = replace(left, argv=[*left.argv, *options({"remark": remarks})])
            jobs.append(left)
    return replace(plan, jobs=jobs)


def advice(fits: Path) -> Advice:
    """Return mixture -> curve -> (action, sentence, whether it is settled) for the first score in ``fits.json``.

    Raises:
        DataError: the file cannot be read, or holds no score.
    """
    from ...metrics import CROSS_ENTROPY, order

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
            said = curve["advice"]
            found.setdefault(mixture, {})[curve["name"]] = (said["action"], said["sentence"], said["settled"])
    return found


def advice_apart(plan: Plan, folder: StudyFolder) -> Advice:
    """Return the advice of a plan whose runs are there, without touching the results.

    Raises:
        DataError: the fit fails, or holds no score.
    """
    out = folder.private / "earlier"
    out.mkdir(parents=True, exist_ok=True)
    with (out / "fit.log").open("wb") as log:
        code = run_fit(plan, folder, [*fit_argv(plan, str(out)), "--no-report"], log)
    if code not in (0, NOTHING_FITTED):
        raise DataError(f"fit-scaling ended with exit code {code}; its log is {out / 'fit.log'}")
    return advice(out / "fits.json")


def is_settled(now: Mapping[str, tuple[str, str, bool]], before: Mapping[str, tuple[str, str, bool]]) -> bool:
    """Tell whether every curve of a mixture has an advice that is settled, and the same as a budget before."""
    return bool(now) and all(
        settled and curve in before and before[curve][0] == action for curve, (action, _, settled) in now.items()
    )


def _settle(
    plan: Plan,
    folder: StudyFolder,
    trained: Sequence[Job],
    reached: int,
    curves: Mapping[str, tuple[str, str, bool]],
) -> Settled:
    jobs = _numbered(plan, trained)
    left = [job for job, number in jobs if number > reached and not folder.is_done(plan, job)]
    tokens, seconds = 0, sum(job.seconds for job in left)
    budgets = budgets_of(trained[0])
    for job in trained:
        saved = budgets[-1] - budgets[_budgets_passed(folder, job, reached) - 1]
        tokens += saved
        seconds += job.seconds * saved / budgets[-1]
    return Settled(
        mixture=mixture_of(trained[0]),
        budget=budgets[reached - 1],
        largest=budgets[-1],
        advice={curve: sentence for curve, (_, sentence, _) in curves.items()},
        tokens=tokens,
        runs=sum(job.stage == "finetune" for job in left),
        seconds=seconds * _measured(folder, [job for job, number in jobs if number <= reached]),
    )


def _numbered(plan: Plan, trained: Sequence[Job]) -> list[tuple[Job, int]]:
    """Return the jobs that need one of these pretrainings, each with the number of the budget that it is about."""
    makers = {job.id for job in trained}
    numbers: dict[str, int] = {}
    for job in plan.jobs:
        if job.stage == "fit":
            continue
        found = [number for name, maker in job.reads.items() if maker in makers and (number := budget_number(name))]
        found += [numbers[need] for need in job.needs if need in numbers]
        if found:
            numbers[job.id] = max(found)
    return [(plan.by_id[name], number) for name, number in numbers.items()]


def _budgets_passed(folder: StudyFolder, job: Job, reached: int) -> int:
    """Return how many of its budgets a pretraining has passed: ``reached``, or more than are evaluated."""
    record = folder.record(job.id) or {}
    if record.get("state") == "finished":
        return max(reached, len(record["identities"]))
    return max(reached, int(record.get("budgets", 0)))


def _measured(folder: StudyFolder, jobs: Sequence[Job]) -> float:
    """Return the measured duration of the finetunings among jobs that are done, divided by the planned one."""
    spent = planned = 0.0
    for job in jobs:
        record = folder.record(job.id) if job.stage == "finetune" else None
        if record and record.get("seconds"):
            spent += float(record["seconds"])
            planned += job.seconds
    return spent / planned if planned else 1.0


def _until(job: Job, number: int) -> Job:
    """Return a pretraining that is to stop after a budget: its goal and its duration; its argv stay."""
    budgets = budgets_of(job)
    share = budgets[number - 1] / budgets[-1]
    goal = (job.goal[0], budgets[number - 1]) if job.goal else None
    return replace(job, goal=goal, seconds=job.seconds * share, tokens=round(job.tokens * share))


def _beyond(job: Job, limits: Mapping[str, int]) -> bool:
    """Tell whether a job reads the checkpoint of a budget that is not to be run."""
    return any(budget_number(name) > limits.get(maker, math.inf) for name, maker in job.reads.items())


def _without(job: Job, dropped: set[str]) -> Job:
    """Return a job that reads nothing of the dropped ones (the fit)."""
    if not dropped & set(job.needs):
        return job
    files = {name for name, maker in job.reads.items() if maker in dropped}
    gone = files | {name.rpartition("/")[0] for name in files}
    return replace(
        job,
        argv=[word for word in job.argv if word not in gone],
        needs=[need for need in job.needs if need not in dropped],
        reads={name: maker for name, maker in job.reads.items() if name not in files},
    )
