"""The sections of study.yaml: what each may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from ...errors import SettingError
from ...mixture import Mixture
from ..stages import CRITERIA
from .fields import (
    Also,
    Budget,
    Budgets,
    FairseqFlags,
    Language,
    Megabytes,
    Minutes,
    Name,
    Options,
    Pair,
    Positive,
    PretrainingFlags,
    PretrainingMixture,
    Rate,
    Seeds,
    Subset,
    Tokens,
    all_different,
    as_list,
    baseline_section,
    member,
    rising,
)

TextSource = Literal["debian", "files", "wmt", "mc4", "generated"]


class Start(NamedTuple):
    """What a finetuning starts from; by default nothing: the baseline.

    Attributes:
        mixture: of a pretraining of the study; None where it is none of the study's.
        pretrain_tokens: budget in tokens; 0 for the baseline, None where the study does not know it.
        seed: of the pretraining.
        number: of the budget in it, from 1.
        checkpoint: name of a checkpoint that the study is given.
    """

    mixture: Mixture | None = None
    pretrain_tokens: int | None = 0
    seed: int = 0
    number: int = 0
    checkpoint: str | None = None


class Section(BaseModel):
    """A mapping of study.yaml: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Text(Section):
    """Where the text comes from and how it becomes a corpus; the mappings are options of scaling-preprocess's steps.

    ``vocabulary`` is a folder with the ``sentencepiece.model`` and ``dict.txt`` of a finished model, which are then
    used instead of a SentencePiece model trained on the text.
    """

    source: Annotated[
        list[TextSource], BeforeValidator(as_list), Field(min_length=1), Also({"type": "string"})
    ] = ["debian"]  # fmt: skip
    languages: Annotated[list[Language], Field(min_length=1)]
    pairs: Annotated[list[Pair], Field(min_length=1)]
    fetch: Options = {}
    clean: Options = {}
    sentencepiece: Options = {}
    vocabulary: Path | None = None
    encode: Options = {}

    @model_validator(mode="after")
    def _one_sentencepiece_model(self) -> Text:
        if self.vocabulary is not None and self.sentencepiece:
            raise SettingError(
                "text.vocabulary", self.vocabulary, "text.sentencepiece trains another SentencePiece model",
                "leave out one of them",
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _pairs_have_languages(self) -> Text:
        for pair in self.pairs:
            for language in pair:
                member(f"text.pairs ({'-'.join(pair)})", language, self.languages, "text.languages")
        return self


class Model(Section):
    """The architecture, the same in pretraining and finetuning; ``fairseq`` holds its flags (dropout, ...)."""

    arch: str = "t5_tiny"
    fairseq: PretrainingFlags = {}


class RateChoice(Section):
    """Learning rates to choose from; one run for each, and the best on validation text decides."""

    grid: Annotated[list[Rate], Field(min_length=2), all_different("grid", float)]


class PretrainingRateChoice(RateChoice):
    """The (base) rate of pretraining, by upstream cross-entropy after short runs of ``budget`` tokens.

    ``per: mixture`` chooses for each mixture; ``per: study`` lets the first mixture decide for all.
    """

    budget: Tokens
    per: Literal["mixture", "study"] = "mixture"


class FinetuningRateChoice(RateChoice):
    """The rate of finetuning, for each task, D_f and checkpoint, with the first seed; ``by`` is measured on valid."""

    by: Literal[CRITERIA] = "cross_entropy"  # type: ignore[valid-type]


class Checkpoint(Section):
    """A finished checkpoint to finetune from: a published model that was converted, or one from another study.

    ``name`` stands for it in folders, logs and the report.
    """

    name: Name
    file: Path


class PretrainingOverride(Section):
    """Budgets (where its text ends early) or flags for the pretraining of one mixture alone."""

    mixture: PretrainingMixture
    budgets: Budgets | None = None
    fairseq: PretrainingFlags = {}


class Pretraining(Section):
    """One run for each mixture and seed; a checkpoint at each budget (tokens).

    ``start`` is the name of one of the study's ``checkpoints``, whose pretraining is continued: budgets then count
    additional tokens. ``repeat`` is how often text may be read, for every language or by language.
    """

    mixtures: Annotated[list[PretrainingMixture], Field(min_length=1), all_different("mixtures")]
    budgets: Budgets
    input_length: Positive = 512
    seeds: Seeds = [1]
    start: Name | None = None
    repeat: Positive | dict[Language, Positive] = 1
    learning_rates: PretrainingRateChoice | None = None
    fairseq: PretrainingFlags = {}
    overrides: list[PretrainingOverride] = []

    @model_validator(mode="after")
    def _overrides_apply(self) -> Pretraining:
        for override in self.overrides:
            if override.mixture not in self.mixtures:
                known = "; ".join(map(str, self.mixtures))
                raise SettingError(
                    "pretraining.overrides: mixture", override.mixture, "not in mixtures", f"known: {known}"
                )
        return self

    def override(self, mixture: Mixture) -> PretrainingOverride:
        """Return what is said of one mixture alone; an empty override where nothing is."""
        own = (other for other in self.overrides if other.mixture == mixture)
        return next(own, PretrainingOverride(mixture=str(mixture)))

    def repeat_of(self, mixture: Mixture) -> str | None:
        """Return how often the text of a mixture may be read, as ``--repeat`` has it; None where once."""
        repeat = self.repeat
        passes = {language: repeat.get(language, 1) if isinstance(repeat, dict) else repeat for language in mixture}
        if max(passes.values()) == 1:
            return None
        return ",".join(f"{language}:{number}" for language, number in passes.items())

    def budgets_of(self, mixture: Mixture) -> list[int]:
        """Return the budgets of a mixture, in tokens, rising."""
        return self.override(mixture).budgets or self.budgets


NO_PRETRAINING = Pretraining.model_construct(mixtures=[], budgets=[])
"""Of a study that finetunes finished checkpoints alone."""


class FinetuningOverride(Section):
    """Flags for the finetuning runs that agree with every condition given (pretrain_tokens 0: the baseline).

    ``skip`` leaves these runs out of the study.
    """

    mixture: PretrainingMixture | None = None
    checkpoint: str | None = None
    pretrain_tokens: Budget | None = None
    finetune_tokens: Tokens | None = None
    task: Pair | None = None
    skip: bool = False
    updates: Positive | None = None
    fairseq: FairseqFlags = {}

    def applies(self, start: Start, finetune_tokens: int, task: tuple[str, str]) -> bool:
        """Tell whether a run meets every condition."""
        return (
            self.mixture in (None, start.mixture)
            and self.checkpoint in (None, start.checkpoint)
            and self.pretrain_tokens in (None, start.pretrain_tokens)
            and self.finetune_tokens in (None, finetune_tokens)
            and self.task in (None, task)
        )


class Baseline(Section):
    """The finetuning without pretraining; its flags replace those of ``finetuning``."""

    updates: Positive | None = None
    fairseq: FairseqFlags = {}


_Sizes = Annotated[list[Tokens], Field(min_length=1), AfterValidator(lambda sizes: rising(sizes, "finetune_tokens"))]


class Finetuning(Section):
    """One run for each task, number of tokens, seed, and start: every pretrained checkpoint, those given, nothing.

    ``finetune_tokens`` is one list for all tasks, or one for each: ``{en-de: [6M, 31M], en-ro: [0.6M]}``.
    """

    tasks: Annotated[list[Pair], Field(min_length=1), all_different("tasks")]
    finetune_tokens: Annotated[
        Annotated[_Sizes, Tag("<list>")] | Annotated[dict[Pair, _Sizes], Tag("<mapping>")],
        Discriminator(lambda value: "<mapping>" if isinstance(value, dict) else "<list>"),
    ]
    updates: Positive
    seeds: Seeds = [1]
    baseline: Annotated[
        Baseline | None, BeforeValidator(baseline_section), Also({"type": "boolean"})
    ] = Baseline()  # fmt: skip
    upstream_validation: bool = True
    learning_rates: FinetuningRateChoice | None = None
    fairseq: FairseqFlags = {}
    overrides: list[FinetuningOverride] = []

    @model_validator(mode="after")
    def _every_task_has_sizes(self) -> Finetuning:
        sizes = self.finetune_tokens
        if isinstance(sizes, dict):
            known = ["-".join(task) for task in self.tasks]
            for task in sizes:
                member("finetune_tokens", "-".join(task), known, "tasks")
            for task in self.tasks:
                if task not in sizes:
                    raise SettingError("finetune_tokens", "-".join(task), "this task is missing", "give it a list")
        return self

    def sizes(self, task: tuple[str, str]) -> list[int]:
        """Return the numbers of finetuning tokens of a task, rising."""
        sizes = self.finetune_tokens
        return sizes[task] if isinstance(sizes, dict) else sizes


class Translation(Section):
    """How the finetuned models translate; ``fairseq`` holds further flags of fairseq-generate.

    ``subset`` is one set of the corpus or a list: ``[test, test1]``. Each has its own scores and curves.
    """

    subset: Annotated[
        list[Subset], BeforeValidator(as_list), Field(min_length=1), all_different("subset"), Also({"type": "string"})
    ] = ["test"]  # fmt: skip
    beam: Positive = 4
    fairseq: FairseqFlags = {}


class Resources(Section):
    """What one job of a stage needs; a cluster's scheduler is told. ``snakemake`` holds further Snakemake resources."""

    threads: Positive | None = None
    memory: Megabytes | None = None
    time: Minutes | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    snakemake: dict[str, int | str] = {}
