"""Whether a finished corpus holds what a study asks of it, found out before the first training and not in its last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ScalingError, SettingError
from ..quantities import format_tokens
from . import pricing

if TYPE_CHECKING:
    from ..data.corpus import Corpus
    from .config import Study
    from .state import StudyFolder


def find_corpus(study: Study, folder: StudyFolder) -> Corpus | None:
    """Return the corpus of a study, or None where it is not made yet.

    None, too, with programs of the person's own (SCALING_STUDY_PROGRAMS): what they make need not be such a corpus.

    Raises:
        DataError: the corpus that the study names is damaged.
    """
    from ..data.corpus import MANIFEST, Corpus

    if os.environ.get("SCALING_STUDY_PROGRAMS"):
        return None
    path = folder.path / "corpus" if study.corpus is None else study.folder / study.corpus
    return Corpus.open(path) if (path / MANIFEST).is_file() else None


def check_text(study: Study, corpus: Corpus) -> None:
    """Compare what a study reads with what its corpus holds.

    Raises:
        SettingError: budgets, finetuning tokens or the upstream validation need more text than there is, or a language
            or pair is missing; all such mistakes are named at once, with the largest possible values.
    """
    problems = [*_pretraining_problems(study, corpus), *_finetuning_problems(study, corpus)]
    if problems:
        remedy = "change the study, or give more text and make the corpus again"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SettingError("corpus", corpus.path, f"too little text\n{lines}", remedy)


def _pretraining_problems(study: Study, corpus: Corpus) -> list[str]:
    from ..data.plan import PretrainingPlan

    problems = []
    for mixture in study.pretraining.mixtures:
        blocks = pricing.corruption(study, mixture)
        try:
            tokens = {language: corpus.mono(language).tokens for language in mixture}
            PretrainingPlan(mixture, tokens, blocks.block_length, study.pretraining.budgets_of(mixture), seed=1)
            for language in mixture:
                if (held := corpus.mono(language, "valid").tokens) < blocks.block_length:
                    message = f"{held} tokens do not fill one block of {blocks.block_length}"
                    raise SettingError(f"validation text of {language}", held, message)
        except ScalingError as error:
            problems.append(f"pretraining of {mixture}: {error}")
    return problems


def _finetuning_problems(study: Study, corpus: Corpus) -> list[str]:
    problems = []
    for task in study.finetuning.tasks:
        name = "-".join(task)
        try:
            held = sum(file.tokens for file in corpus.pair(*task, "train"))
        except ScalingError as error:
            problems.append(f"finetuning of {name}: {error}")
            continue
        largest = study.finetuning.sizes(task)[-1]
        if largest > held:
            problems.append(
                f"finetuning of {name}: finetune_tokens = {format_tokens(largest)}: the corpus holds {held} tokens of "
                "training pairs"
            )
    return problems
