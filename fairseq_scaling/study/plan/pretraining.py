"""The pretrainings of a study: one run for each mixture and seed, cut into a job for each budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ...mixture import Mixture
from ...quantities import format_tokens
from ..settings.given import checkpoint_placeholder
from . import choice, pricing
from .flags import fairseq_train, flags, pretraining_settings
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
    from ..settings.sections import PretrainingRateChoice
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
                yield from _candidates(context, mixture, tried, asked)
                deciding = mixture if asked.per == "study" else None
            needs, reads = [*needs, f"choose/{tried}"], {file: f"choose/{tried}"}
        for seed in section.seeds:
            run = Pretraining(mixture, seed, rate, pretraining_folder(mixture, seed), section.budgets_of(mixture))
            label = f"pretrain {mixture}" + seed_label(seed, section.seeds)
            before: dict[str, str] = {}
            for number, budget in enumerate(run.budgets, start=1):
                job = _job(context, run, number, f"{label} to {format_tokens(budget)}", [*needs, *before.values()])
                yield replace(job, reads={**reads, **before}, group=f"pretrain {mixture}")
                before = {job.checkpoint: job.id}


class Pretraining(NamedTuple):
    """A run, or with ``is_candidate`` a short one that tries a learning rate, whose checkpoints no job reads."""

    mixture: Mixture
    seed: int
    rate: str | None
    folder: str
    budgets: list[int]
    is_candidate: bool = False

    def folder_at(self, number: int) -> str:
        """Return the folder of the training to a budget (numbered from 1)."""
        return self.folder if self.is_candidate else f"{self.folder}/{exact_tokens(self.budgets[number - 1])}"

    def cost(self, context: Context, number: int) -> tuple[Work, int]:
        """Return the work up to a budget (numbered from 1), and the bytes of its checkpoint."""
        if context.shape is None or not number:
            return Work(), 0
        budget = self.budgets[number - 1]
        settings = pretraining_settings(context.study, self.mixture, self.rate)
        work = pricing.pretraining(context.study, context.shape, self.mixture, budget)
        return work, 0 if self.is_candidate else pricing.checkpoint_bytes(context.shape, settings)


def _candidates(context: Context, mixture: Mixture, tried: str, asked: PretrainingRateChoice) -> Iterator[Job]:
    """Yield a short pretraining for each learning rate, and the choice between them."""
    seed, candidates = context.study.pretraining.seeds[0], {}
    for rate in asked.grid:
        run = Pretraining(mixture, seed, rate, f"{choice_folder(tried)}/lr{rate}", [asked.budget], True)
        job = _job(context, run, 1, f"try lr {rate}, pretrain {mixture}", context.after_corpus)
        candidates[rate] = [replace(job, group="pretrain: try learning rates", candidate=True)]
        yield from candidates[rate]
    yield choice.choice_job(tried, "cross_entropy", candidates, f"{mixture}")


def _job(context: Context, run: Pretraining, number: int, label: str, needs: list[str]) -> Job:
    """Return the pretraining from one budget to the next.

    It continues from the checkpoint of the budget before, bit for bit as one run would. A single run could not be used
    before its last budget, nor could a budget be added to it.
    """
    section, folder = context.study.pretraining, run.folder_at(number)
    budget, before = run.budgets[number - 1], run.budgets[number - 2] if number > 1 else 0
    work, kept = run.cost(context, number)
    work = work.minus(run.cost(context, number - 1)[0])
    start = f"{{out}}/{checkpoint(run.folder_at(number - 1))}" if before else None
    argv = [
        *fairseq_train("scaling_pretraining", context.study),
        *flags({
            "mixture": str(run.mixture),
            "budgets": ",".join(map(exact_tokens, run.budgets)),
            "repeat": section.repeat_of(run.mixture),
            "start-from": None if section.start is None else checkpoint_placeholder(section.start),
            "start-name": section.start,
            "input-length": section.input_length,
            "seed": run.seed,
            "save-dir": f"{{out}}/{folder}/{UNFINISHED}",
            "continue-once": start,
        }),
        *flags(pretraining_settings(context.study, run.mixture, run.rate)),
        # An epoch ends at each budget.
        *flags({"no-epoch-checkpoints": True} if run.is_candidate else {"max-epoch": number}),
    ]  # fmt: skip
    return Job(
        id=job_id("pretrain", folder),
        stage="pretrain",
        label=label,
        argv=argv,
        needs=needs,
        writes=[train_log(folder), checkpoint(folder)],
        result="" if run.is_candidate else f"checkpoint{number}.pt",
        log=train_log(f"{folder}/{UNFINISHED}"),
        seconds=context.seconds("pretrain", work, budget - before),
        goal=("pretrain_tokens", budget),
        goal_start=before,
        tokens=budget - before,
        work=work,
        kept=kept,
    )
