"""Budgets in growing order, and no further one for a mixture whose verdict is settled: the paper's advice, carried out.

This changes the order of the work alone, no setting: a study that was run sequentially can be run in full later, and
nothing is done twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...mixture import Mixture
from ...quantities import format_tokens
from ..plan.flags import options
from ..plan.jobs import Job, Plan, budgets_of, mixture_of
from ..run.folder import StudyFolder
from ..run.job import NOTHING_FITTED
from ..run.pending import pending_jobs
from ..run.progress import format_duration
from .interim import fit_argv, run_fit

RunPlan = Callable[[Plan, Mapping[str, int]], int]
Pending = Callable[[Plan, StudyFolder], Sequence[Job]]
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


def run_sequentially(
    plan: Plan, folder: StudyFolder, run: RunPlan, tell: Callable[[str], None], ask: Pending = pending_jobs
) -> int:
    """Run a plan budget by budget; return how many jobs were done.

    The first round takes as many budgets as a verdict needs, and all that are evaluated already, so that the results
    leave out nothing that is there. A mixture is settled when the advice for each of its curves of the study's first
    score (BLEU, as a rule) is settled (see ``laws.Advice``) and was the same a budget before. The laws are
    deterministic: a run that was stopped comes to the same decisions again.

    Args:
        run: runs a part of the plan, in which mixtures stop after so many budgets (see ``workflow.run_plan``).
        tell: is given a text about each mixture that is settled.
        ask: tells which jobs of the plan have to run.

    Raises:
        DataError: the results hold no score.
    """
    from ...laws.verdict import FEWEST_BUDGETS

    last = budgets_by_mixture(plan)
    if not last:
        return run(plan, {})  # of checkpoints that the study is given there is nothing to stop
    waiting = {job.id for job in ask(plan, folder)}
    reached = {
        mixture: max(min(FEWEST_BUDGETS, len(budgets)), evaluated(plan, waiting, mixture))
        for mixture, budgets in last.items()
    }

    def limits_at(numbers: Mapping[str, int]) -> dict[str, int]:
        return {mixture: number for mixture, number in numbers.items() if number < len(last[mixture])}

    limits = limits_at(reached)
    remarks = folder.settled if limits else []  # what a run before this one has decided
    settled: dict[str, Settled] = {}
    before: Advice | None = None
    done = 0
    while True:
        reported = remarks
        done += run(limited(plan, limits, reported), limits)
        now = advice(folder.path / "results/fits.json")
        going = [mixture for mixture in limits if mixture not in settled]
        if before is None:
            older = [mixture for mixture in going if reached[mixture] > FEWEST_BUDGETS]
            part = limited(plan, limits_at({**reached, **{mixture: reached[mixture] - 1 for mixture in older}}))
            found = advice_apart(part, folder) if older else {}
            before = {mixture: curves for mixture, curves in found.items() if mixture in older}
        ended = [mixture for mixture in going if is_settled(now.get(mixture, {}), before.get(mixture, {}))]
        if ended:
            waiting = {job.id for job in ask(plan, folder)}
        for mixture in ended:
            settled[mixture] = _settle(plan, folder, waiting, mixture, reached[mixture], now[mixture])
            tell(str(settled[mixture]))
        before = now
        remarks = [str(one) for one in settled.values()]
        folder.write_limits(limits, remarks)
        going = [mixture for mixture in going if mixture not in settled]
        if not going:
            break
        reached |= {mixture: reached[mixture] + 1 for mixture in going}
        limits = limits_at(reached)
    if remarks != reported:
        # The report of the last round was made before its decisions, and knows the runs alone that there are.
        done += run(limited(plan, limits, remarks), limits)
    return done


def as_decided(plan: Plan, folder: StudyFolder) -> Plan:
    """Return the part of a study's plan that its sequential run, if its last run was one, has come to."""
    budgets = budgets_by_mixture(plan)
    limits = {mixture: number for mixture, number in folder.limits.items() if number < len(budgets.get(mixture, ()))}
    return limited(plan, limits, folder.settled) if limits else plan


def budgets_by_mixture(plan: Plan) -> dict[str, list[int]]:
    """Return mixture -> its budgets in tokens."""
    found: dict[str, list[int]] = {}
    for job in plan.reported("pretrain"):
        found[mixture_of(job)] = max(found.get(mixture_of(job), []), budgets_of(job), key=len)
    return found


def evaluated(plan: Plan, waiting: Set[str], mixture: str) -> int:
    """Return how many budgets of a mixture, from the first one on, are finetuned, translated and scored everywhere.

    ``waiting`` are the ids of the jobs that have to run.
    """
    undone = [number for job, number in _numbered(plan, mixture) if job.id in waiting]
    return min([number - 1 for number in undone], default=len(budgets_by_mixture(plan)[mixture]))


def limited(plan: Plan, limits: Mapping[str, int], remarks: Sequence[str] = ()) -> Plan:
    """Return the part of a plan in which mixtures stop after so many budgets (mixture -> number).

    ``remarks`` are for the report: why some do.
    """
    beyond = {job.id for mixture, limit in limits.items() for job, number in _numbered(plan, mixture) if number > limit}
    jobs = []
    for job in plan.jobs:
        if job.stage == "fit":
            left = _without(job, beyond)
            jobs.append(replace(left, argv=[*left.argv, *options({"remark": remarks})]))
        elif job.id not in beyond:
            jobs.append(job)
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
    """Return the advice of a plan whose runs are there, without touching the results (DataError: the fit fails)."""
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
    plan: Plan, folder: StudyFolder, waiting: Set[str], mixture: str, reached: int,
    curves: Mapping[str, tuple[str, str, bool]],
) -> Settled:  # fmt: skip
    jobs = _numbered(plan, mixture)
    left = [job for job, number in jobs if number > reached and job.id in waiting]
    budgets = budgets_by_mixture(plan)[mixture]
    return Settled(
        mixture=mixture,
        budget=budgets[reached - 1],
        largest=budgets[-1],
        advice={curve: sentence for curve, (_, sentence, _) in curves.items()},
        tokens=sum(job.tokens for job in left if job.stage == "pretrain"),
        runs=sum(job.stage == "finetune" for job in left),
        seconds=sum(job.seconds for job in left) * _measured(folder, jobs),
    )


def _numbered(plan: Plan, mixture: str) -> list[tuple[Job, int]]:
    """Return the jobs about the budgets of a mixture, each with the number of its budget, from 1."""
    return [(plan.by_id[name], number) for name, (of, number) in plan.budget_of.items() if of == mixture]


def _measured(folder: StudyFolder, jobs: Sequence[tuple[Job, int]]) -> float:
    """Return the measured duration of the finetunings that are done, divided by the planned one."""
    spent = planned = 0.0
    for job, _ in jobs:
        record = folder.record(job.id) if job.stage == "finetune" else None
        if record and record.get("seconds"):
            spent += float(record["seconds"])
            planned += job.seconds
    return spent / planned if planned else 1.0


def _without(fit: Job, dropped: Set[str]) -> Job:
    """Return the fit without what the dropped jobs make."""
    reads = {name: maker for name, maker in fit.reads.items() if maker not in dropped}
    gone = {name.rpartition("/")[0] for name in fit.reads} - {name.rpartition("/")[0] for name in reads}
    return replace(
        fit, argv=[word for word in fit.argv if word not in gone], needs=list(reads.values()), reads=reads
    )  # fmt: skip
