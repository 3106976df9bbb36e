from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
PROGRAMS = (
    "scaling-preprocess", "scaling-alignment", "scaling-study", "fairseq-train", "fairseq-generate",
    "score-translations", "fit-scaling",
)  # fmt: skip


def small_study() -> dict[str, Any]:
    return {
        "name": "small",
        "text": {"source": "files", "languages": ["de", "en", "fr"], "pairs": ["en-fr"]},
        "pretraining": {"mixtures": ["en:0.5,fr:0.5", "de:1"], "budgets": ["0.5M", "1M", "2M"]},
        "finetuning": {"tasks": ["en-fr"], "finetune_tokens": ["0.2M"], "updates": 100},
    }


@pytest.fixture
def values() -> dict[str, Any]:
    """The values of a study.yaml with two mixtures, three budgets and the baseline."""
    return small_study()


@pytest.fixture
def one_budget(values: dict[str, Any]) -> None:
    """Make the study smaller: 2 pretrainings of one budget each, 3 finetunings, 17 jobs."""
    values["pretraining"]["budgets"] = ["1M"]


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[dict[str, Any] | str], Path]:
    def write(content: dict[str, Any] | str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write


class Fakes:
    """The programs of a study, replaced by ones that only write the files (see fake_program.py)."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.journal = folder / "journal"
        self.journal.touch()
        for name in PROGRAMS:
            program = self.programs / name
            start = shlex.join([sys.executable, "-S", "-E", str(HERE / "fake_program.py"), name])
            program.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
            program.chmod(0o755)

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            **os.environ,
            "SCALING_STUDY_PROGRAMS": str(self.programs),
            "FAKE_JOURNAL": str(self.journal),
            "PYTHONPATH": str(HERE.parent.parent),
            **settings,
        }

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "fairseq_scaling.cli.study", *map(str, words)]

    def run(self, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def started(self) -> list[str]:
        """Return "program argument" of every start since the last call, and forget them."""
        lines = [
            line.removeprefix("start ") for line in self.journal.read_text().splitlines() if line.startswith("start")
        ]
        self.journal.write_text("")
        return lines


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


Finished = tuple[Path, subprocess.CompletedProcess[str], list[str]]


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished study of one budget, what its run printed, and the programs it started."""
    folder = tmp_path_factory.mktemp("finished")
    fakes = Fakes(folder)
    study = small_study()
    study["pretraining"]["budgets"] = ["1M"]
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    result = fakes.run("run", folder / "study.yaml", "--out", folder / "out", "--cores", "2")
    return folder / "out", result, fakes.started()


@pytest.fixture
def finished(finished_once: Finished, tmp_path: Path) -> Path:
    """A copy of the finished study, for a test of its own."""
    shutil.copytree(finished_once[0], tmp_path / "out", symlinks=True)
    return tmp_path / "out"
