"""The frame of the project: Makefile, lock file, packaging."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKED = dict(
    re.findall(r"^([\w.-]+)==(\S+) \\$", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
)  # fmt: skip


def make(*words: str, folder: Path = ROOT) -> str:
    # What `make test STUDY=... OUT=...` was started with must not reach the make that is tested.
    mine = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "STUDY", "OUT")}
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=folder, env=mine, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip


def test_make_lists_its_commands() -> None:
    text = make()
    for command in ("study", "test", "lint", "clean", "venv"):
        assert re.search(rf"^  {command} +\w", text, re.M), command


def test_make_study_runs_the_quickstart_and_test_and_lint_what_they_say() -> None:
    assert "scaling-study run examples/quickstart/study.yaml --cores 3" in make("-n", "study", "CORES=3")
    assert "-m pytest" in make("-n", "test")
    lint = make("-n", "lint")
    assert "ruff check" in lint
    assert "mypy" in lint


def test_make_leaves_the_folder_of_a_study_to_scaling_study_unless_out_is_given() -> None:
    """So that `scaling-study status STUDY` looks where `make study STUDY=...` has written: work/NAME."""
    assert "--out" not in make("-n", "study", "STUDY=mine.yaml")
    assert "run mine.yaml --out elsewhere --cores" in make("-n", "study", "STUDY=mine.yaml", "OUT=elsewhere")


def test_an_environment_is_made_once_for_each_lock_file(tmp_path: Path) -> None:
    """A file in .venv names the lock's checksum; touching the lock changes nothing, changing it does."""
    for name in ("Makefile", "setup.py", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    lock = tmp_path / "requirements.lock"

    def stamps() -> list[str]:
        return re.findall(r"\.ci/make_venv \.venv \.venv/packages-(\w+)", make("-n", "venv", folder=tmp_path))

    first = stamps()
    assert first == [hashlib.sha256(lock.read_bytes()).hexdigest()[:16]]
    os.utime(lock, (2_000_000_000, 2_000_000_000))
    assert stamps() == first
    with lock.open("a") as file:
        file.write("# one more line\n")
    assert len(stamps()) == 1
    assert stamps() != first


def test_what_is_there_for_the_lock_is_not_made_again(tmp_path: Path) -> None:
    for name in ("Makefile", "setup.py", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    recipe = make("-n", "venv", folder=tmp_path)
    (tmp_path / ".venv").mkdir()
    for stamp in re.findall(r"\.venv/(?:packages|project)-\w+", recipe):
        (tmp_path / stamp).touch()
    os.utime(tmp_path / "requirements.lock", (2_000_000_000, 2_000_000_000))
    assert "make_venv" not in make("-n", "venv", folder=tmp_path)
    assert "pip" not in make("-n", "venv", folder=tmp_path)


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


def stand_in(folder: Path, name: str, *lines: str) -> None:
    """Write a program that does what the lines of shell say."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (folder / name).chmod(0o755)


def make_venv(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/make_venv where every Python on the PATH is 3.13, with the stand-ins of ``folder / "bin"`` before it."""
    bin = folder / "bin"
    for name in ("python", "python3", "python3.11", "python3.12"):
        stand_in(bin, name, "[ $1 = --version ] && echo Python 3.13.5 && exit 0", "exit 1")
    return subprocess.run(
        [ROOT / ".ci/make_venv", folder / "venv", folder / "venv/stamp"],
        capture_output=True, text=True, cwd=ROOT, env={"PATH": f"{bin}:/usr/bin:/bin", **environment}, check=False,
    )  # fmt: skip


def test_a_python_of_the_wrong_version_is_refused_with_the_commands_that_help(tmp_path: Path) -> None:
    stand_in(tmp_path, "old", "[ $1 = --version ] && echo Python 3.9.2 && exit 0", "exit 1")
    for settings, found in (({"PYTHON": str(tmp_path / "old")}, "3.9.2"), ({}, "3.13.5")):
        result = make_venv(tmp_path, **settings)
        assert result.returncode == 1
        assert f"Python 3.11 or 3.12 is needed; found: Python {found}" in result.stderr
        assert "make PYTHON=" in result.stderr
        assert "pip install uv" in result.stderr
        assert not (tmp_path / "venv").exists()


def test_uv_gets_a_python_where_none_suits(tmp_path: Path) -> None:
    """Its Python here is this one, but cannot make an environment: more than that needs a network."""
    python = tmp_path / "uv-python/python3.12"
    stand_in(
        python.parent, python.name,
        'case "$2" in *sys.version_info*) exit 0 ;; *ensurepip*) exit 1 ;; esac', "echo Python 3.12.1",
    )  # fmt: skip
    stand_in(
        tmp_path / "bin", "uv", f"cd '{tmp_path}'", 'echo "$*" >> asked',
        '[ "$2" = install ] && touch installed', f'[ "$2" = find ] && [ -e installed ] && echo "{python}"', "exit 0",
    )  # fmt: skip
    result = make_venv(tmp_path)
    assert "(Python 3.13.5): uv gets Python 3.12." in result.stdout
    assert (tmp_path / "asked").read_text().splitlines() == [
        "python find 3.12", "python install 3.12", "python find 3.12",
    ]  # fmt: skip
    assert "This Python (Python 3.12.1) cannot make virtual environments" in result.stderr


def test_a_uv_that_gets_nothing_is_reported_with_another_way(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "uv", "echo error: no network >&2", "exit 2")
    result = make_venv(tmp_path)
    assert result.returncode == 1
    assert "uv could not get Python 3.12" in result.stderr
    assert "make PYTHON=" in result.stderr


def test_another_processor_is_named_with_what_works_on_it(tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "uname", "echo aarch64")
    result = make_venv(tmp_path, PYTHON=sys.executable)
    assert result.returncode == 1
    assert "this one is aarch64" in result.stderr
    works, _, lacks = result.stderr.partition("Does not work here:")
    assert "fit-scaling" in works
    assert "training" in lacks
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


def test_the_locks_header_is_that_of_make_lock_and_says_how_torch_is_installed() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert header in (ROOT / ".ci/make_lock.py").read_text("utf-8")
    steps = re.findall(r"pip install --no-deps (--require-hashes )?-r", (ROOT / ".ci/make_venv").read_text("utf-8"))
    assert steps == ["--require-hashes ", ""]  # the second one is torch's
    assert "torch by its version alone: its hashes are not checked" in header


def test_the_page_counts_what_is_imported_of_fairseq() -> None:
    names: set[tuple[str, str]] = set()
    files = []
    for path in (ROOT / "fairseq_scaling").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if isinstance(node, ast.ImportFrom) and module.split(".")[0] in ("fairseq", "fairseq_cli"):
                names |= {(module, alias.name) for alias in node.names}
                files.append(path)
    said = f"{len(names)} names from {len({module for module, _ in names})} modules, in {len(set(files))} files"
    assert said in (ROOT / "docs/supply-chain.md").read_text("utf-8")


def test_every_package_of_the_lock_is_pinned_and_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "").splitlines()
    pin = re.compile(r"[\w.-]+==[\w.]+(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert [entry for entry in entries if not pin.fullmatch(entry)] == []
    assert len(entries) == len(LOCKED) > 50
    # PyPI's builds of torch with GPU libraries for two Pythons, and a CPU build of another index.
    (torch,) = [entry for entry in entries if entry.startswith("torch==")]
    assert torch.count("--hash") >= 3


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/study.md",
        "docs/clusters.md",
        *(f"examples/{name}/README.md" for name in ("quickstart", "isik2025", "own_logs")),
    ],
)
def test_a_readme_has_no_gap_left_and_its_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "@@" not in text
    links = re.findall(r"\]\(([^)#\s]+)", text)
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert inside
    assert [link for link in inside if not (ROOT / name).parent.joinpath(link).exists()] == []


def test_commands_that_need_no_training_start_without_torch_fairseq_and_numpy() -> None:
    for module in ("fairseq_scaling.cli.study", "fairseq_scaling.study.run.job", "fairseq_scaling.cli.convert"):
        code = f"import sys, {module}; print(sorted({{'torch', 'fairseq', 'numpy', 'pydantic'}} & set(sys.modules)))"
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]", module
