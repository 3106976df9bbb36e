"""YAML with line numbers, in which a key that is given twice is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ...errors import DataError, SettingError

Lines = dict[tuple[Any, ...], int]


def load(text: str, path: Path) -> tuple[Any, Lines]:
    """Return the values of a YAML text, and key path -> line (from 1).

    Raises:
        DataError: the text is no YAML, a value is impossible, or a key is given twice in one mapping.
    """
    lines: Lines = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
        if root is not None:
            _walk(root, (), lines, path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error)
        raise DataError(f"{where}: not readable as YAML: {problem}") from None
    except RecursionError:
        raise DataError(f"{path}: nested without end; no study is") from None
    except ValueError as error:  # such as a date in the thirteenth month
        raise DataError(f"{path}: not readable as YAML: {error}\n  write text in quotes") from None
    return values, lines


def dump(values: dict[str, Any]) -> str:
    """Return values as YAML, in their order."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def replace(values: dict[str, Any], settings: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """Set values, in place, as ``KEY=VALUE`` says: ``pretraining.budgets=[1M, 2M]``, ``text.pairs[0]=en-fr``.

    The value is YAML; a section that is missing, or only true, is made. Returns key path -> the text that set it.

    Raises:
        SettingError: no ``=``, a value that is no YAML, or a key inside something that has no keys.
    """
    places: dict[tuple[Any, ...], str] = {}
    for text in settings:
        key, equals, given = text.partition("=")
        place = [int(part[1:-1]) if part[0] == "[" else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", key.strip())]
        if not equals or not place:
            raise SettingError("--set", text, "not KEY=VALUE", "write for example pretraining.budgets='[1M, 2M]'")
        try:
            value = yaml.safe_load(given)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or error
            raise SettingError("--set", text, f"the value is not readable as YAML: {problem}") from None
        inner: Any = values
        for position, part in enumerate(place):
            if not _has_room(inner, part):
                raise SettingError("--set", text, f"the study has no {key_name(place[: position + 1])}")
            if position == len(place) - 1:
                inner[part] = value
            else:
                if isinstance(inner, dict) and (inner.get(part) is None or inner[part] is True):
                    inner[part] = {}
                inner = inner[part]
        places[tuple(place)] = text
    return places


def key_name(place: Sequence[Any]) -> str:
    """Return a key path as people write it: ``pretraining.budgets[2]``."""
    name = ""
    for part in place:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def line_of(lines: Lines, place: Sequence[Any]) -> int | None:
    """Return the line of a key path, or of the nearest section around it that stands in the file."""
    for length in range(len(place), 0, -1):
        if tuple(place[:length]) in lines:
            return lines[tuple(place[:length])]
    return None


def _has_room(container: Any, part: str | int) -> bool:
    """Tell whether a mapping or list can hold, or holds, the entry ``part``."""
    if isinstance(container, list):
        return isinstance(part, int) and part < len(container)
    return isinstance(container, dict) and isinstance(part, str)


def _walk(node: yaml.Node, place: tuple[Any, ...], lines: Lines, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            line = key.start_mark.line + 1
            if inner in lines:
                raise DataError(f"{path}, line {line}: {key_name(inner)} is given twice (first in line {lines[inner]})")
            lines[inner] = line
            _walk(value, inner, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            lines[(*place, position)] = value.start_mark.line + 1
            _walk(value, (*place, position), lines, path)
