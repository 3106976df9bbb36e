"""What a planned study consists of: jobs, and which of them needs which. Pure: no files but the plan's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import DataError
from ...mixture import Mixture
from ...quantities import parse_tokens
from ..stages import STAGES

_TO_FIT = 3  # budgets of a curve: fewer have no forecast
_EARLY = 10  # more than the priorities of the stages differ
# Where a training works until it has finished (see ``run.training``).
UNFINISHED = ".unfinished"


class Work(NamedTuple):
    """Positions and floating-point operations, those of encoder and decoder apart."""

    encoder_positions: int = 0
    decoder_positions: int = 0
    encoder_flops: float = 0.0
    decoder_flops: float = 0.0

    @property
    def flops(self) -> float:
        return self.encoder_flops + self.decoder_flops

    def times(self, sequences: float, factor: int = 1) -> Work:
        """Return the work of so many sequences, with ``factor`` times the operations."""
        encoder, decoder = round(self.encoder_positions * sequences), round(self.decoder_positions * sequences)
        return Work(encoder, decoder, self.encoder_flops * sequences * factor, self.decoder_flops * sequences * factor)

    def minus(self, other: Work) -> Work:
        return Work(
            self.encoder_positions - other.encoder_positions,
            self.decoder_positions - other.decoder_positions,
            self.encoder_flops - other.encoder_flops,
            self.decoder_flops - other.decoder_flops,
        )

    @staticmethod
    def total(works: Iterable[Work]) -> Work:
        columns = list(zip(*works, strict=True))
        return Work(*map(sum, columns)) if columns else Work()


@dataclass(frozen=True)
class Job:
    """One command of a study.

    Attributes:
        id: ``stage/run``, unique; ``run`` is a relative path.
        stage: one of ``stages.STAGES``.
        label: what a person reads while it runs.
        argv: the command with placeholders (see ``flags``).
        needs: ids of the jobs that must have finished before.
        reads: files of those jobs that this one needs, by path below the study's folder -> id of the job that makes it.
        writes: its outputs: files (of the fit a folder) below the study's folder that are there when it has finished.
        result: of a training, the checkpoint among fairseq's that becomes its output; "" where no job reads it.
        output: where standard output goes (below the study's folder), or "" where it goes to the log.
        log: where everything else goes; that of a training becomes its output ``train.log``.
        seconds: first guess of its duration on its threads.
        goal: what its log counts: (key of the log records, last value), or None.
        goal_start: the value that its log begins with: the budget before.
        group: the row of the plan's table that it belongs to.
        candidate: whether it only tries a learning rate: nothing is reported of it but the choice.
        tokens: tokens it reads in training (pretraining: before corruption; finetuning: target side).
        work: positions and FLOPs; zeros where the model is unknown.
        kept: bytes that it leaves behind.
        threads: processor threads it works with.
        resources: what Snakemake tells a cluster: ``mem_mb``, ``runtime`` (minutes), ``gpu``, and the study's own.
    """

    id: str
    stage: str
    label: str
    argv: list[str]
    needs: list[str] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    result: str = ""
    output: str = ""
    log: str = ""
    seconds: float = 0.0
    goal: tuple[str, int] | None = None
    goal_start: int = 0
    group: str = ""
    candidate: bool = False
    tokens: int = 0
    work: Work = field(default_factory=Work)
    kept: int = 0
    threads: int = 1
    resources: dict[str, int | str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        return self.id.split("/", 1)[1]

    @property
    def folder(self) -> str:
        """The folder of its first output."""
        return self.writes[0].rpartition("/")[0]

    @property
    def checkpoint(self) -> str:
        """Of a training, its checkpoint."""
        return self.writes[1]

    @property
    def budgets(self) -> list[str]:
        """Of a pretraining its budgets up to the one where it ends, as study.yaml writes them; of other jobs none.

        One epoch ends at each budget.
        """
        if self.stage != "pretrain":
            return []
        budgets = self.flag("budgets").split(",")
        return budgets[: int(self.flag("max-epoch") or len(budgets))]

    @property
    def deciding_argv(self) -> list[str]:
        """The command without what changes no result: the budgets after the one where a pretraining ends."""
        argv = list(self.argv)
        if self.budgets:
            argv[argv.index("--budgets") + 1] = ",".join(self.budgets)
        if "--max-epoch" in argv and self.stage == "pretrain":
            place = argv.index("--max-epoch")
            del argv[place : place + 2]
        return argv

    def flag(self, name: str, default: str = "") -> str:
        """Return the value of a flag (``mixture``) of the command."""
        flag = f"--{name}"
        return self.argv[self.argv.index(flag) + 1] if flag in self.argv else default


@dataclass(frozen=True)
class Plan:
    """All jobs of a study, each after those it needs.

    ``corpus`` is the corpus folder: absolute, or relative to the study's folder where the study makes it.
    ``source_folder`` is the folder of study.yaml: commands that read the user's own text run there. ``given`` are the
    other files of the user's own that jobs read: placeholder in their argv -> path (see ``settings.given``).
    """

    name: str
    jobs: list[Job]
    corpus: str
    source_folder: str
    threads: int = 1
    given: dict[str, str] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> dict[str, Job]:
        return {job.id: job for job in self.jobs}

    def of_stage(self, stage: str) -> list[Job]:
        return [job for job in self.jobs if job.stage == stage]

    def reported(self, stage: str) -> list[Job]:
        """Return the jobs of a stage without those that only try a learning rate."""
        return [job for job in self.of_stage(stage) if not job.candidate]

    @cached_property
    def budget_of(self) -> dict[str, tuple[str, int]]:
        """Job -> mixture and number (from 1) of the budget that it trains to or whose checkpoint it builds on."""
        found: dict[str, tuple[str, int]] = {}
        for job in self.jobs:
            if job.stage == "pretrain":
                if not job.candidate:
                    found[job.id] = mixture_of(job), len(job.budgets)
            elif job.stage != "fit" and (before := [found[need] for need in job.needs if need in found]):
                found[job.id] = max(before, key=lambda one: one[1])
        return found

    @cached_property
    def early_scores(self) -> list[list[Job]]:
        """The scores of the smallest budgets, one curve after another: each list is enough for a first fit."""
        scores = [job for job in self.reported("score") if job.id in self.budget_of]
        at = [[job for job in scores if self.budget_of[job.id][1] == number] for number in range(1, _TO_FIT + 1)]
        return [list(curve) for curve in zip(*at, strict=False)]

    @cached_property
    def priorities(self) -> dict[str, int]:
        """Job -> priority: the first curve's early scores, those of the others, then the priorities of the stages."""
        found = {job.id: STAGES[job.stage].priority for job in self.jobs}
        for number, curve in reversed([*enumerate(self.early_scores)]):
            for job in self.with_needs(job.id for job in curve):
                found[job.id] = STAGES[job.stage].priority + (_EARLY if number else 2 * _EARLY)
        return found

    def given_to(self, job: Job) -> dict[str, Path]:
        """Return the files of the user's own that a job reads: placeholder in its argv -> path."""
        return {place: Path(path) for place, path in self.given.items() if place in job.argv}

    def until(self, stage: str) -> list[Job]:
        """Return the jobs of a stage and all that they need, in order."""
        return self.with_needs(job.id for job in self.of_stage(stage))

    def with_needs(self, ids: Iterable[str]) -> list[Job]:
        """Return jobs and all that they need, in order."""
        wanted: set[str] = set()
        queue = [*ids]
        while queue:
            name = queue.pop()
            if name not in wanted:
                wanted.add(name)
                queue.extend(self.by_id[name].needs)
        return [job for job in self.jobs if job.id in wanted]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        values: dict[str, Any] = json.loads(text)
        jobs = [
            Job(**{**job, "goal": tuple(job["goal"]) if job["goal"] else None, "work": Work(*job["work"])})
            for job in values.pop("jobs")
        ]
        return cls(jobs=jobs, **values)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Return the plan in a file (DataError where another version of this package has written it)."""
        try:
            return cls.from_json(path.read_text("utf-8"))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: not a plan of this version ({error})\n  Give STUDY.yaml, too.") from None


def mixture_of(pretraining: Job) -> str:
    return str(Mixture.parse(pretraining.flag("mixture")))


def budgets_of(pretraining: Job) -> list[int]:
    """Return the budgets of a pretraining, in tokens, up to the one where it ends."""
    return [parse_tokens(budget) for budget in pretraining.budgets]
