"""The kinds of values in study.yaml: how each is read, and what a JSON schema says of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ...errors import SettingError
from ...mixture import Mixture
from ...quantities import parse_tokens
from . import flags as _flags

_LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,4})?")
_SUBSET = re.compile(r"valid|test[A-Za-z0-9]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([MGTmgt])[bB]?")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(min|[smhd])")
_MEGABYTES = {"M": 1, "G": 1000, "T": 1_000_000}
_MINUTES = {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 1440}


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


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise SettingError(
            "name", value, "cannot be the name of a folder",
            "letters, digits, dots, dashes and underscores can: mt5-small",
        )  # fmt: skip
    return value


def _subset(value: object) -> str:
    if not isinstance(value, str) or not _SUBSET.fullmatch(value):
        raise SettingError("subset", value, "not a set of a corpus to translate", "write valid, test, test1, ...")
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


def _rate(value: object) -> str:
    """Return a learning rate as it was written: YAML reads 1e-3 as text and 0.001 as a number."""
    try:
        good = not isinstance(value, bool) and 0 < float(str(value)) < float("inf")
    except ValueError:
        good = False
    if not good:
        raise SettingError("learning rate", value, "not a number above zero", "write for example 0.001 or 1e-3")
    return str(value)


def _megabytes(value: object) -> int:
    match = _MEMORY.fullmatch(str(value).strip())
    if match is None:
        raise SettingError("memory", value, "not an amount of memory", "write for example 500M, 16G or 1T")
    return round(float(match[1]) * _MEGABYTES[match[2].upper()])


def _minutes(value: object) -> int:
    match = _TIME.fullmatch(str(value).strip())
    if match is None:
        raise SettingError("time", value, "not a duration", "write for example 30min, 12h or 3d")
    return max(1, round(float(match[1]) * _MINUTES[match[2]]))


def as_list(value: object) -> object:
    """Return the list that a lone text stands for."""
    return [value] if isinstance(value, str) else value


def baseline_section(value: object) -> object:
    """Return the section that ``baseline: true`` or ``false`` stands for: an empty one, or none."""
    return {} if value is True or value is None else None if value is False else value


def member(setting: str, value: str, known: list[str], where: str) -> None:
    """Raise SettingError where ``value`` is not one of ``known``, which stand in ``where``."""
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SettingError(setting, value, f"not in {where}", f"{hint}known: {', '.join(known)}")


def rising(values: list[int], setting: str) -> list[int]:
    """Return ``values``; SettingError where they do not rise."""
    if any(later <= earlier for earlier, later in zip(values, values[1:], strict=False)):
        raise SettingError(setting, values, "must rise", "sort them and leave out repetitions")
    return values


def all_different(setting: str, key: Callable[[Any], Any] = lambda value: value) -> AfterValidator:
    """Return the validator that refuses a list in which two values have the same key."""

    def check(values: list[Any]) -> list[Any]:
        keys = [key(value) for value in values]
        for position, found in enumerate(keys):
            if found in keys[:position]:
                raise SettingError(setting, found, "is listed twice", "name it once")
        return values

    return AfterValidator(check)


class Also:
    """Says in the JSON schema that a value may have further forms, beside the one that it is read into."""

    def __init__(self, *forms: dict[str, Any]) -> None:
        self.forms = forms

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {"anyOf": [handler(core), *self.forms]}


def _text(example: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example], **more})


def _number_or_text(example: str, pattern: str, **number: object) -> WithJsonSchema:
    choices = [{"type": "number", **number}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({"anyOf": choices, "examples": [example]})


_TOKENS_PATTERN = r"^\d[\d_]*(\.\d+)?([eE]\+?\d+)?\s*[kKmMbBgGtT]?$"
_MAPPING = WithJsonSchema({"type": ["object", "null"]})

Tokens = Annotated[
    int, BeforeValidator(_tokens), Field(gt=0), _number_or_text("0.25M", _TOKENS_PATTERN, exclusiveMinimum=0)
]
Budget = Annotated[int, BeforeValidator(_tokens), Field(ge=0), _number_or_text("0.25M", _TOKENS_PATTERN, minimum=0)]
Name = Annotated[str, BeforeValidator(_name), _text("mt5-small", pattern=f"^{_NAME.pattern}$")]
Language = Annotated[str, BeforeValidator(_language), _text("en", pattern=f"^{_LANGUAGE.pattern}$")]
Subset = Annotated[str, BeforeValidator(_subset), _text("test", pattern=f"^({_SUBSET.pattern})$")]
Pair = Annotated[tuple[str, str], BeforeValidator(_pair), _text("en-fr", pattern=r"^[^-]+-.+$")]
PretrainingMixture = Annotated[
    Mixture,
    BeforeValidator(_mixture),
    WithJsonSchema({"type": ["string", "object"], "examples": ["en:0.5,fr:0.5", "de", {"en": 0.5, "fr": 0.5}]}),
]
Rate = Annotated[
    str, BeforeValidator(_rate), _number_or_text("1e-3", r"^\d*\.?\d+([eE][+-]?\d+)?$", exclusiveMinimum=0)
]
Megabytes = Annotated[int, BeforeValidator(_megabytes), _text("16G", pattern=f"^{_MEMORY.pattern}$")]
Minutes = Annotated[int, BeforeValidator(_minutes), _text("12h", pattern=f"^{_TIME.pattern}$")]
Options = Annotated[dict[str, Any], BeforeValidator(_flags.step_options), _MAPPING]
FairseqFlags = Annotated[dict[str, Any], BeforeValidator(_flags.fairseq_flags), _MAPPING]
PretrainingFlags = Annotated[dict[str, Any], BeforeValidator(_flags.pretraining_flags), _MAPPING]
Budgets = Annotated[list[Tokens], Field(min_length=1), AfterValidator(lambda budgets: rising(budgets, "budgets"))]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), all_different("seeds")]
Positive = Annotated[int, Field(gt=0)]
