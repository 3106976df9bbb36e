"""What a person reads where study.yaml is wrong: file and line or ``--set``, key, value, and what would be right."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from ...errors import ScalingError, SettingError
from . import yaml_text as _yaml


class StudyError(SettingError):
    """One or more impossible settings of a study.yaml."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.setting, self.value = "study.yaml", None


class Where(NamedTuple):
    """Where the values of a study come from: its file, the line of every key, and the key of every ``--set``."""

    path: Path
    lines: _yaml.Lines
    settings: dict[tuple[Any, ...], str]

    def of(self, place: list[Any]) -> str:
        key = tuple(place)
        for own, text in self.settings.items():
            shared = min(len(own), len(key))
            # A key that a --set made, or a value inside what it gave.
            if own[:shared] == key[:shared] and (shared == len(own) or key not in self.lines):
                return f"--set {text}"
        line = _yaml.line_of(self.lines, place)
        return f"{self.path}, line {line}" if line else str(self.path)


def message(study: type[BaseModel], where: Where, detail: Any) -> str:
    """Return the message for one mistake that pydantic found in a ``study``."""
    # pydantic adds marks of its own: "[key]" for the key of a mapping, and the names of our choices of form, "<list>".
    place = [part for part in detail["loc"] if part != "[key]" and not str(part).startswith("<")]
    kind, value = detail["type"], detail["input"]
    key, start = _yaml.key_name(place), where.of(place)
    if kind == "extra_forbidden":
        known = _keys_at(study, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"{start}: {key}: unknown key; {remedy}"
    if kind == "missing":
        return f"{start}: {key} is missing"
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, ScalingError):
        text = str(cause)
        return f"{start}: {text}" if not key or text.startswith(key) else f"{start}: {key}: {text}"
    return f"{start}: {key} = {value!r}: {detail['msg'].lower()}"


def _keys_at(study: Any, place: list[Any]) -> list[str]:
    """Return the keys that the section at ``place`` knows."""
    model = study
    for part in place:
        if isinstance(part, str) and part in getattr(model, "model_fields", {}):
            model = _section_in(model.model_fields[part].annotation)
    # ``file`` is the one field of a study that its file cannot give.
    return [name for name in model.model_fields if (model, name) != (study, "file")] if model else []


def _section_in(annotation: Any) -> Any:
    """Return the section class inside an annotation such as ``list[Override]`` or ``Baseline | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _section_in(inner):
            return found
    return None
