"""The finetunings of a study: one for each task, D_f, start and seed, each followed by its evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ...quantities import format_tokens
from ..settings.given import checkpoint_placeholder
from . import choice, pricing
from .evaluation import evaluation_jobs
from .flags import batch_tokens, fairseq_train, finetuning_settings, flags
from .jobs import UNFINISHED, Job, Work
from .names import (
    checkpoint,
    choice_folder,
    exact_tokens,
    finetuning_folder,
    job_id,
    rate_file,
    seed_label,
    start_folder,
    train_log,
)

if TYPE_CHECKING:
    from ..settings.sections import Start
    from .context import Context


class Finetuning(NamedTuple):
    """What a finetuning is about, without its seed; ``folder`` is that of all its seeds."""

    task: tuple[str, str]
    finetune_tokens: int
    start: Start

    @property
    def folder(self) -> str:
        return finetuning_folder(self.task, self.finetune_tokens, self.start)

    @property
    def starting_flags(self) -> dict[str, str]:
        """The flags that say what it starts from; none for the baseline."""
        if self.start.checkpoint is not None:
            place = checkpoint_placeholder(self.start.checkpoint)
            return {"finetune-from-model": place, "start-name": self.start.checkpoint}
        return {"finetune-from-model": f"{{out}}/{checkpoint(start_folder(self.start))}"} if self.start.mixture else {}


def finetuning_jobs(context: Context) -> Iterator[Job]:
    """Yield finetuning, translation and score of every start; the baselines first: they need no pretraining."""
    for run in context.study.finetunings():
        yield from _seeds(context, Finetuning(*run))


def _seeds(context: Context, run: Finetuning) -> Iterator[Job]:
    """Yield the runs of all seeds; before them, where the learning rate is to be chosen, the candidates."""
    section, start = context.study.finetuning, run.start
    group = f"finetune {'-'.join(run.task)}, D_f {format_tokens(run.finetune_tokens)}"
    needs, reads = context.after_corpus, {}
    if start.mixture is None or start.pretrain_tokens is None:
        label = start.checkpoint or "baseline"
        group = f"{group}, {label}"
    else:
        label = f"{start.mixture} {format_tokens(start.pretrain_tokens)}"
        label += seed_label(start.seed, context.study.pretraining.seeds)
        maker = job_id("pretrain", start_folder(start))
        needs, reads = [*needs, maker], {checkpoint(start_folder(start)): maker}
    label = f"{label} {'-'.join(run.task)} {format_tokens(run.finetune_tokens)}"
    file, asked = rate_file(run.folder), section.learning_rates
    rate = choice.placeholder(file) if asked else None
    if asked and finetuning_settings(context.study, *run, rate)[1]["lr"] == rate:
        candidates = {}
        for lr in asked.grid:  # with the first seed
            folder, own = f"{choice_folder(run.folder)}/lr{lr}", f"try lr {lr}, {label}"
            job = replace(
                _finetuning(context, run, section.seeds[0], folder, lr, asked.by),
                label=own, needs=needs, reads=reads, candidate=True, group="finetune: try learning rates",
            )  # fmt: skip
            by_score = asked.by != "cross_entropy"
            candidates[lr] = [job, *(evaluation_jobs(context, job, run.task, own, ["valid"]) if by_score else ())]
            yield from candidates[lr]
        yield choice.choice_job(run.folder, asked.by, candidates, label)
        needs, reads = [*needs, f"choose/{run.folder}"], {**reads, file: f"choose/{run.folder}"}
    for seed in section.seeds:
        job = _finetuning(context, run, seed, f"{run.folder}/seed{seed}", rate)
        own = label + seed_label(seed, section.seeds)
        yield replace(job, label=f"finetune {own}", needs=needs, reads=reads, group=group)
        yield from evaluation_jobs(context, job, run.task, own)


def _finetuning(
    context: Context, run: Finetuning, seed: int, folder: str, rate: str | None, chosen_by: str | None = None
) -> Job:
    """Return one finetuning, or a candidate for its learning rate, which is ``chosen_by`` cross-entropy or a score.

    A candidate reads no test set, and saves its model only where that must translate: there are many candidates.
    """
    study, section = context.study, context.study.finetuning
    updates, settings = finetuning_settings(study, *run, rate)
    trained = updates * batch_tokens(study, settings)
    work, kept = Work(), 0
    if context.shape is not None:
        work = pricing.finetuning(context.shape, trained)
        kept = 0 if chosen_by == "cross_entropy" else pricing.checkpoint_bytes(context.shape, settings)
    further = [subset for subset in study.translation.subset if subset not in ("valid", "test")]
    subsets = ["valid"] if chosen_by else ["valid", "test", *further]
    if section.upstream_validation and run.start.mixture is not None and not chosen_by:
        subsets += [f"upstream_{language}" for language in run.start.mixture]
    argv = [
        *fairseq_train("scaling_translation", study),
        *flags({
            "source-lang": run.task[0],
            "target-lang": run.task[1],
            "finetune-tokens": exact_tokens(run.finetune_tokens),
            **run.starting_flags,
            "valid-subset": subsets,
            "max-update": updates,
            "seed": seed,
            "save-dir": f"{{out}}/{folder}/{UNFINISHED}",
            "no-epoch-checkpoints": True,
            "no-save": chosen_by == "cross_entropy",
        }),
        *flags(settings),
    ]  # fmt: skip
    return Job(
        id=job_id("finetune", folder),
        stage="finetune",
        label="",
        argv=argv,
        writes=[train_log(folder), checkpoint(folder)],
        result="" if chosen_by == "cross_entropy" else "checkpoint_last.pt",
        log=train_log(f"{folder}/{UNFINISHED}"),
        seconds=context.seconds("finetune", work, trained),
        goal=("num_updates", updates),
        tokens=trained,
        work=work,
        kept=kept,
    )
