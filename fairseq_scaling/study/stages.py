"""The stages of a study, in the order in which they run.

A new stage is a row here, and a file in ``plan/`` that makes its jobs and their commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """What the jobs of one stage have in common.

    Attributes:
        name: the rule in the Snakefile, the key in ``resources`` of study.yaml, the value of ``--until``.
        settings: the keys of study.yaml that its flags come from, for messages.
        seconds: first guess of the duration of a job; 0 where it follows from the job's operations.
        start: first guess of the seconds to import fairseq and torch and to load data and model.
        priority: of the jobs that could start, those with the highest start first. Many jobs wait for a pretraining; a
            finetuned model is evaluated before the next finetuning starts, so that there are results early.
        trains: whether it trains a model: its jobs resume, and depend on the number of GPUs, as each takes a batch of
            its own.
        uses_gpu: whether a job takes a GPU where there is one.
        resources: what a cluster is asked for where study.yaml is silent. The profile's default-resources say it for
            the stages without an entry: the profile's set-resources would win over study.yaml.
    """

    name: str
    settings: str
    seconds: float = 0.0
    start: float = 0.0
    priority: int = 4
    trains: bool = False
    uses_gpu: bool = False
    resources: Mapping[str, int] = field(default_factory=dict)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("fetch", "text.fetch", seconds=60),
        Stage("clean", "text.clean", seconds=90),
        Stage("sentencepiece", "text.sentencepiece", seconds=20),
        Stage("encode", "text.encode", seconds=30),
        Stage("alignment", "alignment", seconds=5),
        Stage("choose", "pretraining.learning_rates or finetuning.learning_rates", seconds=2),
        Stage(
            "pretrain", "model.fairseq, pretraining.fairseq or its overrides",
            start=8, priority=3, trains=True, uses_gpu=True,
            resources={"mem_mb": 8000, "runtime": 1440},
        ),
        Stage(
            "finetune", "model.fairseq, checkpoints, finetuning.fairseq, its baseline or its overrides",
            start=8, priority=0, trains=True, uses_gpu=True,
        ),
        Stage("translate", "translation.fairseq", start=8, priority=1, uses_gpu=True),
        Stage("score", "scoring", seconds=4, priority=2),
        Stage("fit", "fitting", seconds=20),
    )
}  # fmt: skip
# What a learning rate may be chosen by, on validation text. Never a test set: its scores are what a study reports.
CRITERIA = ("cross_entropy", "bleu", "chrf")


def position(name: str) -> int:
    """Return the place of a stage in the order, from 0."""
    return list(STAGES).index(name)
