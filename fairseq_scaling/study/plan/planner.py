"""A study as a list of jobs. Pure: it reads and writes no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..settings.given import fitting_options, given_files
from ..stages import STAGES, position
from . import pricing
from .context import Context
from .finetuning import finetuning_jobs
from .flags import options
from .jobs import Job, Plan
from .pretraining import pretraining_jobs
from .text import alignment_jobs, text_jobs

if TYPE_CHECKING:
    from ..settings.config import Study


def make_plan(study: Study, vocabulary: int | None = None) -> Plan:
    """Return the jobs of a study.

    Pretraining: mixtures x seeds. Finetuning, translation and scores: tasks x finetune_tokens x seeds x (mixtures x
    pretraining seeds x budgets + given checkpoints + the baseline). Where learning rates are to be chosen, a run for
    each of them before, and the choice. One measurement of alignment where there are mixtures, and one fit over all.

    Args:
        study: what to plan.
        vocabulary: rows of the embedding, for the price; None: what is to be expected of the study's text.
    """
    context = Context.of(study, vocabulary or pricing.expected_vocabulary(study))
    jobs = [
        *text_jobs(context),
        *alignment_jobs(context),
        *pretraining_jobs(context),
        *finetuning_jobs(context),
    ]
    jobs.sort(key=_order)
    jobs.append(_fit_job(study, jobs))
    corpus = "corpus" if study.corpus is None else str(study.folder / study.corpus)
    jobs = [_with_resources(study, job) for job in jobs]
    return Plan(study.name, jobs, corpus, str(study.folder), study.threads, given_files(study))


def _order(job: Job) -> tuple[int, int, int]:
    """Return the sorting key of a job: candidates come before the choice, the choice before the runs that need it."""
    stage = position(job.stage)
    if stage <= position("alignment"):
        return 0, 0, stage
    part = 1 if job.stage == "pretrain" or job.id.startswith("choose/pretraining") else 2
    return part, 1 if job.stage == "choose" else 0 if job.candidate else 2, stage


def _with_resources(study: Study, job: Job) -> Job:
    asked = study.resources_of[job.stage]
    named = {"mem_mb": asked.memory, "runtime": asked.time, "gpu": asked.gpus}
    told = {name: value for name, value in named.items() if value is not None} | asked.snakemake
    return replace(job, threads=asked.threads or study.threads, resources=told)


def _fit_job(study: Study, jobs: Sequence[Job]) -> Job:
    """Return the fit over the runs that are reported. Candidates, and runs of earlier settings, are left out.

    The job runs in the study's folder, so that the results name the runs in the same way wherever the study lies.
    """
    reported = [job for job in jobs if job.stage in ("pretrain", "finetune", "score") and not job.candidate]
    makers = {job.writes[0]: job.id for job in reported}
    folders = dict.fromkeys(path.rsplit("/", 1)[0] for path in makers)  # several files of scores in one folder
    alignment = {job.writes[0]: job.id for job in jobs if job.stage == "alignment"}
    makers |= alignment
    return Job(
        id="fit/results",
        stage="fit",
        label="fit the laws",
        argv=["fit-scaling", *folders, *alignment, "--out", "results", *options(fitting_options(study))],
        needs=list(makers.values()),
        reads=makers,
        writes=["results"],
        output="results/table.txt",
        log="logs/fit.log",
        seconds=STAGES["fit"].seconds,
        group="fit the laws",
    )
