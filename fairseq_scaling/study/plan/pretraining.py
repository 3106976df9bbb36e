"""The pretrainings of a study: one for each mixture and seed, with a checkpoint at each budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...mixture import Mixture
from ..settings.given import checkpoint_placeholder
from . import choice, pricing
from .flags import Argv, fairseq_train, flags, pretraining_settings
from .jobs import Job, Work
from .names import choice_file, choice_folder, exact_tokens, job_id, mixture_name, pretraining_folder, seed_label

if TYPE_CHECKING:
    from .planner import Context


def pretraining_jobs(context: Context) -> Iterator[Job]:
    """Yield the pretrainings; before them, where learning rates are to be chosen, the runs that try them."""
    section = context.study.pretraining
    asked = section.learning_rates
    deciding = None
    for mixture in section.mixtures:
        tried = f"pretraining/{mixture_name(mixture if deciding is None else deciding)}"
        file = choice_file(tried)
        rate = choice.placeholder(file) if asked else None
        needs, reads = context.after_corpus, {}
        # An override of this mixture may give a rate of its own.
        if asked and pretraining_settings(context.study, mixture, rate)["lr"] == rate:
            if deciding is None:
                yield from _candidates(context, mixture, tried)
                deciding = mixture if asked.per == "study" else None
            needs, reads = [*needs, f"choose/{tried}"], {file: f"choose/{tried}"}
        for seed in section.seeds:
            folder = pretraining_folder(mixture, seed)
            job = _pretraining(context, mixture, seed, folder, rate, section.budgets_of(mixture))
            label = f"pretrain {mixture}" + seed_label(seed, section.seeds)
            yield replace(job, label=label, needs=needs, reads=reads, group=f"pretrain {mixture}")


def _candidates(context: Context, mixture: Mixture, tried: str) -> Iterator[Job]:
    """Yield a short pretraining for each learning rate, and the choice between them."""
    section = context.study.pretraining
    asked = section.learning_rates
    assert asked is not None
    candidates = {}
    for rate in asked.grid:
        folder = f"{choice_folder(tried)}/lr{rate}"
        job = _pretraining(context, mixture, section.seeds[0], folder, rate, [asked.budget], candidate=True)
        label = f"try lr {rate}, pretrain {mixture}"
        candidates[rate] = replace(
            job, label=label, needs=context.after_corpus, group="pretrain: try learning rates"
        )  # fmt: skip
        yield candidates[rate]
    yield choice.choice_job(tried, "cross_entropy", candidates, f"{mixture}")


def _pretraining(
    context: Context, mixture: Mixture, seed: int, folder: str, rate: str | None, budgets: list[int],
    candidate: bool = False,
) -> Job:  # fmt: skip
    settings = pretraining_settings(context.study, mixture, rate)
    section = context.study.pretraining
    work, kept = Work(), 0
    if context.shape is not None:
        work = pricing.pretraining(context.study, context.shape, mixture, budgets[-1])
        updates = pricing.pretraining_updates(context.study, mixture, budgets[-1])
        kept = pricing.kept_bytes(context.shape, settings, updates, 0 if candidate else len(budgets))
    argv: Argv = [
        *fairseq_train("scaling_pretraining", context.study),
        *flags({
            "mixture": str(mixture),
            "budgets": ",".join(map(exact_tokens, budgets)),
            "repeat": section.repeat_of(mixture),
            "start-from": None if section.start is None else checkpoint_placeholder(section.start),
            "start-name": section.start,
            "input-length": section.input_length,
            "seed": seed,
            "save-dir": f"{{out}}/{folder}",
            # No job reads a checkpoint of a candidate: it keeps only the one to resume from.
            "no-epoch-checkpoints": candidate,
        }),
        *flags(settings),
    ]  # fmt: skip
    return Job(
        id=job_id("pretrain", folder),
        stage="pretrain",
        label="",
        argv=argv,
        writes=[f"{folder}/train.log"],
        owns=[folder],
        log=f"{folder}/train.log",
        seconds=context.seconds("pretrain", work, budgets[-1]),
        goal=("pretrain_tokens", budgets[-1]),
        candidate=candidate,
        tokens=budgets[-1],
        work=work,
        kept=kept,
    )
