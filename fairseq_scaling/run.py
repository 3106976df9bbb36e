"""The description of a run: what it was trained on, and with which settings.

The tasks write it, logs, scores and reports read it. It is one JSON object: in a log the line ``SCALING_RUN {...}``, in
a checkpoint ``task_state["fairseq_scaling"]["run"]``, in a score file ``run``. Needs neither torch nor fairseq.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from .errors import ScalingError
from .mixture import Mixture

FORMAT = 2
READABLE_FORMATS = (1, 2)
"""Format 1 says of a start its name alone, and does not say how much of its finetuning set a run has read."""
RUN_MARK, SCORES_MARK = "SCALING_RUN", "SCALING_SCORES"
_LARGEST = 10**18
_LONGEST_TEXT = 200
_MOST_LANGUAGES = 1000


class Stage(StrEnum):
    """What a run does."""

    PRETRAINING = "pretraining"
    FINETUNING = "finetuning"


@dataclass(frozen=True)
class Start:
    """The model that a run started from, where its own pretraining is not counted in D_p.

    Attributes:
        name: what logs and reports call it.
        checksum: of its weights, in hex; two starts are the same if and only if their checksums are.
        pretrain_tokens: D_p of its own pretraining, where its checkpoint says so.
        mixture: of that pretraining.
        run_id: of that pretraining.
    """

    name: str
    checksum: str = ""
    pretrain_tokens: int | None = None
    mixture: Mixture | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Change:
    """A setting that was changed when a run was resumed, after so many updates."""

    setting: str
    before: Any
    after: Any
    updates: int


@dataclass(frozen=True)
class RunDescription:
    """What makes a run. Fields are None (or empty) where the run does not say them.

    Attributes:
        stage: pretraining or finetuning.
        run_id: 12 hexadecimal digits made of all that makes two runs different, see :meth:`identity`.
        pretrain_tokens: D_p in tokens: of a pretraining the largest budget; of a finetuning what its checkpoint had
            consumed, 0 for a baseline, None if unknown. With a ``start`` these are additional tokens.
        pretrain_tokens_by_language: what was consumed of each language; their sum is ``pretrain_tokens``.
        pretrain_unique_tokens_by_language: the same, each block counted once; empty where no text was repeated.
        mixture: of the pretraining; None for a baseline.
        alignment: the paper's score of the mixture with the task.
        finetune_tokens: D_f that was asked for, source and target together.
        finetune_tokens_used: tokens of the pairs that were taken, the largest number that is no more than D_f.
        finetune_pairs: number of those pairs.
        finetune_tokens_read: tokens that the updates so far have read, repetitions counted; 0 before training.
        finetune_passes: how often the whole finetuning set was read; 0 where the run has not reached its end.
        seed, pretrain_seed: of this run, and of the pretraining.
        architecture, parameters: name of the model and number of its parameters.
        corpus: first 12 digits of the corpus's fingerprint.
        budgets: of a pretraining, in tokens.
        pretrain_run_id: of a finetuning, the pretraining run that it started from.
        start: the model that the pretraining (or a finetuning without one) started from.
        hyperparameters: every other setting on which the outcome may depend, as JSON.
        changes: settings that were changed on a resume.
        versions: program -> version.
    """

    stage: Stage
    run_id: str = ""
    pretrain_tokens: int | None = None
    pretrain_tokens_by_language: dict[str, int] = field(default_factory=dict)
    pretrain_unique_tokens_by_language: dict[str, int] = field(default_factory=dict)
    mixture: Mixture | None = None
    alignment: float | None = None
    finetune_tokens: int | None = None
    finetune_tokens_used: int | None = None
    finetune_pairs: int | None = None
    finetune_tokens_read: int | None = None
    finetune_passes: int | None = None
    source_lang: str | None = None
    target_lang: str | None = None
    seed: int | None = None
    pretrain_seed: int | None = None
    architecture: str | None = None
    parameters: int | None = None
    corpus: str | None = None
    budgets: tuple[int, ...] = ()
    pretrain_run_id: str | None = None
    start: Start | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the description as a JSON object; what it does not say is left out."""
        said = {name: _plain(getattr(self, name)) for name in _READERS}
        return {"format": FORMAT, **{name: value for name, value in said.items() if value not in (None, {}, [])}}

    def line(self) -> str:
        """Return the line of a log that says it."""
        return f"{RUN_MARK} {json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True)}"

    def identity(self) -> str:
        """Return the ``run_id`` that follows from the settings: equal settings, equal id.

        What was read, what changed on the way and versions are no part of it.
        """
        said = {name: _plain(getattr(self, name)) for name in _IDENTITY}
        said |= {"mixture": said["mixture"] or {}, "budgets": said["budgets"] or None}  # as format 1 wrote them
        if self.start is not None:  # by its content: a file may be renamed
            said["start"] = self.start.checksum
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


class Defect(StrEnum):
    """Why a description, or a field of one, cannot be used."""

    NO_RUN_ID = "no run_id"
    OTHER_FORMAT = "other format"
    NOT_EXACT = "not exact"


class Unusable(NamedTuple):
    """A field that was left out, or, of the field ``run_id`` or ``format``, a whole description."""

    defect: Defect
    field: str
    value: Any


def read_description(content: Mapping[str, Any]) -> tuple[RunDescription | None, list[Unusable]]:
    """Return the description that a JSON object holds, None if it cannot be used, and what of it was left out.

    Only exact values are taken: whole numbers are integers from 0 to 10^18, shares are fractions written as text.
    """
    run_id = content.get("run_id")
    if not isinstance(run_id, str) or not run_id.strip():
        return None, [Unusable(Defect.NO_RUN_ID, "run_id", run_id)]
    if content.get("format") not in READABLE_FORMATS:
        return None, [Unusable(Defect.OTHER_FORMAT, "format", content.get("format"))]
    found: dict[str, Any] = {}
    unusable = []
    for name, read in _READERS.items():
        value = content.get(name)
        if value is None:
            continue
        try:
            found[name] = read(value)
        except ValueError:
            unusable.append(Unusable(Defect.NOT_EXACT, name, value))
    if isinstance(content.get("start"), str):  # format 1: the run_id of such a pretraining is the start's checksum
        found["start"] = Start(found["start"].name, found.get("pretrain_run_id") or "")
    found.setdefault("stage", Stage.FINETUNING)
    return RunDescription(**found), unusable


# What makes two runs different runs.
_IDENTITY = (
    "stage", "pretrain_tokens", "mixture", "finetune_tokens", "source_lang", "target_lang", "seed", "pretrain_seed",
    "architecture", "parameters", "corpus", "budgets", "pretrain_run_id", "hyperparameters",
)  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mixture):
        return {language: str(share) for language, share in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Start | Change):
        said = {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
        return {name: part for name, part in said.items() if part not in (None, "")}
    return str(value) if isinstance(value, Stage) else value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TEXT:
        raise ValueError(value)
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(value)
    return value


def _alignment(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 10:
        raise ValueError(value)
    return float(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(value)
    return value


def _counts(value: Any) -> dict[str, int]:
    return {_text(language): _whole(count) for language, count in _object(value).items()}


def _texts(value: Any) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in _object(value).items()}


def _mixture(value: Any) -> Mixture | None:
    shares = tuple(_object(value).items())
    if len(shares) > _MOST_LANGUAGES or not all(isinstance(share, str) and len(share) < 40 for _, share in shares):
        raise ValueError(value)
    return _known_mixture(shares) if shares else None


@lru_cache(maxsize=256)
def _known_mixture(shares: tuple[tuple[str, str], ...]) -> Mixture:
    """Return the mixture of language and share; the runs of a study have few."""
    try:
        return Mixture({language: Fraction(share) for language, share in shares})
    except (ZeroDivisionError, ScalingError):
        raise ValueError(shares) from None


def _budgets(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(value)
    return tuple(map(_whole, value))


def _start(value: Any) -> Start:
    if isinstance(value, str):
        return Start(_text(value))
    content = _object(value)
    readers: dict[str, Callable[[Any], Any]] = dict.fromkeys(("run_id", "checksum"), _text)
    readers |= {"pretrain_tokens": _whole, "mixture": _mixture}
    said = {name: read(content[name]) for name, read in readers.items() if content.get(name) is not None}
    return Start(_text(content.get("name")), **said)


def _changes(value: Any) -> tuple[Change, ...]:
    if not isinstance(value, list):
        raise ValueError(value)
    return tuple(
        Change(_text(_object(item).get("setting")), item.get("before"), item.get("after"), _whole(item.get("updates")))
        for item in value
    )


# How each field is read from JSON; a ValueError says that the value is not exactly of its kind.
_READERS: dict[str, Callable[[Any], Any]] = {
    "stage": Stage,
    "run_id": _text,
    **dict.fromkeys(("pretrain_tokens", "finetune_tokens", "finetune_tokens_used", "finetune_pairs"), _whole),
    **dict.fromkeys(("finetune_tokens_read", "finetune_passes", "seed", "pretrain_seed", "parameters"), _whole),
    **dict.fromkeys(("pretrain_tokens_by_language", "pretrain_unique_tokens_by_language"), _counts),
    "mixture": _mixture,
    "alignment": _alignment,
    **dict.fromkeys(("source_lang", "target_lang", "architecture", "corpus", "pretrain_run_id"), _text),
    "budgets": _budgets,
    "start": _start,
    "hyperparameters": _object,
    "changes": _changes,
    "versions": _texts,
}
