"""A study as a list of jobs: what runs, with which words, after what, and about how long it takes. Pure: no files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..mixture import Mixture
from ..quantities import format_tokens
from . import commands

if TYPE_CHECKING:
    from .config import Study

# In the order in which they run. Their names are the rules of the Snakefile and the choices of --until.
STAGES = ("fetch", "clean", "sentencepiece", "encode", "alignment", "pretrain", "finetune", "translate", "score", "fit")

# Tokens a second on one core, by architecture: only the first guess of a plan's duration. The progress line measures.
_TOKENS_PER_SECOND = {
    "t5_tiny": 6000, "t5_mini": 1200, "t5_small": 180, "t5_base": 40, "t5_large": 12, "t5_3b": 3,
}  # fmt: skip
_ALIGNMENT = "alignment.json"
_START_SECONDS = 8.0  # importing fairseq and torch, loading the model
_STEP_SECONDS = {
    "fetch": 60.0, "clean": 90.0, "sentencepiece": 20.0, "encode": 30.0, "alignment": 5.0, "score": 4.0, "fit": 20.0,
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One command of a study.

    Attributes:
        id: ``stage/run``, unique; ``run`` is a relative path.
        stage: one of ``STAGES``.
        label: what a person reads while it runs.
        words: the command with placeholders (see ``commands``).
        needs: ids of the jobs that must have finished before.
        reads: files of those jobs that this one needs, by path below the study's folder -> id of the job that makes it.
        writes: files below the study's folder that exist when it has finished.
        owns: files or folders below the study's folder that are removed before it starts afresh.
        output: where standard output goes (below the study's folder), or "" where it goes to the log.
        log: where everything else goes.
        seconds: first guess of its duration on one core.
        goal: what its log counts up to: (key of the log records, number), or None.
        tokens: tokens it reads in training, for the table of the plan.
    """

    id: str
    stage: str
    label: str
    words: list[str]
    needs: list[str] = field(default_factory=list)
    reads: dict[str, str] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    owns: list[str] = field(default_factory=list)
    output: str = ""
    log: str = ""
    seconds: float = 0.0
    goal: tuple[str, int] | None = None
    tokens: int = 0

    @property
    def run(self) -> str:
        return self.id.split("/", 1)[1]


@dataclass(frozen=True)
class Plan:
    """All jobs of a study, each after those it needs.

    ``corpus`` is the corpus folder: absolute, or relative to the study's folder where the study makes it.
    ``source_folder`` is the folder of study.yaml: commands that read the user's own text run there.
    """

    name: str
    jobs: list[Job]
    corpus: str
    source_folder: str
    threads: int = 1

    @cached_property
    def by_id(self) -> dict[str, Job]:
        return {job.id: job for job in self.jobs}

    def of_stage(self, stage: str) -> list[Job]:
        return [job for job in self.jobs if job.stage == stage]

    def until(self, stage: str) -> list[Job]:
        """Return the jobs of a stage and all that they need, in order."""
        wanted: set[str] = set()
        queue = [job.id for job in self.of_stage(stage)]
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
        jobs = [Job(**{**job, "goal": tuple(job["goal"]) if job["goal"] else None}) for job in values.pop("jobs")]
        return cls(jobs=jobs, **values)

    @classmethod
    def read(cls, path: Path) -> Plan:
        return cls.from_json(path.read_text("utf-8"))


def make_plan(study: Study) -> Plan:
    """Return the jobs of a study.

    Pretraining: mixtures x seeds. Finetuning, translation and scores: tasks x finetune_tokens x seeds x (mixtures x
    pretraining seeds x budgets + the baseline). One measurement of alignment, and one fit over all.
    """
    corpus_jobs = list(_text_jobs(study))
    after_corpus = [corpus_jobs[-1].id] if corpus_jobs else []
    pretraining = list(_pretraining_jobs(study, after_corpus))
    runs: list[Job] = []
    for task in study.finetuning.tasks:
        for tokens in study.finetuning.finetune_tokens:
            for seed in study.finetuning.seeds:
                runs.extend(_finetuning_jobs(study, task, tokens, seed, after_corpus))
    order = {stage: position for position, stage in enumerate(STAGES)}
    runs.sort(key=lambda job: order[job.stage])
    jobs = [*corpus_jobs, _alignment_job(study, after_corpus), *pretraining, *runs]
    jobs.append(_fit_job(study, jobs))
    corpus = "corpus" if study.corpus is None else str(study.folder / study.corpus)
    return Plan(study.name, jobs, corpus, str(study.folder), study.threads)


def mixture_name(mixture: Mixture) -> str:
    """Return a folder name for a mixture: ``en0.5-fr0.5``; for people, nothing reads it."""
    return "-".join(f"{language}{str(share).replace('/', 'of')}" for language, share in _decimals(mixture).items())


def _decimals(mixture: Mixture) -> dict[str, str]:
    return dict(pair.split(":") for pair in commands.shares(mixture).split(","))


def _text_jobs(study: Study) -> Iterator[Job]:
    if study.text is None:
        return
    steps = [
        ("fetch", commands.fetch, "text/raw", []),
        ("clean", commands.clean, "text/clean", ["fetch/text"]),
        ("sentencepiece", commands.sentencepiece, "text/sentencepiece.model", ["clean/text"]),
        ("encode", commands.encode, "corpus", ["clean/text", "sentencepiece/text"]),
    ]
    labels = {"fetch": "fetch text", "clean": "clean text", "sentencepiece": "train SentencePiece", "encode": "encode"}
    for stage, words, folder, needs in steps:
        yield Job(
            id=f"{stage}/text",
            stage=stage,
            label=labels[stage],
            words=words(study.text),
            needs=needs,
            writes=["corpus/corpus.json"] if stage == "encode" else [folder],
            owns=[folder],
            log=f"logs/{stage}.log",
            seconds=_STEP_SECONDS[stage],
        )


def _alignment_job(study: Study, needs: list[str]) -> Job:
    return Job(
        id="alignment/corpus",
        stage="alignment",
        label="measure alignment",
        words=commands.alignment(study, _ALIGNMENT),
        needs=needs,
        writes=[_ALIGNMENT],
        owns=[_ALIGNMENT],
        log="logs/alignment.log",
        seconds=_STEP_SECONDS["alignment"],
    )


def _pretraining_jobs(study: Study, needs: list[str]) -> Iterator[Job]:
    largest = study.pretraining.budgets[-1]
    for mixture in study.pretraining.mixtures:
        for seed in study.pretraining.seeds:
            folder = _pretraining_folder(mixture, seed)
            yield Job(
                id=f"pretrain/{_below(folder)}",
                stage="pretrain",
                label=f"pretrain {mixture}" + _seed_label(seed, study.pretraining.seeds),
                words=commands.pretrain(study, mixture, seed, folder),
                needs=needs,
                writes=[f"{folder}/train.log"],
                owns=[folder],
                log=f"{folder}/train.log",
                seconds=_START_SECONDS + largest / _speed(study),
                goal=("pretrain_tokens", largest),
                tokens=largest,
            )


def _finetuning_jobs(study: Study, task: tuple[str, str], tokens: int, seed: int, needs: list[str]) -> Iterator[Job]:
    """Yield finetuning, translation and score of every checkpoint, the baseline first: it needs no pretraining."""
    place = f"finetuning/{'-'.join(task)}/{commands.exact_tokens(tokens)}"
    if study.finetuning.baseline is not None:
        yield from _run_jobs(study, task, tokens, seed, f"{place}/baseline/seed{seed}", needs, "baseline")
    for mixture in study.pretraining.mixtures:
        for pretrain_seed in study.pretraining.seeds:
            source = _pretraining_folder(mixture, pretrain_seed)
            for number, budget in enumerate(study.pretraining.budgets, start=1):
                name = f"{mixture_name(mixture)}/seed{pretrain_seed}/{commands.exact_tokens(budget)}/seed{seed}"
                label = f"{mixture} {format_tokens(budget)}" + _seed_label(pretrain_seed, study.pretraining.seeds)
                yield from _run_jobs(
                    study, task, tokens, seed, f"{place}/{name}", [*needs, f"pretrain/{_below(source)}"], label,
                    mixture=mixture, pretrain_tokens=budget, checkpoint=f"{source}/checkpoint{number}.pt",
                )  # fmt: skip


def _run_jobs(
    study: Study,
    task: tuple[str, str],
    tokens: int,
    seed: int,
    folder: str,
    needs: list[str],
    label: str,
    mixture: Mixture | None = None,
    pretrain_tokens: int = 0,
    checkpoint: str | None = None,
) -> Iterator[Job]:
    run = _below(folder)
    label = f"{label} {'-'.join(task)} {format_tokens(tokens)}" + _seed_label(seed, study.finetuning.seeds)
    words = commands.finetune(study, task, tokens, seed, folder, mixture, pretrain_tokens, checkpoint)
    updates, settings = commands.finetuning_settings(study, task, tokens, mixture, pretrain_tokens)
    trained = updates * commands.batch_tokens(settings)
    finetune = Job(
        id=f"finetune/{run}",
        stage="finetune",
        label=f"finetune {label}",
        words=words,
        needs=needs,
        reads={checkpoint: needs[-1]} if checkpoint else {},
        writes=[f"{folder}/train.log"],
        owns=[folder],
        log=f"{folder}/train.log",
        seconds=_START_SECONDS + trained / _speed(study),
        goal=("num_updates", updates),
        tokens=trained,
    )
    yield finetune
    yield Job(
        id=f"translate/{run}",
        stage="translate",
        label=f"translate {label}",
        words=commands.translate(study, task, folder),
        needs=[finetune.id],
        reads={f"{folder}/checkpoint_last.pt": finetune.id},
        writes=[f"{folder}/generate.txt"],
        owns=[f"{folder}/generate.txt"],
        output=f"{folder}/generate.txt",
        log=f"{folder}/generate.log",
        seconds=_START_SECONDS + 80_000 / _speed(study),
    )
    yield Job(
        id=f"score/{run}",
        stage="score",
        label=f"score {label}",
        words=commands.score(study, task, folder),
        needs=[f"translate/{run}"],
        reads={f"{folder}/generate.txt": f"translate/{run}"},
        writes=[f"{folder}/scores.json"],
        owns=[f"{folder}/scores.json"],
        log=f"{folder}/score.log",
        seconds=_STEP_SECONDS["score"],
    )


def _fit_job(study: Study, jobs: list[Job]) -> Job:
    scored = [job for job in jobs if job.stage == "score"]
    trained = [job for job in jobs if job.stage == "pretrain"]
    makers = {job.writes[0]: job.id for job in [*trained, *scored]}
    folders = [path.rsplit("/", 1)[0] for path in makers]
    makers |= {job.writes[0]: job.id for job in jobs if job.stage == "alignment"}
    return Job(
        id="fit/results",
        stage="fit",
        label="fit the laws",
        words=commands.fit(study, [*folders, _ALIGNMENT]),
        needs=list(makers.values()),
        reads=makers,
        writes=["results/report.html"],
        owns=["results"],
        output="results/table.txt",
        log="logs/fit.log",
        seconds=_STEP_SECONDS["fit"],
    )


def _pretraining_folder(mixture: Mixture, seed: int) -> str:
    return f"pretraining/{mixture_name(mixture)}/seed{seed}"


def _below(folder: str) -> str:
    return folder.split("/", 1)[1]


def _seed_label(seed: int, seeds: list[int]) -> str:
    return f" seed {seed}" if len(seeds) > 1 else ""


def _speed(study: Study) -> float:
    return _TOKENS_PER_SECOND.get(study.model.arch, 1000) * study.threads
