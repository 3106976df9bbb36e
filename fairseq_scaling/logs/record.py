"""What the logs of one run say: the run record, its scores, and what could not be read."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ..alignment_file import Alignment
from ..mixture import Mixture
from ..problems import Problem, place
from ..run import FORMAT, RunDescription, read_description
from ..scores.score_file import Score

LN2 = math.log(2.0)

# fairseq's users give validation and test sets any name
TEST, VALID, OTHER = "test", "valid", "other"

# Fields that descriptions, configurations and mappings may give.
CLAIMED = (
    "stage", "pretrain_tokens", "finetune_tokens", "mixture", "alignment", "source_lang", "target_lang", "seed",
    "architecture", "parameters",
)  # fmt: skip

_TEST = re.compile(r"test|tst", re.IGNORECASE)
_VALID = re.compile(r"valid|dev|(?<![a-z])val(?![a-z])", re.IGNORECASE)


class Origin(NamedTuple):
    """Where a value stands: file as it was given, and line counted from 1 (0: the file as a whole)."""

    file: str
    line: int

    def __str__(self) -> str:
        return place(self.file, self.line)


class Scored(NamedTuple):
    """The checkpoint that the scores of a run are of.

    Attributes:
        name: as its file is called, empty where no file says it; several names where the scores are of several.
        updates: after which it was saved, where that is known.
        is_last: whether it is the last one; None where that is unknown.
    """

    name: str
    updates: int | None
    is_last: bool | None


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
        scored: the checkpoint that was translated; None where nothing was.
        scored_cross_entropies: subset -> nats per target token at that checkpoint; ``cross_entropies`` where it is
            the last one, empty where it is unknown.
        subset_kinds: subset -> ``test``, ``valid`` or ``other`` (see :func:`subset_kind`).
        extra: ``validations``: list of (updates or None, subset, cross-entropy in nats), in order of updates;
            ``upstream_curve`` (pretraining): list of (pretrain_tokens, subset, cross-entropy in nats);
            ``scores_by_subset``: subset -> metric -> Score;
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
    scored: Scored | None = None
    scored_cross_entropies: dict[str, float] = field(default_factory=dict)
    subset_kinds: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Origin] = field(default_factory=dict)

    @cached_property
    def description(self) -> RunDescription | None:
        """What the run says of itself; None for stock runs."""
        said = self.extra.get("run")
        if not isinstance(said, dict):
            return None
        return read_description({"format": FORMAT, "run_id": self.run_id, **said})[0]


@dataclass(frozen=True)
class Reading:
    """What ``read_runs`` found.

    Attributes:
        runs: ordered by stage, task, mixture, D_f, D_p and seed.
        problems: by file and line.
        alignments: in the order of their files.
        files: how many files were read, those without anything of fairseq's not counted.
    """

    runs: list[RunRecord]
    problems: list[Problem]
    alignments: list[Alignment] = field(default_factory=list)
    files: int = 0


def subset_kind(subset: str, validated: Collection[str] = ()) -> str:
    """Return ``test``, ``valid``, or ``other`` for the upstream text on which this plug-in measures forgetting.

    The name decides; where it says neither, a set on which the training was validated (``--valid-subset``) is a
    validation set and any other one, which fairseq-generate or fairseq-validate was given, a test set.
    """
    if subset.startswith("upstream_"):
        return OTHER
    if _TEST.search(subset):
        return TEST
    return VALID if _VALID.search(subset) or subset in validated else TEST


def preferred(kinds: Iterable[tuple[str, str]]) -> str | None:
    """Return the subset that stands for a run: the test set, else the validation set; None where there are several.

    Args:
        kinds: (subset, its kind). A set that is called ``test`` or ``valid`` goes before others of its kind.
    """
    pairs = list(kinds)
    for kind in (TEST, VALID):
        names = [subset for subset, other in pairs if other == kind]
        if kind in names:
            return kind
        if names:
            return names[0] if len(names) == 1 else None
    return None
