"""A study as a list of jobs: what runs, with which argv, after what, at which price. Pure: no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...mixture import Mixture
from ...quantities import format_tokens
from ..settings.given import given_files
from ..stages import STAGES, position
from . import choice, commands, pricing
from .commands import Finetuning, exact_tokens
from .jobs import Job, Plan, Work

if TYPE_CHECKING:
    from ..settings.config import Study

__all__ = ["CANDIDATES", "Job", "Plan", "make_plan", "mixture_name"]

# FLOP/s of one core, and tokens a second of a model that is none of ours: only the first guess of a duration. The
# progress line measures.
_CORE_SPEED = 5e10
_UNKNOWN_MODEL_SPEED = 1000
_START_SECONDS = 8.0  # importing fairseq and torch, loading the model
_ALIGNMENT = "alignment.json"
# Below a name with a dot: who reads the logs of the whole folder must not find them among the runs.
CANDIDATES = ".study/candidates"


def make_plan(study: Study, vocabulary: int | None = None) -> Plan:
    """Return the jobs of a study.

    Pretraining: mixtures x seeds. Finetuning, translation and scores: tasks x finetune_tokens x seeds x (mixtures x
    pretraining seeds x budgets + given checkpoints + the baseline). Where learning rates are to be chosen, a run for
    each of them before, and the choice. One measurement of alignment where there are mixtures, and one fit over all.

    Args:
        study: what to plan.
        vocabulary: rows of the embedding, for the price; None: what the study's text leads one to expect.
    """
    return _Planner(study, vocabulary or pricing.expected_vocabulary(study)).plan()


def mixture_name(mixture: Mixture) -> str:
    """Return a folder name for a mixture: ``en0.5-fr0.5``; for people, nothing reads it."""
    return "-".join(f"{language}{share.replace('/', 'of')}" for language, share in _decimals(mixture).items())


class _Planner:
    """Makes the jobs of one study."""

    def __init__(self, study: Study, vocabulary: int) -> None:
        self.study = study
        self.shape = pricing.shape_of(study, vocabulary)
        self.corpus_bytes = pricing.corpus_bytes(study, vocabulary)
        self.after_corpus = ["encode/text"] if study.text is not None else []

    def plan(self) -> Plan:
        study = self.study
        jobs = [*self._text_jobs(), *self._alignment_jobs(), *self._pretraining_jobs()]
        for task in study.finetuning.tasks:
            for tokens in study.finetuning.sizes(task):
                jobs.extend(self._finetuning_jobs(task, tokens))
        jobs.sort(key=_order)
        jobs.append(self._fit_job(jobs))
        corpus = "corpus" if study.corpus is None else str(study.folder / study.corpus)
        jobs = [self._with_resources(job) for job in jobs]
        return Plan(study.name, jobs, corpus, str(study.folder), study.threads, given_files(study))

    # -- text ------------------------------------------------------------------------------------------------------

    def _text_jobs(self) -> Iterator[Job]:
        text = self.study.text
        if text is None:
            return
        trained = ["sentencepiece/text"] if text.vocabulary is None else []
        steps = [
            ("fetch", commands.fetch, "text/raw", []),
            ("clean", commands.clean, "text/clean", ["fetch/text"]),
            ("sentencepiece", commands.sentencepiece, "text/sentencepiece.model", ["clean/text"]),
            ("encode", commands.encode, "corpus", ["clean/text", *trained]),
        ]
        labels = {"fetch": "fetch text", "clean": "clean text", "sentencepiece": "train SentencePiece"}
        for stage, argv, folder, needs in steps:
            if stage == "sentencepiece" and not trained:
                continue
            yield Job(
                id=f"{stage}/text",
                stage=stage,
                label=labels.get(stage, stage),
                argv=argv(text),
                needs=needs,
                writes=["corpus/corpus.json"] if stage == "encode" else [folder],
                owns=[folder],
                log=f"logs/{stage}.log",
                seconds=STAGES[stage].seconds,
                kept=self.corpus_bytes if stage == "encode" else 0,
                group="make the corpus",
            )

    def _alignment_jobs(self) -> Iterator[Job]:
        if not self.study.pretraining.mixtures:
            return
        yield Job(
            id="alignment/corpus",
            stage="alignment",
            label="measure alignment",
            argv=commands.alignment(self.study, _ALIGNMENT),
            needs=self.after_corpus,
            writes=[_ALIGNMENT],
            owns=[_ALIGNMENT],
            log="logs/alignment.log",
            seconds=STAGES["alignment"].seconds,
            group="measure alignment",
        )

    # -- pretraining -----------------------------------------------------------------------------------------------

    def _pretraining_jobs(self) -> Iterator[Job]:
        section = self.study.pretraining
        asked = section.learning_rates
        deciding = None
        for mixture in section.mixtures:
            name = mixture_name(mixture if deciding is None else deciding)
            file = f"{CANDIDATES}/pretraining/{name}/choice.json"
            rate = choice.placeholder(file) if asked else None
            needs, reads = self.after_corpus, {}
            # An override of this mixture may give a rate of its own.
            if asked and commands.pretraining_settings(self.study, mixture, rate)["lr"] == rate:
                if deciding is None:
                    yield from self._pretraining_choice(mixture, file)
                    deciding = mixture if asked.per == "study" else None
                needs, reads = [*needs, f"choose/pretraining/{name}"], {file: f"choose/pretraining/{name}"}
            for seed in section.seeds:
                folder = f"pretraining/{mixture_name(mixture)}/seed{seed}"
                label = f"pretrain {mixture}" + _seed_label(seed, section.seeds)
                job = self._pretraining_job(mixture, seed, folder, rate, section.budgets_of(mixture))
                yield replace(job, label=label, needs=needs, reads=reads, group=f"pretrain {mixture}")

    def _pretraining_choice(self, mixture: Mixture, file: str) -> Iterator[Job]:
        """Yield a short pretraining for each learning rate, and the choice between them."""
        asked = self.study.pretraining.learning_rates
        assert asked is not None
        candidates = {}
        for rate in asked.grid:
            folder = f"{CANDIDATES}/pretraining/{mixture_name(mixture)}/lr{rate}"
            seed = self.study.pretraining.seeds[0]
            job = self._pretraining_job(mixture, seed, folder, rate, [asked.budget], candidate=True)
            label = f"try lr {rate}, pretrain {mixture}"
            job = replace(job, label=label, needs=self.after_corpus, group="pretrain: try learning rates")
            candidates[rate] = job
            yield job
        yield _choice_job(
            f"choose/pretraining/{mixture_name(mixture)}", "cross_entropy", candidates, file, f"{mixture}"
        )

    def _pretraining_job(
        self, mixture: Mixture, seed: int, folder: str, rate: str | None, budgets: list[int], candidate: bool = False
    ) -> Job:
        settings = commands.pretraining_settings(self.study, mixture, rate)
        work, kept = Work(), 0
        if self.shape is not None:
            work = pricing.pretraining(self.study, self.shape, mixture, budgets[-1])
            updates = pricing.pretraining_updates(self.study, mixture, budgets[-1])
            kept = pricing.kept_bytes(self.shape, settings, updates, 0 if candidate else len(budgets))
        return Job(
            id=f"pretrain/{_run_name(folder)}",
            stage="pretrain",
            label="",
            argv=commands.pretrain(self.study, mixture, seed, folder, rate, budgets, candidate),
            writes=[f"{folder}/train.log"],
            owns=[folder],
            log=f"{folder}/train.log",
            seconds=self._seconds("pretrain", work, budgets[-1]),
            goal=("pretrain_tokens", budgets[-1]),
            candidate=candidate,
            tokens=budgets[-1],
            work=work,
            kept=kept,
        )

    # -- finetuning ------------------------------------------------------------------------------------------------

    def _finetuning_jobs(self, task: tuple[str, str], tokens: int) -> Iterator[Job]:
        """Yield finetuning, translation and score of every start, the baseline first: it needs no pretraining."""
        place = f"{'-'.join(task)}/{exact_tokens(tokens)}"
        group = f"finetune {'-'.join(task)}, D_f {format_tokens(tokens)}"
        for start in self.study.starts():
            if start.mixture is None or start.pretrain_tokens is None:
                label = start.checkpoint or "baseline"
                name = f"{place}/checkpoints/{label}" if start.checkpoint else f"{place}/baseline"
                yield from self._runs(Finetuning(task, tokens, start), name, [], label, f"{group}, {label}")
                continue
            source = f"{mixture_name(start.mixture)}/seed{start.seed}"
            label = f"{start.mixture} {format_tokens(start.pretrain_tokens)}"
            label += _seed_label(start.seed, self.study.pretraining.seeds)
            run = Finetuning(task, tokens, start, f"pretraining/{source}/checkpoint{start.number}.pt")
            name = f"{place}/{source}/{exact_tokens(start.pretrain_tokens)}"
            yield from self._runs(run, name, [f"pretrain/{source}"], label, group)

    def _runs(self, run: Finetuning, name: str, after: list[str], label: str, group: str) -> Iterator[Job]:
        """Yield the runs of all seeds; before them, where the learning rate is to be chosen, the candidates."""
        section = self.study.finetuning
        asked = section.learning_rates
        label = f"{label} {'-'.join(run.task)} {format_tokens(run.finetune_tokens)}"
        needs = [*self.after_corpus, *after]
        reads = {run.checkpoint: after[-1]} if run.checkpoint else {}
        file = f"{CANDIDATES}/finetuning/{name}/choice.json"
        rate = choice.placeholder(file) if asked else None
        if asked and commands.finetuning_settings(self.study, run, rate)[1]["lr"] == rate:
            yield from self._finetuning_choice(run, name, needs, reads, label, file)
            needs, reads = [*needs, f"choose/finetuning/{name}"], {**reads, file: f"choose/finetuning/{name}"}
        for seed in section.seeds:
            job = self._finetuning_job(run, seed, f"finetuning/{name}/seed{seed}", rate)
            own = label + _seed_label(seed, section.seeds)
            yield replace(job, label=f"finetune {own}", needs=needs, reads=reads, group=group)
            for subset in self.study.translation.subset:
                yield from self._evaluation_jobs(job, run, own, subset)

    def _finetuning_choice(
        self, run: Finetuning, name: str, needs: list[str], reads: dict[str, str], label: str, file: str
    ) -> Iterator[Job]:
        """Yield a finetuning for each learning rate, with the first seed, and the choice on the validation set."""
        section = self.study.finetuning
        asked = section.learning_rates
        assert asked is not None
        candidates = {}
        for rate in asked.grid:
            folder = f"{CANDIDATES}/finetuning/{name}/lr{rate}"
            job = self._finetuning_job(run, section.seeds[0], folder, rate, asked.by)
            own = f"try lr {rate}, {label}"
            job = replace(
                job, label=own, needs=needs, reads=reads, candidate=True, group="finetune: try learning rates"
            )
            candidates[rate] = job
            yield job
            if asked.by != "cross_entropy":
                *_, candidates[rate] = evaluations = list(self._evaluation_jobs(job, run, own, "valid"))
                yield from evaluations
        yield _choice_job(f"choose/finetuning/{name}", asked.by, candidates, file, label)

    def _finetuning_job(
        self, run: Finetuning, seed: int, folder: str, rate: str | None, chosen_by: str | None = None
    ) -> Job:
        updates, settings = commands.finetuning_settings(self.study, run, rate)
        trained = updates * commands.batch_tokens(self.study, settings)
        work, kept = Work(), 0
        if self.shape is not None:
            work = pricing.finetuning(self.shape, trained)
            kept = 0 if chosen_by == "cross_entropy" else pricing.kept_bytes(self.shape, settings, updates)
        return Job(
            id=f"finetune/{_run_name(folder)}",
            stage="finetune",
            label="",
            argv=commands.finetune(self.study, run, seed, folder, rate, chosen_by),
            writes=[f"{folder}/train.log"],
            owns=[folder],
            log=f"{folder}/train.log",
            seconds=self._seconds("finetune", work, trained),
            goal=("num_updates", updates),
            tokens=trained,
            work=work,
            kept=kept,
        )

    def _evaluation_jobs(self, finetune: Job, run: Finetuning, label: str, subset: str) -> Iterator[Job]:
        folder, name = finetune.owns[0], finetune.run
        generated, scores = commands.translations_file(self.study, subset), commands.scores_file(self.study, subset)
        if subset in self.study.translation.subset[1:]:
            name, label = f"{name}/{subset}", f"{label} {subset}"
        work = pricing.translation(self.shape, self.study.translation.beam) if self.shape else Work()
        translate = Job(
            id=f"translate/{name}",
            stage="translate",
            label=f"translate {label}",
            argv=commands.translate(self.study, run.task, folder, subset),
            needs=[finetune.id],
            reads={f"{folder}/checkpoint_last.pt": finetune.id},
            writes=[f"{folder}/{generated}"],
            owns=[f"{folder}/{generated}"],
            output=f"{folder}/{generated}",
            log=f"{folder}/{generated}".replace(".txt", ".log"),
            seconds=self._seconds("translate", work, work.decoder_positions),
            work=work,
            group="translate",
            candidate=finetune.candidate,
        )
        yield translate
        yield Job(
            id=f"score/{name}",
            stage="score",
            label=f"score {label}",
            argv=commands.score(self.study, run.task, folder, subset),
            needs=[translate.id],
            reads={f"{folder}/{generated}": translate.id},
            writes=[f"{folder}/{scores}"],
            owns=[f"{folder}/{scores}"],
            log=f"{folder}/{scores}".replace("scores", "score").replace(".json", ".log"),
            seconds=STAGES["score"].seconds,
            group="score",
            candidate=finetune.candidate,
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _fit_job(self, jobs: list[Job]) -> Job:
        """Return the fit over what is to be reported: no candidate is."""
        reported = [job for job in jobs if job.stage in ("pretrain", "score") and not job.candidate]
        makers = {job.writes[0]: job.id for job in reported}
        inputs = dict.fromkeys(path.rsplit("/", 1)[0] for path in makers)  # several files of scores in one folder
        alignment = {job.writes[0]: job.id for job in jobs if job.stage == "alignment"}
        makers |= alignment
        return Job(
            id="fit/results",
            stage="fit",
            label="fit the laws",
            argv=commands.fit(self.study, [*inputs, *alignment]),
            needs=list(makers.values()),
            reads=makers,
            writes=["results/report.html"],
            owns=["results"],
            output="results/table.txt",
            log="logs/fit.log",
            seconds=STAGES["fit"].seconds,
            group="fit the laws",
        )

    def _with_resources(self, job: Job) -> Job:
        asked = self.study.resources_of[job.stage]
        named = {"mem_mb": asked.memory, "runtime": asked.time, "gpu": asked.gpus}
        told = {name: value for name, value in named.items() if value is not None} | asked.snakemake
        return replace(job, threads=asked.threads or self.study.threads, resources=told)

    def _seconds(self, stage: str, work: Work, tokens: int) -> float:
        """Return a first guess of the duration of a training or translation."""
        busy = work.flops / _CORE_SPEED if work.flops else tokens / _UNKNOWN_MODEL_SPEED
        return _START_SECONDS + busy / (self.study.resources_of[stage].threads or 1)


def _choice_job(name: str, by: str, candidates: dict[str, Job], file: str, label: str) -> Job:
    """Return the choice between candidates: learning rate -> the last of the jobs that try it."""
    folders = {rate: job.writes[0].rsplit("/", 1)[0] for rate, job in candidates.items()}
    return Job(
        id=name,
        stage="choose",
        label=f"choose lr, {label}",
        argv=commands.choose(by, folders, file),
        needs=[job.id for job in candidates.values()],
        reads={job.writes[0]: job.id for job in candidates.values()},
        writes=[file],
        owns=[file],
        log=f"{file.removesuffix('.json')}.log",
        seconds=STAGES["choose"].seconds,
        group="choose learning rates",
        candidate=True,
    )


def _order(job: Job) -> tuple[int, int, int]:
    """Return what jobs are sorted by: candidates come before the choice, and that before the runs which need it."""
    stage = position(job.stage)
    if stage <= position("alignment"):
        return 0, 0, stage
    part = 1 if job.stage == "pretrain" or job.id.startswith("choose/pretraining") else 2
    return part, 1 if job.stage == "choose" else 0 if job.candidate else 2, stage


def _decimals(mixture: Mixture) -> dict[str, str]:
    return dict(pair.split(":") for pair in commands.shares(mixture).split(","))


def _seed_label(seed: int, seeds: list[int]) -> str:
    return f" seed {seed}" if len(seeds) > 1 else ""


def _run_name(folder: str) -> str:
    """Return a run's folder without its first part: ``pretraining/``, ``finetuning/`` or ``.study/``."""
    return folder.split("/", 1)[1]
