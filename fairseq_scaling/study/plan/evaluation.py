"""The translation and the scores of each finetuned model, for each test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..settings.given import scoring_options
from ..stages import STAGES
from . import pricing
from .flags import Argv, flags, options
from .jobs import Job, Work
from .names import job_id, with_subset

if TYPE_CHECKING:
    from ..settings.config import Study
    from .context import Context

# The bound on the length matters: a model that has learnt little does not end its sentences.
GENERATION_DEFAULTS = {
    "max-tokens": 6000,
    "max-len-a": 2,
    "max-len-b": 10,
    "remove-bpe": "sentencepiece",
    "num-workers": 0,
    "required-batch-size-multiple": 1,
}


def evaluation_jobs(
    context: Context, finetune: Job, task: tuple[str, str], label: str, subsets: Sequence[str] | None = None
) -> Iterator[Job]:
    """Yield translation and score of a finetuned model, for each of ``subsets`` (None: those of study.yaml).

    The files of the first test set are ``generate.txt`` and ``scores.json``; those of a further one name it.
    """
    study, folder = context.study, finetune.folder
    work = pricing.translation(context.shape, study.translation.beam) if context.shape else Work()
    for number, subset in enumerate(subsets or study.translation.subset):
        mark = subset if number else ""
        own = f"{label} {mark}" if mark else label
        model = finetune.checkpoint
        generated = f"{folder}/{with_subset('generate.txt', mark)}"
        scores = f"{folder}/{with_subset('scores.json', mark)}"
        translate = Job(
            id=job_id("translate", folder, mark),
            stage="translate",
            label=f"translate {own}",
            argv=_translate(study, task, model, subset),
            needs=[finetune.id],
            reads={model: finetune.id},
            writes=[generated],
            output=generated,
            log=f"{folder}/{with_subset('generate.log', mark)}",
            seconds=context.seconds("translate", work, work.decoder_positions),
            work=work,
            group="translate",
            candidate=finetune.candidate,
        )
        yield translate
        yield Job(
            id=job_id("score", folder, mark),
            stage="score",
            label=f"score {own}",
            argv=_score(study, task, generated, scores, subset),
            needs=[translate.id],
            reads={generated: translate.id},
            writes=[scores],
            log=f"{folder}/{with_subset('score.log', mark)}",
            seconds=STAGES["score"].seconds,
            group="score",
            candidate=finetune.candidate,
        )


def _translate(study: Study, task: tuple[str, str], model: str, subset: str) -> Argv:
    """Return the command; the translations come on standard output."""
    return [
        "fairseq-generate", "{corpus}", "--user-dir", "{package}", "--task", "scaling_translation",
        *flags({
            "source-lang": task[0],
            "target-lang": task[1],
            "path": f"{{out}}/{model}",
            "gen-subset": subset,
            "beam": study.translation.beam,
        }),
        *flags({**GENERATION_DEFAULTS, **study.translation.fairseq}),
    ]  # fmt: skip


def _score(study: Study, task: tuple[str, str], generated: str, scores: str, subset: str) -> Argv:
    return [
        "score-translations", f"{{out}}/{generated}",
        *flags({
            "corpus": "{corpus}",
            "source-lang": task[0],
            "target-lang": task[1],
            "subset": subset,
            "out": f"{{out}}/{scores}",
        }),
        *options(scoring_options(study, task)),
    ]  # fmt: skip
