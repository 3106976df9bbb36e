"""The jobs that make a corpus: fetch, clean, sentencepiece, encode; and the measurement of alignment on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..settings.given import DICTIONARY, SENTENCEPIECE
from ..stages import STAGES
from .flags import options
from .jobs import Job
from .names import ALIGNMENT

if TYPE_CHECKING:
    from .context import Context


def text_jobs(context: Context) -> Iterator[Job]:
    """Yield the jobs that make the corpus; none where the study is given one."""
    text = context.study.text
    if text is None:
        return
    raw, clean, trained = "{out}/text/raw", "{out}/text/clean", "{out}/text/sentencepiece.model"
    pairs = ",".join("-".join(pair) for pair in text.pairs)
    asked = options({"source": text.source, "languages": ",".join(text.languages), "pairs": pairs, "out": raw})
    given = text.vocabulary is not None
    model = [SENTENCEPIECE, "--dictionary", DICTIONARY] if given else [trained]
    steps = [
        ("fetch", "fetch text", [*asked, *options(text.fetch)], "text/raw/raw.json", []),
        ("clean", "clean text", [raw, "--out", clean, *options(text.clean)], "text/clean/clean.json", ["fetch/text"]),
        (
            "sentencepiece", "train SentencePiece",
            [clean, "--out", trained, *options(text.sentencepiece)], "text/sentencepiece.model", ["clean/text"],
        ),
        (
            "encode", "encode", [clean, "--model", *model, "--out", "{corpus}", *options(text.encode)],
            "corpus/corpus.json", ["clean/text", *([] if given else ["sentencepiece/text"])],
        ),
    ]  # fmt: skip
    for stage, label, words, output, needs in steps:
        if stage == "sentencepiece" and given:
            continue
        step = "train-sentencepiece" if stage == "sentencepiece" else stage
        yield Job(
            id=f"{stage}/text",
            stage=stage,
            label=label,
            argv=["scaling-preprocess", step, *words, "--overwrite"],  # what an earlier start has left there
            needs=needs,
            writes=[output],
            log=f"logs/{stage}.log",
            seconds=STAGES[stage].seconds,
            kept=context.corpus_bytes if stage == "encode" else 0,
            group="make the corpus",
        )


def alignment_jobs(context: Context) -> Iterator[Job]:
    """Yield the measurement of all mixtures against all tasks; none where nothing is pretrained."""
    study = context.study
    if not study.pretraining.mixtures:
        return
    tasks = ["-".join(task) for task in study.finetuning.tasks]
    mixtures = [str(mixture) for mixture in study.pretraining.mixtures]
    measured = options({"task": tasks, "mixture": mixtures, "out": f"{{out}}/{ALIGNMENT}"})
    yield Job(
        id="alignment/corpus",
        stage="alignment",
        label="measure alignment",
        argv=["scaling-alignment", "{corpus}", *measured, *options(study.alignment)],
        needs=context.after_corpus,
        writes=[ALIGNMENT],
        log="logs/alignment.log",
        seconds=STAGES["alignment"].seconds,
        group="measure alignment",
    )
