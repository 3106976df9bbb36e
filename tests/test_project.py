"""The frame of the project: Makefile, lock file, packaging."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKED = dict(
    re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
)  # fmt: skip


def make(*words: str, folder: Path = ROOT) -> str:
    return subprocess.run(
        ["make", "--no-print-directory", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_make_lists_its_commands() -> None:
    text = make()
    for command in ("study", "test", "lint", "clean", "venv"):
        assert re.search(rf"^  {command} +\w", text, re.M), command


def test_make_study_runs_the_quickstart_and_test_and_lint_what_they_say(tmp_path: Path) -> None:
    assert "scaling-study run examples/quickstart/study.yaml --out work/quickstart" in make("-n", "study")
    assert "--out work/mine" in make("-n", "study", "STUDY=examples/mine/study.yaml")
    assert "-m pytest" in make("-n", "test")
    lint = make("-n", "lint")
    assert "ruff check" in lint
    assert "mypy" in lint


def test_an_environment_is_made_once_for_each_lock_file() -> None:
    """A file in .venv names the lock's checksum; touching the lock changes nothing, changing it does."""
    first = re.findall(r"packages-\w+", make("-n", "venv", "VENV=no-such-folder"))
    assert first
    assert first == re.findall(r"packages-\w+", make("-n", "venv", "VENV=no-such-folder"))


def test_a_virtual_environment_that_make_has_not_made_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    kept = tmp_path / "mine/kept"
    kept.touch()
    result = subprocess.run(
        [ROOT / ".ci/make_venv", tmp_path / "mine", tmp_path / "mine/stamp"],
        capture_output=True, text=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "was not made by make" in result.stderr
    assert kept.exists()


def test_a_python_that_is_too_old_is_refused_with_a_remedy(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run(
        [ROOT / ".ci/make_venv", tmp_path / "venv", tmp_path / "venv/stamp"],
        capture_output=True, text=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)}, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "Python 3.11 or 3.12 is needed; found: Python 3.9.2" in result.stderr
    assert "make PYTHON=" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_the_lock_pins_the_agreed_versions_and_leaves_torchaudio_out() -> None:
    assert LOCKED["torch"] == "2.13.0"
    assert LOCKED["ve-fairseq"] == "0.12.3"
    assert not [name for name in LOCKED if name.startswith(("torchaudio", "nvidia", "triton"))]


@pytest.mark.parametrize(
    "name", ["snakemake", "pytest", "ruff", "mypy", "sacrebleu", "sentencepiece", "scipy", "click"]
)
def test_the_lock_covers_running_studying_testing_and_linting(name: str) -> None:
    assert name in LOCKED


def test_every_line_of_the_lock_is_a_pin_or_a_comment() -> None:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    assert not [
        line for line in lines if line and not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", line)
    ]
    assert len(LOCKED) > 50


def test_commands_that_need_no_training_start_without_torch_fairseq_and_numpy() -> None:
    for module in ("fairseq_scaling.cli.study", "fairseq_scaling.study.job"):
        code = f"import sys, {module}; print(sorted({{'torch', 'fairseq', 'numpy', 'pydantic'}} & set(sys.modules)))"
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]", module
