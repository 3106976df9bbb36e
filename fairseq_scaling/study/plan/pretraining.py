"""The pretrainings of a study: one run for each mixture and seed, cut into a job for each budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...mixture import Mixture
from ...quantities import format_tokens
from ..settings.given import checkpoint_placeholder
from . import choice, pricing
from .flags import Argv, fairseq_train, flags, pretraining_settings
from .jobs import UNFINISHED, Job, Work
from .names import (
    checkpoint,
    choice_folder,
    exact_tokens,
    job_id,
    mixture_name,
    pretraining_folder,
    rate_file,
    seed_label,
    train_log,
)

if TYPE_CHECKING:
    from .context import Context


def pretraining_jobs(context: Context) -> Iterator[Job]:
    """Yield the pretrainings; before them, where learning rates are to be chosen, the runs that try them."""
    section = context.study.pretraining
    asked = section.learning_rates
    deciding = None
    for mixture in section.mixtures:
        tried = f"pretraining/{mixture_name(mixture if deciding is None else deciding)}"
        file = rate_file(tried)
        rate = choice.placeholder(file) if asked else None
        needs, reads = context.after_corpus, {}
        # An override of this mixture may give a rate of its own.
        if asked and pretraining_settings(context.study, mixture, rate)["lr"] == rate:
            if deciding is None:
                yield from _candidates(context, mixture, tried)
                deciding = mixture if asked.per == "study" else None
            needs, reads = [*needs, f"choose/{tried}"], {file: f"choose/{tried}"}
        for seed in section.seeds:
            label = f"pretrain {mixture}" + seed_label(seed, section.seeds)
            before: dict[str, str] = {}
            for number, budget in enumerate(section.budgets_of(mixture), start=1):
                job = replace(
                    _pretraining(context, mixture, seed, rate, number),
                    label=f"{label} to {format_tokens(budget)}", needs=[*needs, *before.values()],
                    reads={**reads, **before}, group=f"pretrain {mixture}",
                )  # fmt: skip
                yield job
                before = {job.checkpoint: job.id}


def _candidates(context: Context, mixture: Mixture, tried: str) -> Iterator[Job]:
    """Yield a short pretraining for each learning rate, and the choice between them."""
    section = context.study.pretraining
    asked = section.learning_rates
    assert asked is not None
    candidates = {}
    for rate in asked.grid:
        job = _candidate(context, mixture, f"{choice_folder(tried)}/lr{rate}", rate, asked.budget)
        label = f"try lr {rate}, pretrain {mixture}"
        group = "pretrain: try learning rates"
        candidates[rate] = [replace(job, label=label, needs=context.after_corpus, group=group)]
        yield from candidates[rate]
    yield choice.choice_job(tried, "cross_entropy", candidates, f"{mixture}")


def _pretraining(context: Context, mixture: Mixture, seed: int, rate: str | None, number: int) -> Job:
    """Return the pretraining from one budget to the next.

    It continues from the checkpoint of the budget before, bit for bit as one run would. A single run could not be used
    before its last budget, nor could a budget be added to it.
    """
    budgets = context.study.pretraining.budgets_of(mixture)
    budget, before = budgets[number - 1], budgets[number - 2] if number > 1 else 0
    folder = pretraining_folder(mixture, seed, budget)
    work, kept = _cost(context, mixture, rate, budget)
    argv = _argv(context, mixture, seed, folder, rate, budgets)
    if before:
        work = work.minus(_cost(context, mixture, rate, before)[0])
        start = checkpoint(pretraining_folder(mixture, seed, before))
        argv += flags({"continue-once": f"{{out}}/{start}"})
    argv += flags({"max-epoch": number})  # an epoch ends at each budget
    job = _job(context, folder, argv, budget, before, work)
    return replace(job, result=f"checkpoint{number}.pt", kept=kept)


def _candidate(context: Context, mixture: Mixture, folder: str, rate: str, budget: int) -> Job:
    """Return a short pretraining. No job reads its checkpoint, so it leaves none."""
    work, _ = _cost(context, mixture, rate, budget)
    argv = _argv(context, mixture, context.study.pretraining.seeds[0], folder, rate, [budget])
    return replace(_job(context, folder, [*argv, "--no-epoch-checkpoints"], budget, 0, work), candidate=True)


def _job(context: Context, folder: str, argv: Argv, budget: int, before: int, work: Work) -> Job:
    """Return the job of a pretraining from ``before`` to ``budget`` tokens."""
    return Job(
        id=job_id("pretrain", folder),
        stage="pretrain",
        label="",
        argv=argv,
        writes=[train_log(folder), checkpoint(folder)],
        log=train_log(f"{folder}/{UNFINISHED}"),
        seconds=context.seconds("pretrain", work, budget - before),
        goal=("pretrain_tokens", budget),
        goal_start=before,
        tokens=budget - before,
        work=work,
    )


def _argv(
    context: Context, mixture: Mixture, seed: int, folder: str, rate: str | None, budgets: list[int]
) -> Argv:  # fmt: skip
    section = context.study.pretraining
    return [
        *fairseq_train("scaling_pretraining", context.study),
        *flags({
            "mixture": str(mixture),
            "budgets": ",".join(map(exact_tokens, budgets)),
            "repeat": section.repeat_of(mixture),
            "start-from": None if section.start is None else checkpoint_placeholder(section.start),
            "start-name": section.start,
            "input-length": section.input_length,
            "seed": seed,
            "save-dir": f"{{out}}/{folder}/{UNFINISHED}",
        }),
        *flags(pretraining_settings(context.study, mixture, rate)),
    ]  # fmt: skip


def _cost(context: Context, mixture: Mixture, rate: str | None, budget: int) -> tuple[Work, int]:
    """Return the work of a pretraining from nothing to a budget, and the bytes of its checkpoint."""
    if context.shape is None:
        return Work(), 0
    work = pricing.pretraining(context.study, context.shape, mixture, budget)
    return work, pricing.checkpoint_bytes(context.shape, pretraining_settings(context.study, mixture, rate))
