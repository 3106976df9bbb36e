"""YAML with line numbers, in which a key that stands twice is an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError

Lines = dict[tuple[Any, ...], int]


def load(text: str, path: Path) -> tuple[Any, Lines]:
    """Return the values of a YAML text, and key path -> line (from 1).

    Raises:
        DataError: the text is no YAML, a value is impossible, or a key stands twice in one mapping.
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


def _walk(node: yaml.Node, place: tuple[Any, ...], lines: Lines, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            line = key.start_mark.line + 1
            if inner in lines:
                raise DataError(f"{path}, line {line}: {key_name(inner)} stands twice (first in line {lines[inner]})")
            lines[inner] = line
            _walk(value, inner, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            lines[(*place, position)] = value.start_mark.line + 1
            _walk(value, (*place, position), lines, path)
