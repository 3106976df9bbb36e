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
from .flags import PAIR_TOKENS
from .jobs import budgets_of, mixture_of

if TYPE_CHECKING:
    from ...data.corpus import Corpus
    from ..run.folder import StudyFolder
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


def made_corpus(plan: Plan, folder: StudyFolder) -> Corpus | None:
    """Return the corpus of a study, or None where it is not made yet or will be made again: its size may change then.

    Raises:
        DataError: the corpus is damaged.
    """
    is_made = all(folder.has_made(job) for job in plan.until("encode"))
    return find_corpus(folder.corpus(plan)) if is_made else None


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


def unread(plan: Plan, corpus: Corpus | None = None) -> list[str]:
    """Return a line for each task with numbers of finetuning tokens that its runs have too few updates to read.

    Args:
        plan: the jobs.
        corpus: whose pairs are counted exactly; None: pairs of the length that prices are guessed with.
    """
    most: dict[tuple[str, int], tuple[int, int]] = {}
    known: dict[tuple[str, ...], tuple[int, int]] = {}
    for job in plan.reported("finetune"):
        # runs that differ in their seed or start alone read alike
        same = tuple(job.flag(name) for name in _READING) + (str(job.resources.get("gpu")),)
        if same not in known:
            known[same] = _read_and_taken(job, corpus)
        size = f"{job.flag('source-lang')}-{job.flag('target-lang')}", parse_tokens(job.flag("finetune-tokens"))
        most[size] = max(most.get(size, (0, 0)), known[same])
    sizes: dict[tuple[str, int], list[str]] = {}
    for (task, tokens), (read, taken) in most.items():
        if read < taken:
            sizes.setdefault((task, read), []).append(format_tokens(tokens))
    about = "about " if corpus is None else ""
    return [
        f"{task}: finetuning reads {about}{format_tokens(read)} tokens, fewer than D_f = {', '.join(too_large)}. "
        "Raise finetuning.updates or the batch, or leave these out."
        for (task, read), too_large in sizes.items()
    ]


# What decides how much a finetuning reads, beside its GPUs.
_READING = (
    "source-lang", "target-lang", "finetune-tokens", "max-update", "max-tokens", "batch-size", "update-freq",
    "source-prefix",
)  # fmt: skip


def _read_and_taken(job: Job, corpus: Corpus | None) -> tuple[int, int]:
    """Return how many tokens of its set a finetuning reads, and how many these are."""
    import numpy as np

    from ...data.pairs import readable_tokens

    max_tokens, max_sentences = (int(float(job.flag(name, "0"))) or None for name in ("max-tokens", "batch-size"))
    finetune_tokens, seed = parse_tokens(job.flag("finetune-tokens")), int(job.flag("seed"))
    prefix = 0
    if corpus is None:
        # One pair stands for a batch: what a batch of pairs of one length holds is all that counts.
        limits = (max_tokens, max_sentences and max_sentences * PAIR_TOKENS, finetune_tokens // 2)
        side = min(limit for limit in limits if limit)
        sizes = np.full((finetune_tokens // (2 * side), 2), side)
        max_tokens, max_sentences = None, 1
    else:
        files = corpus.pair(job.flag("source-lang"), job.flag("target-lang"), "train")
        sizes = np.stack([file.sizes.astype(np.int64) for file in files], axis=1)
        prefix = _pieces(corpus, job.flag("source-prefix"))
    return readable_tokens(
        sizes, finetune_tokens, seed, int(job.flag("max-update")), max_tokens, max_sentences,
        ranks=int(job.resources.get("gpu", 1)), update_freq=int(float(job.flag("update-freq", "1"))),
        prefix_length=prefix,
    )  # fmt: skip


def _pieces(corpus: Corpus, text: str) -> int:
    from sentencepiece import SentencePieceProcessor

    return len(SentencePieceProcessor(model_file=str(corpus.sentencepiece_path)).encode(text)) if text else 0
