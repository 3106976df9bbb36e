"""What several tests of studies share: reading commands, journals, tables and refusals; waiting."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fairseq_scaling.cli.study import main
from fairseq_scaling.errors import ScalingError
from fairseq_scaling.study.settings.config import load_study

Write = Callable[[dict[str, Any] | str], Path]
PAPER = Path(__file__).parents[2] / "examples/isik2025"


def value_of(words: list[str], flag: str) -> str:
    """Return the value of a flag in words; the last one counts, as for fairseq."""
    return words[max(place for place, word in enumerate(words) if word == f"--{flag}") + 1]


def kinds(started: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in started:
        program = line.split()[0]
        found[program] = found.get(program, 0) + 1
    return found


def set_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def wait_for(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def refusal(write: Write, content: dict[str, Any] | str) -> str:
    with pytest.raises(ScalingError) as caught:
        load_study(write(content))
    return str(caught.value)


def table(*words: str | Path) -> tuple[dict[str, list[str]], str]:
    """Return the rows that ``scaling-study plan`` prints, first cell -> the others, and all it printed."""
    result = CliRunner().invoke(main, ["plan", *map(str, words)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    lines = [re.split(r"\s*[│┃]\s*", line)[1:-1] for line in result.output.splitlines() if line[:1] in "│┃"]
    return {line[0]: line[1:] for line in lines}, result.output
