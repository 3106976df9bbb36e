"""The jobs that make a corpus: fetch, clean, sentencepiece, encode; and the measurement of alignment on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..settings.given import DICTIONARY, SENTENCEPIECE
from ..stages import STAGES
from .flags import Argv, options
from .jobs import Job
from .names import ALIGNMENT

if TYPE_CHECKING:
    from ..settings.config import Study
    from ..settings.sections import Text
    from .context import Context


def text_jobs(context: Context) -> Iterator[Job]:
    """Yield the jobs that make the corpus; none where the study is given one."""
    text = context.study.text
    if text is None:
        return
    trained = ["sentencepiece/text"] if text.vocabulary is None else []
    steps = [
        ("fetch", "fetch text", _fetch(text), "text/raw/raw.json", []),
        ("clean", "clean text", _clean(text), "text/clean/clean.json", ["fetch/text"]),
        ("sentencepiece", "train SentencePiece", _sentencepiece(text), "text/sentencepiece.model", ["clean/text"]),
        ("encode", "encode", _encode(text), "corpus/corpus.json", ["clean/text", *trained]),
    ]
    for stage, label, argv, output, needs in steps:
        if stage == "sentencepiece" and not trained:
            continue
        yield Job(
            id=f"{stage}/text",
            stage=stage,
            label=label,
            argv=[*argv, "--overwrite"],  # what an earlier start has left there
            needs=needs,
            writes=[output],
            log=f"logs/{stage}.log",
            seconds=STAGES[stage].seconds,
            kept=context.corpus_bytes if stage == "encode" else 0,
            group="make the corpus",
        )


def alignment_jobs(context: Context) -> Iterator[Job]:
    """Yield the measurement of all mixtures against all tasks; none where nothing is pretrained."""
    if not context.study.pretraining.mixtures:
        return
    yield Job(
        id="alignment/corpus",
        stage="alignment",
        label="measure alignment",
        argv=_alignment(context.study),
        needs=context.after_corpus,
        writes=[ALIGNMENT],
        log="logs/alignment.log",
        seconds=STAGES["alignment"].seconds,
        group="measure alignment",
    )


def _fetch(text: Text) -> Argv:
    pairs = ",".join("-".join(pair) for pair in text.pairs)
    what = {"source": text.source, "languages": ",".join(text.languages), "pairs": pairs, "out": "{out}/text/raw"}
    return ["scaling-preprocess", "fetch", *options(what), *options(text.fetch)]


def _clean(text: Text) -> Argv:
    return ["scaling-preprocess", "clean", "{out}/text/raw", "--out", "{out}/text/clean", *options(text.clean)]


def _sentencepiece(text: Text) -> Argv:
    return [
        "scaling-preprocess", "train-sentencepiece", "{out}/text/clean",
        "--out", "{out}/text/sentencepiece.model", *options(text.sentencepiece),
    ]  # fmt: skip


def _encode(text: Text) -> Argv:
    model = ["{out}/text/sentencepiece.model"]
    if text.vocabulary is not None:
        model = [SENTENCEPIECE, "--dictionary", DICTIONARY]
    return [
        "scaling-preprocess", "encode", "{out}/text/clean",
        "--model", *model, "--out", "{corpus}", *options(text.encode),
    ]  # fmt: skip


def _alignment(study: Study) -> Argv:
    tasks = ["-".join(task) for task in study.finetuning.tasks]
    mixtures = [str(mixture) for mixture in study.pretraining.mixtures]
    what = options({"task": tasks, "mixture": mixtures, "out": f"{{out}}/{ALIGNMENT}"})
    return ["scaling-alignment", "{corpus}", *what, *options(study.alignment)]
