"""Whether a finished corpus holds what a study asks of it, found out before the first training and not in its last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ScalingError, SettingError
from ...mixture import Mixture
from ...quantities import format_tokens, parse_tokens
from . import pricing
from .jobs import budgets_of, mixture_of

if TYPE_CHECKING:
    from ...data.corpus import Corpus
    from .jobs import Job, Plan


def find_corpus(path: Path) -> Corpus | None:
    """Return the corpus in a folder, or None where it is not made yet.

    None, too, where a program of the person's own (in SCALING_STUDY_PROGRAMS) stands for scaling-preprocess: what that
    makes need not be such a corpus.

    Raises:
        DataError: the corpus is damaged.
    """
    from ...data.corpus import MANIFEST, Corpus

    programs = os.environ.get("SCALING_STUDY_PROGRAMS")
    if programs and shutil.which("scaling-preprocess", path=programs):
        return None
    return Corpus.open(path) if (path / MANIFEST).is_file() else None


def check_text(plan: Plan, corpus: Corpus) -> None:
    """Compare what the trainings of a study read with what its corpus holds.

    Raises:
        SettingError: budgets, finetuning tokens or the upstream validation need more text than there is, or a language
            or pair is missing; all such mistakes are named at once, with the largest possible values.
    """
    # Runs that differ in their seed alone say the same.
    problems = dict.fromkeys([*_pretraining_problems(plan, corpus), *_finetuning_problems(plan, corpus)])
    if problems:
        remedy = "change the study, or give more text and make the corpus again"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SettingError("corpus", corpus.path, f"too little text\n{lines}", remedy)


def _pretraining_problems(plan: Plan, corpus: Corpus) -> Iterator[str]:
    for job in plan.of_stage("pretrain"):
        try:
            _check_pretraining(job, corpus)
        except ScalingError as error:
            what = "learning rates for the pretraining" if job.candidate else "pretraining"
            yield f"{what} of {mixture_of(job)}: {error}"


def _check_pretraining(job: Job, corpus: Corpus) -> None:
    from ...data.plan import PretrainingPlan, parse_repeat

    mixture = Mixture.parse(job.flag("mixture"))
    settings = {name: job.flag(name) or None for name in pricing.CORRUPTION_FLAGS}
    blocks = pricing.corruption(int(job.flag("input-length")), settings)
    tokens = {language: corpus.mono(language).tokens for language in mixture}
    repeat = parse_repeat(job.flag("repeat", "1"), mixture.languages)
    PretrainingPlan(mixture, tokens, blocks.block_length, budgets_of(job), seed=1, repeat=repeat)
    for language in mixture:
        if (held := corpus.mono(language, "valid").tokens) < blocks.block_length:
            message = f"{held} tokens do not fill one block of {blocks.block_length}"
            raise SettingError(f"validation text of {language}", held, message)


def _finetuning_problems(plan: Plan, corpus: Corpus) -> Iterator[str]:
    largest: dict[tuple[str, str], int] = {}
    for job in plan.of_stage("finetune"):
        task = (job.flag("source-lang"), job.flag("target-lang"))
        largest[task] = max(largest.get(task, 0), parse_tokens(job.flag("finetune-tokens")))
    for task, tokens in largest.items():
        name = "-".join(task)
        try:
            held = sum(file.tokens for file in corpus.pair(*task, "train"))
        except ScalingError as error:
            yield f"finetuning of {name}: {error}"
            continue
        if tokens > held:
            yield (
                f"finetuning of {name}: finetune_tokens = {format_tokens(tokens)}: the corpus holds {held} tokens of "
                "training pairs"
            )
