"""Studies on machines and in folders unlike the developer's: no SLURM, no home, odd names, nothing to write to."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.fingerprint import code_fingerprint
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.scheduling import Scheduling
from tests.study.conftest import Fakes

pytestmark = pytest.mark.usefixtures("one_budget")
Write = Callable[[dict[str, Any]], Path]


def test_slurm_that_is_not_installed_is_told_in_one_line_at_once(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    words = ("run", write_study(values), "--out", tmp_path / "out", "--profile", "slurm")
    result = fakes.run(*words, PATH=str(tmp_path / "empty"))
    assert result.returncode == 2
    first, remedy = result.stderr.splitlines()
    assert first == "Error: --profile = slurm: SLURM's sbatch, scancel, sacct cannot be found on this machine"
    assert "login node" in remedy
    assert fakes.started() == []


def test_the_status_command_that_a_profile_names_is_the_one_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster without an accounting database has no use for sacct."""
    (tmp_path / "config.yaml").write_text("executor: slurm\nslurm-status-command: squeue\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("sbatch", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(DataError, match="SLURM's squeue cannot be found"):
        Scheduling(profile=tmp_path).check()
    shutil.copy(tmp_path / "sbatch", tmp_path / "squeue")
    Scheduling(profile=tmp_path).check()


def test_an_executor_that_is_not_installed_is_told_with_the_package_to_install(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: no-such-cluster\n")
    with pytest.raises(DataError, match="pip install snakemake-executor-plugin-no-such-cluster"):
        Scheduling(profile=tmp_path).check()
    with pytest.raises(DataError, match="no-such-cluster"):
        Scheduling(arguments=("--executor", "no-such-cluster")).check()
    Scheduling().check()


def test_a_study_runs_where_home_cannot_be_written_in_folders_with_braces_and_spaces(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    """A profile that the environment names for other workflows is not used, either."""
    out = tmp_path / "c{d" / "a 'work{1}' {corpus}"
    words = ("run", write_study(values), "--out", out, "--cores", "2")
    places = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "", "SNAKEMAKE_PROFILE": "/no/such/profile"}
    result = fakes.run(*words, **places)
    assert result.returncode == 0, result.stderr
    assert (out / "results/report.html").exists()
    assert (out / ".study/cache").is_dir()


@pytest.mark.parametrize("name", ["a:b", "a${HOME}b", "a\nb"])
def test_a_folder_that_fairseq_cannot_read_is_refused_by_name(
    name: str, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    result = fakes.run("run", write_study(values), "--out", tmp_path / name)
    assert result.returncode == 2
    assert f"--out = {tmp_path / name}: fairseq reads" in result.stderr


def test_plan_and_status_agree_on_a_study_to_which_a_budget_a_seed_and_a_mixture_were_added(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    """Also where status is given the study's folder alone."""
    study = write_study(values)
    assert fakes.run("run", study, "--out", finished).returncode == 0
    values["pretraining"]["budgets"] = ["1M", "2M"]
    values["pretraining"]["seeds"] = [1, 2]
    values["pretraining"]["mixtures"].append("fr:1")
    write_study(values)
    assert "42 of 57 jobs to do" in fakes.run("plan", study, "--out", finished).stdout
    for words in ((study, "--out", finished), ("--out", finished)):
        result = fakes.run("status", *words)
        assert "15 of 57 jobs" in result.stdout
        assert row(result.stdout, "pretrain") == ["2", "0", "0", "10"]
        assert row(result.stdout, "finetune") == ["3", "0", "0", "10"]
        assert row(result.stdout, "fit") == ["0", "0", "0", "1"]
        assert ("study.yaml has changed since the last run" in result.stderr) == (len(words) == 2)


def test_the_report_of_a_folder_that_cannot_be_written_goes_elsewhere_by_option(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    (finished / "interim").write_text("a file, so that there can be no folder: of all users, the administrator too")
    values["fitting"] = {"level": 0.9}
    study = write_study(values)
    refused = fakes.run("report", study, "--out", finished)
    assert refused.returncode == 2
    assert "cannot write there" in refused.stderr
    assert "--to DIR" in refused.stderr
    for given in (study, None):
        words = ("--out", finished, "--to", tmp_path / f"report-{given is None}")
        result = fakes.run("report", *([given] if given else []), *words)
        assert result.returncode == 0, result.stderr
        assert f"Report on these: {words[-1]}/report.html" in result.stdout
        assert (words[-1] / "report.html").exists()


def test_the_version_of_python_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that was made with 3.11.7 is not undone with 3.11.2, and export does not refuse it."""
    code_fingerprint.cache_clear()
    here = code_fingerprint("logs")
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.99")
    code_fingerprint.cache_clear()
    assert code_fingerprint("logs") == here


def test_a_cache_folder_is_the_users_own_where_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyFolder(tmp_path / "out")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Scheduling().environment(folder)["XDG_CACHE_HOME"] == str(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
    assert Scheduling().environment(folder)["XDG_CACHE_HOME"] == str(folder.private / "cache")


def row(table: str, stage: str) -> list[str]:
    """Return the numbers of one stage: done, running, failed, to do."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"│ {stage} ")]
    return [cell.strip() for cell in line.split("│")[2:-1]]


def test_a_user_without_a_name_as_in_a_container_gets_one_for_snakemake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found: 4001")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(os, "getuid", lambda: 4001)
    assert Scheduling().environment(StudyFolder(tmp_path))["LOGNAME"] == "user4001"
