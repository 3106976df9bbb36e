"""What is done with a study beside running it: interim reports, removing checkpoints, one archive to publish."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.results import export as exporting
from fairseq_scaling.study.results.interim import InterimReports, interim_argv
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.lock import locked
from fairseq_scaling.study.run.pending import pending_jobs
from fairseq_scaling.study.run.progress import Progress
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes, Finished

pytestmark = pytest.mark.usefixtures("one_budget")

Write = Callable[[dict[str, Any]], Path]


def checkpoints(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*.pt")}


def test_cleaning_says_how_much_it_would_remove_and_removes_nothing_unasked(finished: Path, fakes: Fakes) -> None:
    before = checkpoints(finished)
    size = sum((finished / name).stat().st_size for name in before if name.startswith("finetuning/"))
    result = fakes.run("clean", "--out", finished)
    assert result.returncode == 0, result.stderr
    assert "3 files: finetuned models that are translated and scored; to have them again: finetuning" in result.stdout
    assert f"Nothing was removed. --yes removes these {size} bytes." in result.stdout or "kB" in result.stdout
    assert checkpoints(finished) == before


def test_a_cleaned_study_is_still_finished_and_keeps_everything_but_checkpoints(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    before = {path for path in finished.rglob("*") if path.is_file() and path.suffix != ".pt"}
    budgets = {name for name in checkpoints(finished) if name.startswith("pretraining/")}
    assert fakes.run("clean", "--out", finished, "--yes").returncode == 0
    assert checkpoints(finished) == budgets
    assert fakes.run("clean", "--out", finished, "--yes").stdout == "Nothing can be removed.\n"
    assert fakes.run("clean", "--out", finished, "--yes", "--pretrained").returncode == 0
    assert checkpoints(finished) == set()
    assert {path for path in finished.rglob("*") if path.is_file()} >= before
    assert "nothing to do" in fakes.run("run", write_study(values), "--out", finished).stdout


def test_cleaning_keeps_what_a_run_to_come_reads(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    """A study that now wants other translations still needs every finetuned model, and with further seeds, budgets."""
    values["translation"] = {"beam": 5}
    study = write_study(values)
    assert "finetuned" not in fakes.run("clean", study, "--out", finished, "--pretrained").stdout
    values["translation"] = {"beam": 4}
    values["finetuning"]["overrides"] = [{"mixture": "de:1", "fairseq": {"lr": "5e-4"}}]
    study = write_study(values)
    assert fakes.run("clean", study, "--out", finished, "--pretrained", "--yes").returncode == 0
    assert "pretraining/de1/seed1/1M/checkpoint_last.pt" in checkpoints(finished)
    assert "pretraining/en0.5-fr0.5/seed1/1M/checkpoint_last.pt" not in checkpoints(finished)


def test_a_running_study_is_not_cleaned(finished: Path, fakes: Fakes) -> None:
    with locked(StudyFolder(finished)):
        result = fakes.run("clean", "--out", finished, "--yes")
    assert result.returncode == 2
    assert "running already" in result.stderr


def test_an_archive_has_the_same_bytes_wherever_the_study_lies(
    finished_once: Finished, fakes: Fakes, tmp_path: Path
) -> None:
    """Two studies, alike but for their folders, which their logs name."""
    archives = []
    for name in ("one", "a longer one"):
        out = tmp_path / name
        shutil.copytree(finished_once[0], out)
        log = out / "logs/clean.log"
        log.write_text(f"{log.read_text()}saved {out}/pretraining/x.pt, corpus {out}/corpus\n")
        archive = tmp_path / f"{name}.tar.gz"
        result = fakes.run("export", "--out", out, "--archive", archive)
        assert result.returncode == 0, result.stderr
        archives.append(archive.read_bytes())
    assert archives[0] == archives[1]
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        text = tar.extractfile("small/logs/clean.log").read().decode()  # type: ignore[union-attr]
    assert text.endswith("saved {out}/pretraining/x.pt, corpus {corpus}\n")


def test_an_archive_holds_what_others_need_no_weights_and_no_path_of_this_machine(
    finished: Path, fakes: Fakes, tmp_path: Path
) -> None:
    assert fakes.run("export", "--out", finished, "--archive", tmp_path / "a.tar.gz").returncode == 0
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert {entry.mtime for entry in tar} == {0}
    shutil.unpack_archive(tmp_path / "a.tar.gz", tmp_path / "unpacked")
    root = tmp_path / "unpacked/small"
    assert yaml.safe_load((root / "study.yaml").read_text())["name"] == "small"
    assert "numpy" in json.loads((root / "versions.json").read_text())
    files = {path for path in root.rglob("*") if path.is_file()}
    assert not [path for path in files if path.suffix == ".pt"]
    assert root / "results/report.html" in files
    sums = dict(reversed(line.split("  ")) for line in (root / "SHA256SUMS").read_text().splitlines())
    assert {root / name for name in sums} | {root / "SHA256SUMS"} == files
    for name, checksum in sums.items():
        data = (root / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == checksum
        assert str(tmp_path).encode() not in data, name
        assert str(Path(__file__).parents[3]).encode() not in data, name
    assert fakes.run("export", "--out", finished, "--archive", tmp_path / "b.tar.gz", "--weights").returncode == 0
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert len([name for name in tar.getnames() if name.endswith(".pt")]) == len(checkpoints(finished))


def test_an_unfinished_study_is_not_exported(fakes: Fakes, values: dict[str, Any], write_study: Write) -> None:
    result = fakes.run("export", write_study(values))
    assert result.returncode == 2
    assert "no results yet" in result.stderr


def exported(archive: Path, name: str) -> str:
    """Return the text of a file of an exported study."""
    with tarfile.open(archive) as tar:
        return tar.extractfile(f"small/{name}").read().decode()  # type: ignore[union-attr]


def test_settings_replaced_for_the_run_are_exported_and_nothing_is_with_other_ones(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    file, more = write_study(values), ("--set", "fitting.level=0.9")
    assert fakes.run("run", file, "--out", finished, *more).returncode == 0
    for archive, words in (("a", ()), ("b", (file, *more))):
        result = fakes.run("export", *words, "--out", finished, "--archive", tmp_path / archive)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert yaml.safe_load(exported(tmp_path / "a", "study.yaml")) == {**values, "fitting": {"level": 0.9}}
    refused = fakes.run("export", file, "--out", finished, "--archive", tmp_path / "c")
    assert refused.returncode == 2
    assert "1 of 17 jobs are not done with these settings, the first of them: fit the laws\n" in refused.stderr
    assert "--set" in refused.stderr
    assert not (tmp_path / "c").exists()


def test_a_study_that_is_half_done_or_runs_is_not_exported(finished: Path, fakes: Fakes, tmp_path: Path) -> None:
    words = ("export", "--out", finished, "--archive", tmp_path / "a")
    with locked(StudyFolder(finished)):
        result = fakes.run(*words)
    assert (result.returncode, "this study is running" in result.stderr) == (2, True)
    (finished / "finetuning/en-fr/200k/de1/seed1/1M/seed1/scores.json").unlink()
    result = fakes.run(*words)
    assert (result.returncode, "2 of 17 jobs are not done" in result.stderr) == (2, True)


def test_an_archive_holds_how_learning_rates_were_chosen(finished: Path, fakes: Fakes, tmp_path: Path) -> None:
    candidates = finished / ".study/candidates/pretraining/de1"
    (candidates / "lr0.1").mkdir(parents=True)
    (candidates / "choice.json").write_text('{"chosen": "0.1"}')
    (candidates / "lr0.1/train.log").write_text(f"saved {finished}/x\n")
    assert fakes.run("export", "--out", finished, "--archive", tmp_path / "a").returncode == 0
    inside = ".study/candidates/pretraining/de1"
    assert exported(tmp_path / "a", f"{inside}/choice.json") == '{"chosen": "0.1"}'
    assert exported(tmp_path / "a", f"{inside}/lr0.1/train.log") == "saved {out}/x\n"


def test_a_study_whose_folder_cannot_be_written_is_asked_about_by_its_records(
    finished: Path, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    folder = StudyFolder(finished)
    assert pending_jobs(make_plan(load_study(write_study(values))), folder) == []
    values["translation"] = {"beam": 5}
    pending = pending_jobs(make_plan(load_study(write_study(values))), folder)
    assert {job.stage for job in pending} == {"translate", "score", "fit"}


def test_an_interim_report_reads_the_scored_runs_alone(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    study = write_study(values)
    assert fakes.run("report", study, "--out", finished).stdout.startswith("the table of results\nReport: ")
    (finished / "finetuning/en-fr/200k/de1/seed1/1M/seed1/scores.json").unlink()
    result = fakes.run("report", study, "--out", finished)
    assert result.returncode == 0, result.stderr
    assert "small: 2 of 3 runs are scored." in result.stdout
    assert (finished / "interim/report.html").exists()
    plan, folder = make_plan(load_study(study)), StudyFolder(finished)
    (fit,) = plan.of_stage("fit")
    words = interim_argv(plan, fit, {job.id for job in pending_jobs(plan, folder)}, tmp_path)
    assert set(fit.argv) - set(words) == {"finetuning/en-fr/200k/de1/seed1/1M/seed1", "results"}
    assert "nothing to do" not in fakes.run("run", study, "--out", finished, "--dry-run").stdout


def test_a_running_study_shows_the_table_of_the_runs_that_are_scored(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in fakes.environment().items():
        monkeypatch.setenv(name, value)
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(finished)
    states = {job.id: "finished" for job in plan.jobs} | {"fit/results": "waiting"}
    late = [job.id for job in plan.jobs if "/de1/" in job.id and job.stage != "pretrain"]

    def jobs() -> list[Progress]:
        return [Progress(job.id, job.stage, state=states[job.id]) for job in plan.jobs]

    told: list[str] = []
    reports = InterimReports(plan, folder, told.append, every=0)
    states |= dict.fromkeys(late, "waiting")
    for number in (2, 3):
        while len(told) < number - 1:
            reports.update(jobs())
        assert told[-1].splitlines() == [
            "the table of results", f"{number} of 3 runs are scored: {finished}/interim/report.html",
        ]  # fmt: skip
        # Without a new score there is no new report.
        started = len(fakes.started())
        reports.update(jobs())
        assert (started, fakes.started()) == (1, [])
        states |= dict.fromkeys(late, "finished")
    reports.close()


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_the_first_table_comes_when_one_curve_can_be_fitted_and_no_sooner(
    every: float, fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    values["pretraining"]["budgets"] = ["0.5M", "1M", "2M"]
    for name, value in fakes.environment().items():
        monkeypatch.setenv(name, value)
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(tmp_path / "out")
    folder.path.mkdir()
    scored: set[str] = set()

    def jobs() -> list[Progress]:
        return [Progress(job.id, job.stage, state="finished" if job.id in scored else "waiting") for job in plan.jobs]

    told: list[str] = []
    reports = InterimReports(plan, folder, told.append, every=every)
    for number, score in enumerate(plan.early_scores[0], 1):
        scored.add(score.id)
        reports.update(jobs())
        assert folder.interim.exists() == (number == 3)
    while not told:
        reports.update(jobs())
    assert told[-1].splitlines()[-1].startswith("3 of 7 runs are scored")
    reports.close()


def test_a_study_without_a_scored_run_says_so(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    result = fakes.run("report", write_study(values), "--out", tmp_path / "out")
    assert result.returncode == 0
    assert result.stdout == "small: no run is scored yet, of 3.\n"


def test_a_setting_replaced_for_a_run_is_replaced_when_the_study_is_asked_about(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    file = write_study(values)
    more = ("--set", "finetuning.seeds=[1, 2]")
    plain, wider = (fakes.run("status", file, "--out", finished, *words).stdout for words in ((), more))
    assert "100% done" in plain
    assert "100% done" not in wider
    assert fakes.run("run", file, "--out", finished, *more).returncode == 0
    assert "100% done" in fakes.run("status", file, "--out", finished, *more).stdout
    refused = fakes.run("status", "--out", finished, *more)
    assert refused.returncode == 2
    assert "give it, too" in refused.stderr


def test_the_archive_says_a_command_that_a_shell_understands(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Remarks of a sequential study hold blanks, quotes and ends of lines."""
    folder = StudyFolder(finished)
    plan = Plan.read(folder.plan_path)
    (fit,) = plan.of_stage("fit")
    remark = 'de:1 is settled:\n  it\'s "enough"'
    fit.argv.extend(["--remark", remark])
    monkeypatch.setattr(exporting, "pending_jobs", lambda plan, folder: [])
    archive = tmp_path / "study.tar.gz"
    exporting.export(plan, folder, archive)
    with tarfile.open(archive) as tar:
        (name,) = [name for name in tar.getnames() if name.endswith("README.txt")]
        file = tar.extractfile(name)
        assert file is not None
        text = file.read().decode()
    command = text[text.index("fit-scaling ") :].split("\n\n")[0]
    assert shlex.split(command)[-1] == remark
