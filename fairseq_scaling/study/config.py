"""study.yaml: what a study consists of, checked before the first byte is read."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import DataError, ScalingError, SettingError
from ..mixture import Mixture
from ..quantities import parse_tokens
from . import _flags, _yaml

_LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?")


def _tokens(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SettingError("tokens", value, "not a number of tokens", "write for example 250000, 250k, 0.25M or 3B")
    return parse_tokens(int(value) if isinstance(value, float) and value.is_integer() else str(value))


def _language(value: object) -> str:
    if isinstance(value, bool):
        # YAML 1.1 reads a bare no (Norwegian) as false.
        raise SettingError("language", value, "YAML reads a bare no as false", 'write it in quotes: "no"')
    if not isinstance(value, str) or not _LANGUAGE.fullmatch(value):
        raise SettingError("language", value, "not a language code", "write for example en, fr or ro")
    return value


def _pair(value: object) -> tuple[str, str]:
    """Return (source, target) of ``en-fr``."""
    source, dash, target = str(value).partition("-")
    if not dash or not source or not target or source == target:
        raise SettingError("language pair", value, "not two languages", "write source-target, for example en-fr")
    return _language(source), _language(target)


def _mixture(value: object) -> Mixture:
    if isinstance(value, dict):
        value = ",".join(f"{language}:{share}" for language, share in value.items())
    return Mixture.parse(str(value))


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _baseline(value: object) -> object:
    """Return the section that ``baseline: true`` or ``false`` stands for: an empty one, or none."""
    return {} if value is True or value is None else None if value is False else value


Tokens = Annotated[int, BeforeValidator(_tokens), Field(gt=0)]
Budget = Annotated[int, BeforeValidator(_tokens), Field(ge=0)]
Language = Annotated[str, BeforeValidator(_language)]
Pair = Annotated[tuple[str, str], BeforeValidator(_pair)]
PretrainingMixture = Annotated[Mixture, BeforeValidator(_mixture)]
Options = Annotated[dict[str, Any], BeforeValidator(_flags.step_options)]
FairseqFlags = Annotated[dict[str, Any], BeforeValidator(_flags.fairseq_flags)]
PretrainingFlags = Annotated[dict[str, Any], BeforeValidator(_flags.pretraining_flags)]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

TextSource = Literal["debian", "files", "wmt", "mc4"]

T = TypeVar("T")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Text(_Section):
    """Where the text comes from and how it becomes a corpus; the mappings are options of scaling-preprocess's steps."""

    source: Annotated[list[TextSource], BeforeValidator(_as_list), Field(min_length=1)] = ["debian"]
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
                _member(f"text.pairs ({'-'.join(pair)})", language, self.languages, "text.languages")
        return self


class Model(_Section):
    """The architecture, the same in pretraining and finetuning; ``fairseq`` holds its flags (dropout, ...)."""

    arch: str = "t5_tiny"
    fairseq: PretrainingFlags = {}


class PretrainingOverride(_Section):
    """Flags for the pretraining of one mixture alone."""

    mixture: PretrainingMixture
    fairseq: PretrainingFlags


class Pretraining(_Section):
    """One run for each mixture and seed; a checkpoint at each budget (tokens)."""

    mixtures: Annotated[list[PretrainingMixture], Field(min_length=1)]
    budgets: Annotated[list[Tokens], Field(min_length=1)]
    input_length: Annotated[int, Field(gt=0)] = 64
    seeds: Seeds = [1]
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
        return _rising(budgets, "budgets")

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: list[int]) -> list[int]:
        return _different(seeds, "seeds")

    @model_validator(mode="after")
    def _overrides_apply(self) -> Pretraining:
        for override in self.overrides:
            if not any(dict(override.mixture) == dict(mixture) for mixture in self.mixtures):
                known = "; ".join(map(str, self.mixtures))
                raise SettingError(
                    "pretraining.overrides: mixture", override.mixture, "not in mixtures", f"known: {known}"
                )
        return self


class FinetuningOverride(_Section):
    """Flags for the finetuning runs that agree with every condition given (pretrain_tokens 0: the baseline)."""

    mixture: PretrainingMixture | None = None
    pretrain_tokens: Budget | None = None
    finetune_tokens: Tokens | None = None
    task: Pair | None = None
    updates: Annotated[int, Field(gt=0)] | None = None
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


class Baseline(_Section):
    """The finetuning without pretraining; its flags replace those of ``finetuning``."""

    updates: Annotated[int, Field(gt=0)] | None = None
    fairseq: FairseqFlags = {}


class Finetuning(_Section):
    """One run for each task, mixture, pretraining seed, budget, number of tokens and seed."""

    tasks: Annotated[list[Pair], Field(min_length=1)]
    finetune_tokens: Annotated[list[Tokens], Field(min_length=1)]
    updates: Annotated[int, Field(gt=0)]
    seeds: Seeds = [1]
    baseline: Annotated[Baseline | None, BeforeValidator(_baseline)] = Baseline()
    upstream_validation: bool = True
    fairseq: FairseqFlags = {}
    overrides: list[FinetuningOverride] = []

    @field_validator("finetune_tokens")
    @classmethod
    def _rising_tokens(cls, tokens: list[int]) -> list[int]:
        return _rising(tokens, "finetune_tokens")

    @field_validator("seeds")
    @classmethod
    def _different_seeds(cls, seeds: list[int]) -> list[int]:
        return _different(seeds, "seeds")

    @field_validator("tasks")
    @classmethod
    def _different_tasks(cls, tasks: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return _different(tasks, "tasks")


class Translation(_Section):
    """How the finetuned models translate; ``fairseq`` holds further flags of fairseq-generate."""

    subset: Literal["test", "valid"] = "test"
    beam: Annotated[int, Field(gt=0)] = 4
    fairseq: FairseqFlags = {}


class Study(_Section):
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
    threads: Annotated[int, Field(gt=0)] = 1
    file: Path = Path("study.yaml")

    @property
    def folder(self) -> Path:
        """The folder of study.yaml; relative paths in it start there."""
        return self.file.parent

    @model_validator(mode="after")
    def _fits_together(self) -> Study:
        if (self.text is None) == (self.corpus is None):
            given = "neither is given" if self.text is None else "both are given"
            raise SettingError("text, corpus", given, "one of them is needed", "text makes a corpus, corpus names one")
        if self.text is not None:
            for mixture in self.pretraining.mixtures:
                for language in mixture:
                    _member(f"pretraining.mixtures ({mixture})", language, self.text.languages, "text.languages")
            pairs = {frozenset(pair) for pair in self.text.pairs}
            for task in self.finetuning.tasks:
                if frozenset(task) not in pairs:
                    known = ", ".join("-".join(pair) for pair in self.text.pairs)
                    raise SettingError("finetuning.tasks", "-".join(task), "not in text.pairs", f"known: {known}")
        self._overrides_match()
        return self

    def _overrides_match(self) -> None:
        """Refuse an override that no run meets: it is a typing error that would change nothing in silence."""
        budgets = [0, *self.pretraining.budgets]
        for override in self.finetuning.overrides:
            if not any(
                override.applies(mixture if budget else None, budget, tokens, task)
                for mixture in self.pretraining.mixtures
                for budget in budgets
                for tokens in self.finetuning.finetune_tokens
                for task in self.finetuning.tasks
            ):
                given = override.model_dump(exclude_none=True, exclude={"fairseq", "updates"})
                raise SettingError(
                    "finetuning.overrides", {key: str(value) for key, value in given.items()}, "no run meets this",
                    "compare it with mixtures, budgets, finetune_tokens and tasks",
                )  # fmt: skip


def load_study(path: str | Path) -> Study:
    """Return the study described by a YAML file (or by the study.yaml of a folder).

    Raises:
        DataError: there is no such file, or it is no YAML.
        SettingError: a key is unknown or missing, or a value is impossible; the message names the file, the line, the
            key, its value and what would be right. All mistakes are named at once.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "study.yaml"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}\n  Name a study.yaml; examples/quickstart has one to copy."
        raise DataError(message) from None
    values, lines = _yaml.load(text, path)
    if not isinstance(values, dict):
        raise DataError(f"{path}: a study is a mapping that begins with name, text, pretraining and finetuning")
    if "file" in values:
        raise SettingError(f"{path}: file", values["file"], "unknown key", "remove it")
    try:
        return Study.model_validate({**values, "file": path.absolute()})
    except ValidationError as error:
        messages = [_message(path, detail, lines) for detail in error.errors()]
        raise StudyError("\n".join(messages)) from None


class StudyError(SettingError):
    """One or more impossible settings of a study.yaml."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.setting, self.value = "study.yaml", None


def _message(path: Path, detail: Any, lines: _yaml.Lines) -> str:
    """Return the message for one mistake that pydantic found."""
    place = list(detail["loc"])
    key = _yaml.key_name(place)
    line = _yaml.line_of(lines, place)
    where = f"{path}, line {line}" if line else str(path)
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{where}: {key}: unknown key; {remedy}"
    if kind == "missing":
        return f"{where}: {key} is missing"
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ScalingError):
        text = str(cause)
        return f"{where}: {text}" if not key or text.startswith(key) else f"{where}: {key}: {text}"
    return f"{where}: {key} = {value!r}: {detail['msg'].lower()}"


def _keys_at(place: list[Any]) -> list[str]:
    """Return the keys that the section at ``place`` knows."""
    model: Any = Study
    for part in place:
        if isinstance(part, str) and part in getattr(model, "model_fields", {}):
            model = _section_in(model.model_fields[part].annotation)
    return [name for name in model.model_fields if (model, name) != (Study, "file")] if model else []


def _section_in(annotation: Any) -> Any:
    """Return the section class inside an annotation such as ``list[Override]`` or ``Baseline | None``."""
    if isinstance(annotation, type) and issubclass(annotation, _Section):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _section_in(inner):
            return found
    return None


def _member(setting: str, value: str, known: list[str], where: str) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SettingError(setting, value, f"not in {where}", f"{hint}known: {', '.join(known)}")


def _rising(values: list[int], setting: str) -> list[int]:
    if any(later <= earlier for earlier, later in zip(values, values[1:], strict=False)):
        raise SettingError(setting, values, "must rise", "sort them and leave out repetitions")
    return values


def _different(values: list[T], setting: str) -> list[T]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise SettingError(setting, value, "stands there twice", "name it once")
    return values
