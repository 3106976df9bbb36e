"""study.yaml: what a study consists of, checked before the first byte is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from ...errors import DataError, SettingError
from ..stages import STAGES
from . import flags as _flags
from . import messages as _messages
from . import yaml_text as _yaml
from .fields import Also, Name, Options, Positive, all_different, member
from .sections import (
    NO_PRETRAINING,
    Checkpoint,
    Finetuning,
    Model,
    Pretraining,
    Resources,
    Section,
    Start,
    Text,
    Translation,
)


class Study(Section):
    """A whole study.

    Exactly one of ``text`` (make a corpus) and ``corpus`` (use a finished one) is given, and at least one of
    ``pretraining`` and ``checkpoints``. Without pretraining that section has no mixtures and no budgets.
    """

    name: Name
    text: Text | None = None
    corpus: Path | None = None
    model: Model = Model()
    alignment: Options = {}
    # A factory, because the JSON schema would show a default that it refuses.
    pretraining: Annotated[
        Pretraining, BeforeValidator(lambda value: NO_PRETRAINING if value is None else value), Also({"type": "null"})
    ] = Field(default_factory=lambda: NO_PRETRAINING)  # fmt: skip
    checkpoints: Annotated[
        list[Checkpoint],
        all_different("checkpoints: name", lambda one: one.name),
        all_different("checkpoints: file", lambda one: one.file),
    ] = []
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

    @property
    def common_scoring(self) -> dict[str, Any]:
        """The options of ``scoring`` that hold for every task."""
        return {name: value for name, value in self.scoring.items() if not isinstance(value, dict)}

    @property
    def scoring_by_task(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Task -> the options of ``scoring`` for it alone."""
        tasks = {"-".join(task).replace("_", "-"): task for task in self.finetuning.tasks}
        own = {name: value for name, value in self.scoring.items() if isinstance(value, dict)}
        for name in own:
            member("scoring", name, list(tasks), "finetuning.tasks")
        return {tasks[name]: _flags.step_options(options) for name, options in own.items()}

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
        self._has_starts()
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
        _ = self.scoring_by_task  # refuses what is no task
        for name in ("pretraining", "finetuning"):
            section = getattr(self, name)
            for place, flags in (("model", self.model.fairseq), (name, section.fairseq)):
                if section.learning_rates is not None and flags.get("lr") is not None:
                    raise SettingError(
                        f"{place}.fairseq: lr", flags["lr"], f"{name}.learning_rates chooses this rate",
                        "leave out one of them",
                    )  # fmt: skip
        return self

    def _has_starts(self) -> None:
        """Refuse a study with nothing to finetune, and a vocabulary that its checkpoints cannot have."""
        if not self.pretraining.mixtures and not self.checkpoints:
            raise SettingError(
                "pretraining, checkpoints", "neither is given", "one of them is needed",
                "pretraining makes the models to finetune, checkpoints names finished ones",
            )  # fmt: skip
        known = [one.name for one in self.checkpoints]
        if self.pretraining.start is not None and self.pretraining.start not in known:
            raise SettingError(
                "pretraining.start", self.pretraining.start, "is none of the checkpoints",
                f"checkpoints names: {', '.join(known) or 'none'}",
            )  # fmt: skip
        if self.checkpoints and self.text is not None and self.text.vocabulary is None:
            raise SettingError(
                "checkpoints", ", ".join(one.name for one in self.checkpoints),
                "a SentencePiece model trained on the study's text is none that they know",
                "name the folder with theirs as text.vocabulary, or text encoded with it as corpus",
            )  # fmt: skip

    def starts(self) -> Iterator[Start]:
        """Yield all that finetunings start from: nothing (the baseline), the budgets, the checkpoints given.

        The baseline of a continued pretraining is its start, which is one of the checkpoints.
        """
        if self.finetuning.baseline is not None and self.pretraining.start is None:
            yield Start()
        for mixture in self.pretraining.mixtures:
            for seed in self.pretraining.seeds:
                for number, budget in enumerate(self.pretraining.budgets_of(mixture), start=1):
                    yield Start(mixture, budget, seed, number)
        for one in self.checkpoints:
            yield Start(pretrain_tokens=None, checkpoint=one.name)

    def finetunings(self, skipped: bool = False) -> Iterator[tuple[tuple[str, str], int, Start]]:
        """Yield task, D_f in tokens and start of each finetuning; ``skipped``: also those that overrides leave out."""
        left_out = [override for override in self.finetuning.overrides if override.skip]
        for task in self.finetuning.tasks:
            for tokens in self.finetuning.sizes(task):
                for start in self.starts():
                    if skipped or not any(override.applies(start, tokens, task) for override in left_out):
                        yield task, tokens, start

    def _overrides_match(self) -> None:
        """Refuse an override that no run meets: it is a typing error that would change nothing in silence."""
        for override in self.finetuning.overrides:
            if not any(override.applies(start, tokens, task) for task, tokens, start in self.finetunings(skipped=True)):
                given = override.model_dump(exclude_none=True, exclude={"fairseq", "updates", "skip"})
                raise SettingError(
                    "finetuning.overrides", {key: str(value) for key, value in given.items()}, "no run meets this",
                    "compare it with mixtures, budgets, checkpoints, finetune_tokens and tasks",
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
    path, text = _read(path)
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


def settings_text(path: str | Path, settings: Sequence[str] = ()) -> str:
    """Return a study.yaml in which the ``settings`` of ``load_study`` stand; as it is, comments and all, without any.

    Relative paths in it begin at the folder of the study.yaml that it was made from.
    """
    path, text = _read(path)
    if not settings:
        return text
    values, _ = _yaml.load(text, path)
    _yaml.replace(values, settings)
    return f"# {path.name} and the settings that --set replaced or added, as one file.\n{_yaml.dump(values)}"


def _read(path: str | Path) -> tuple[Path, str]:
    """Return the file that names a study (the study.yaml of a folder), and its text."""
    path = Path(path)
    if path.is_dir():
        path = path / "study.yaml"
    try:
        return path, path.read_text("utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}\n  Name a study.yaml; examples/quickstart has one to copy."
        raise DataError(message) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start + 1} is no UTF-8\n  Save the file as UTF-8.") from None


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of study.yaml, for editors that complete and check while one writes."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Study.model_json_schema()}
