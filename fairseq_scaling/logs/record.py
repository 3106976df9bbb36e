"""What the logs of one run say: the run record, its scores, and what could not be read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..mixture import Mixture
from ..scores.score_file import Score

LN2 = math.log(2.0)


class Origin(NamedTuple):
    """Where a value stands: file as it was given, and line counted from 1 (0: the file as a whole)."""

    file: str
    line: int


@dataclass(frozen=True)
class RunRecord:
    """One run, joined from its train log, generate output and score files.

    A field is ``None`` where no file says it: nothing is guessed. ``pretrain_tokens`` is 0 for a baseline and ``None``
    when unknown (then a problem says so too).

    Attributes:
        stage: ``pretraining`` or ``finetuning`` (stock runs, unless a mapping says otherwise: ``finetuning`` when they
            translate, else ``pretraining``).
        run_id: 12 hexadecimal digits; for stock runs made from their configuration and mapping.
        pretrain_tokens: D_p; in a pretraining run the tokens consumed at its last log record.
        finetune_tokens: D_f, source and target tokens together.
        updates: number of updates at the last record; ``None`` where the log printed it with too few digits.
        scores: metric -> score, of the test set if there is one, else of valid (``details["subset"]`` says which).
            Metrics: ``bleu``, ``chrf``, ``ter``, ``wer``, ``rouge_l``, ``comet``.
        cross_entropy: nats per target token on the test set if there, else valid; ``nan`` or ``inf`` when diverged.
        cross_entropies: subset -> nats per target token at the last update; ``upstream_<lang>`` is the forgetting.
        resolution: field (``cross_entropy``, ``cross_entropies.<subset>``) -> half width of its rounding in nats.
            Absent means full precision.
        diverged: a loss became nan or inf.
        finished: the log says that training ended (``None``: the files hold no training).
        extra: ``validations``: list of (updates or None, subset, cross-entropy in nats), in order of updates;
            ``upstream_curve`` (pretraining): list of (pretrain_tokens, subset, cross-entropy in nats);
            ``pretrain_tokens_by_language``; ``scores_by_subset``: subset -> metric -> Score;
            ``run``: the SCALING_RUN object; ``config``: flat settings found in fairseq's configuration line;
            ``mapping``: the fields that the mapping supplied; ``files``: every file that said something.
        origin: field -> (file, line).
    """

    stage: str
    run_id: str
    pretrain_tokens: int | None = None
    finetune_tokens: int | None = None
    mixture: Mixture | None = None
    alignment: float | None = None
    source_lang: str | None = None
    target_lang: str | None = None
    seed: int | None = None
    architecture: str | None = None
    parameters: int | None = None
    updates: int | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    cross_entropy: float | None = None
    cross_entropies: dict[str, float] = field(default_factory=dict)
    resolution: dict[str, float] = field(default_factory=dict)
    diverged: bool = False
    finished: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Origin] = field(default_factory=dict)


class Problem(NamedTuple):
    """Something that could not be read, contradicts another file or is missing, with the remedy in its message."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True)
class Alignment:
    """What scaling-alignment measured of one mixture and task in one corpus, before anything was trained.

    Attributes:
        measures: name -> value: ``alignment`` (the paper's score), ``unigram_source``, ``coverage_3_target`` and so on
            (see ``data.overlap``).
        corpus: fingerprint of the corpus.
        sample_tokens: size of the mixture's sample; values of other sizes do not compare.
        task_tokens: tokens read of the source and of the target side.
        file: where it stands.
    """

    mixture: Mixture
    source_lang: str
    target_lang: str
    measures: dict[str, float]
    corpus: str
    sample_tokens: int
    task_tokens: tuple[int, int]
    file: str = ""


@dataclass(frozen=True)
class Reading:
    """What ``read_runs`` found: runs ordered by stage, task, mixture, D_f, D_p and seed; problems by file and line.

    ``alignments`` stand in the order of their files.
    """

    runs: list[RunRecord]
    problems: list[Problem]
    alignments: list[Alignment] = field(default_factory=list)
