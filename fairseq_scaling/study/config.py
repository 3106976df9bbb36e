"""study.yaml: what a study consists of, checked before the first byte is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from ..errors import DataError, SettingError
from ..mixture import Mixture
from . import _messages, _yaml
from ._fields import (
    Also,
    Budget,
    FairseqFlags,
    Language,
    Megabytes,
    Minutes,
    Options,
    Pair,
    Positive,
    PretrainingFlags,
    PretrainingMixture,
    Rate,
    Seeds,
    Tokens,
    as_list,
    baseline_section,
    different,
    member,
    rising,
)
from .choice import CRITERIA
from .graph import STAGES

TextSource = Literal["debian", "files", "wmt", "mc4"]


class Section(BaseModel):
    """A mapping of study.yaml: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Text(Section):
    """Where the text comes from and how it becomes a corpus; the mappings are options of scaling-preprocess's steps."""

    source: Annotated[
        list[TextSource], BeforeValidator(as_list), Field(min_length=1), Also({"type": "string"})
    ] = ["debian"]  # fmt: skip
    languages: Annotated[list[Language], Field(min_length=1)]
    pairs: Annotated[list[Pair], Field(min_length=1)]
    fetch: Options = {}
    clean: Options = {}
    sentencepiece: Options = {}
    encode: Options = {}

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

    grid: Annotated[list[Rate], Field(min_length=2)]

    @field_validator("grid")
    @classmethod
    def _different_rates(cls, grid: list[str]) -> list[str]:
        different([float(rate) for rate in grid], "grid")
        return grid


class PretrainingRateChoice(RateChoice):
    """The (base) rate of pretraining, by upstream cross-entropy after short runs of ``budget`` tokens.

    ``per: mixture`` chooses for each mixture; ``per: study`` lets the first mixture decide for all.
    """

    budget: Tokens
    per: Literal["mixture", "study"] = "mixture"


class FinetuningRateChoice(RateChoice):
    """The rate of finetuning, for each task, D_f and checkpoint, with the first seed; ``by`` is measured on valid."""

    by: Literal[CRITERIA] = "cross_entropy"  # type: ignore[valid-type]


class PretrainingOverride(Section):
    """Budgets (where its text ends early) or flags for the pretraining of one mixture alone."""

    mixture: PretrainingMixture
    budgets: Annotated[list[Tokens], Field(min_length=1)] | None = None
    fairseq: PretrainingFlags = {}

    @field_validator("budgets")
    @classmethod
    def _rising_budgets(cls, budgets: list[int] | None) -> list[int] | None:
        return rising(budgets, "budgets") if budgets else budgets


class Pretraining(Section):
    """One run for each mixture and seed; a checkpoint at each budget (tokens)."""

    mixtures: Annotated[list[PretrainingMixture], Field(min_length=1)]
    budgets: Annotated[list[Tokens], Field(min_length=1)]
    input_length: Positive = 64
    seeds: Seeds = [1]
    learning_rates: PretrainingRateChoice | None = None
    fairseq: PretrainingFlags = {}
    overrides: list[PretrainingOverride] = []

    @field_validator("mixtures")
    @classmethod
    def _different_mixtures(cls, mixtures: list[Mixture]) -> list[Mixture]:
        seen: list[Mixture] = []
        for mixture in mixtures:
            if any(dict(mixture) == dict(other) for other in seen):
                raise SettingError("mixtures", mixture, "stands there twice", "name every mixture once")
            seen.append(mixture)
        return mixtures

    @field_validator("budgets")
    @classmethod
    def _rising_budgets(cls, budgets: list[int]) -> list[int]:
        return rising(budgets, "budgets")

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: list[int]) -> list[int]:
        return different(seeds, "seeds")

    @model_validator(mode="after")
    def _overrides_apply(self) -> Pretraining:
        for override in self.overrides:
            if not any(dict(override.mixture) == dict(mixture) for mixture in self.mixtures):
                known = "; ".join(map(str, self.mixtures))
                raise SettingError(
                    "pretraining.overrides: mixture", override.mixture, "not in mixtures", f"known: {known}"
                )
        return self

    def override(self, mixture: Mixture) -> PretrainingOverride:
        """Return what is said of one mixture alone; an empty override where nothing is."""
        own = (other for other in self.overrides if dict(other.mixture) == dict(mixture))
        return next(own, PretrainingOverride(mixture=str(mixture)))

    def budgets_of(self, mixture: Mixture) -> list[int]:
        """Return the budgets of a mixture, in tokens, rising."""
        return self.override(mixture).budgets or self.budgets


class FinetuningOverride(Section):
    """Flags for the finetuning runs that agree with every condition given (pretrain_tokens 0: the baseline)."""

    mixture: PretrainingMixture | None = None
    pretrain_tokens: Budget | None = None
    finetune_tokens: Tokens | None = None
    task: Pair | None = None
    updates: Positive | None = None
    fairseq: FairseqFlags = {}

    def applies(
        self, mixture: Mixture | None, pretrain_tokens: int, finetune_tokens: int, task: tuple[str, str]
    ) -> bool:
        """Tell whether a run meets every condition; the baseline has no mixture and 0 pretrain_tokens."""
        return (
            (self.mixture is None or (mixture is not None and dict(self.mixture) == dict(mixture)))
            and self.pretrain_tokens in (None, pretrain_tokens)
            and self.finetune_tokens in (None, finetune_tokens)
            and self.task in (None, task)
        )


class Baseline(Section):
    """The finetuning without pretraining; its flags replace those of ``finetuning``."""

    updates: Positive | None = None
    fairseq: FairseqFlags = {}


_Sizes = Annotated[list[Tokens], Field(min_length=1)]


class Finetuning(Section):
    """One run for each task, mixture, pretraining seed, budget, number of tokens and seed.

    ``finetune_tokens`` is one list for all tasks, or one for each: ``{en-de: [6M, 31M], en-ro: [0.6M]}``.
    """

    tasks: Annotated[list[Pair], Field(min_length=1)]
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

    @field_validator("finetune_tokens")
    @classmethod
    def _rising_sizes(cls, tokens: Any) -> Any:
        for sizes in tokens.values() if isinstance(tokens, dict) else [tokens]:
            rising(sizes, "finetune_tokens")
        return tokens

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: list[int]) -> list[int]:
        return different(seeds, "seeds")

    @field_validator("tasks")
    @classmethod
    def _different_tasks(cls, tasks: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return different(tasks, "tasks")

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
    """How the finetuned models translate; ``fairseq`` holds further flags of fairseq-generate."""

    subset: Literal["test", "valid"] = "test"
    beam: Positive = 4
    fairseq: FairseqFlags = {}


class Resources(Section):
    """What one job of a stage needs; a cluster's scheduler is told. ``snakemake`` holds further Snakemake resources."""

    threads: Positive | None = None
    memory: Megabytes | None = None
    time: Minutes | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    snakemake: dict[str, int | str] = {}


class Study(Section):
    """A whole study. Exactly one of ``text`` (make a corpus) and ``corpus`` (use a finished one) is given."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    text: Text | None = None
    corpus: Path | None = None
    model: Model = Model()
    alignment: Options = {}
    pretraining: Pretraining
    finetuning: Finetuning
    translation: Translation = Translation()
    scoring: Options = {}
    fitting: Options = {}
    threads: Positive = 1
    resources: Annotated[
        dict[str, Resources], Field(json_schema_extra={"propertyNames": {"enum": ["default", *STAGES]}})
    ] = {}  # fmt: skip
    file: SkipJsonSchema[Path] = Path("study.yaml")

    @property
    def folder(self) -> Path:
        """The folder of study.yaml; relative paths in it start there."""
        return self.file.parent

    @field_validator("resources")
    @classmethod
    def _known_stages(cls, resources: dict[str, Resources]) -> dict[str, Resources]:
        for stage in resources:
            member("resources", stage, ["default", *STAGES], "the stages of a study")
        return resources

    @cached_property
    def resources_of(self) -> dict[str, Resources]:
        """Stage -> what a job of it needs; what its own section leaves open comes from ``default``."""
        needs = {}
        for stage in STAGES:
            given: dict[str, Any] = {"threads": self.threads, "snakemake": {}}
            for section in (self.resources[name] for name in ("default", stage) if name in self.resources):
                further = {**given["snakemake"], **section.snakemake}
                given |= {key: value for key, value in section if value is not None} | {"snakemake": further}
            needs[stage] = Resources.model_construct(**given)
        return needs

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        if (self.text is None) == (self.corpus is None):
            given = "neither is given" if self.text is None else "both are given"
            raise SettingError("text, corpus", given, "one of them is needed", "text makes a corpus, corpus names one")
        if self.text is not None:
            for mixture in self.pretraining.mixtures:
                for language in mixture:
                    member(f"pretraining.mixtures ({mixture})", language, self.text.languages, "text.languages")
            pairs = {frozenset(pair) for pair in self.text.pairs}
            for task in self.finetuning.tasks:
                if frozenset(task) not in pairs:
                    known = ", ".join("-".join(pair) for pair in self.text.pairs)
                    raise SettingError("finetuning.tasks", "-".join(task), "not in text.pairs", f"known: {known}")
        self._overrides_match()
        for name in ("pretraining", "finetuning"):
            section = getattr(self, name)
            for place, flags in (("model", self.model.fairseq), (name, section.fairseq)):
                if section.learning_rates is not None and flags.get("lr") is not None:
                    raise SettingError(
                        f"{place}.fairseq: lr", flags["lr"], f"{name}.learning_rates chooses this rate",
                        "leave out one of them",
                    )  # fmt: skip
        return self

    def _overrides_match(self) -> None:
        """Refuse an override that no run meets: it is a typing error that would change nothing in silence."""
        for override in self.finetuning.overrides:
            if not any(
                override.applies(mixture if budget else None, budget, tokens, task)
                for mixture in self.pretraining.mixtures
                for budget in [0, *self.pretraining.budgets_of(mixture)]
                for task in self.finetuning.tasks
                for tokens in self.finetuning.sizes(task)
            ):
                given = override.model_dump(exclude_none=True, exclude={"fairseq", "updates"})
                raise SettingError(
                    "finetuning.overrides", {key: str(value) for key, value in given.items()}, "no run meets this",
                    "compare it with mixtures, budgets, finetune_tokens and tasks",
                )  # fmt: skip


def load_study(path: str | Path, settings: Sequence[str] = ()) -> Study:
    """Return the study described by a YAML file (or by the study.yaml of a folder).

    Args:
        path: the file or its folder.
        settings: ``KEY=VALUE`` each, the value as YAML: ``pretraining.budgets=[1M, 2M]``; they replace the file's.

    Raises:
        DataError: there is no such file, or it is no YAML.
        SettingError: a key is unknown or missing, or a value is impossible; the message names the file, the line (or
            the ``--set``), the key, its value and what would be right. All mistakes are named at once.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "study.yaml"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}\n  Name a study.yaml; examples/quickstart has one to copy."
        raise DataError(message) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start + 1} is no UTF-8\n  Save the file as UTF-8.") from None
    values, lines = _yaml.load(text, path)
    if not isinstance(values, dict):
        raise DataError(f"{path}: a study is a mapping that begins with name, text, pretraining and finetuning")
    places = _yaml.replace(values, settings)
    if "file" in values:
        raise SettingError(f"{path}: file", values["file"], "unknown key", "remove it")
    try:
        return Study.model_validate({**values, "file": path.absolute()})
    except ValidationError as error:
        where = _messages.Where(path, lines, places)
        raise _messages.StudyError("\n".join(_messages.message(Study, where, one) for one in error.errors())) from None


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of study.yaml, for editors that complete and check while one writes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
