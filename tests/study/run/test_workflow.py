"""Whole studies with programs that only write files: scheduling, going on, failing, refusing."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.cli.fit_scaling import EXIT_NOTHING_FITTED
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run import pending, scheduling
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.job import NOTHING_FITTED, run_job
from fairseq_scaling.study.run.pending import decided_by, pending_jobs
from fairseq_scaling.study.run.scheduling import Capacity
from fairseq_scaling.study.run.workflow import refusals
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes, Finished
from tests.study.helpers import kinds, set_environment, wait_for

pytestmark = pytest.mark.usefixtures("one_budget")

Write = Callable[[dict[str, Any] | str], Path]


def test_a_study_runs_to_its_table_and_report(
    finished_once: Finished,
) -> None:
    out, result, started = finished_once
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["the table of results", f"Report: {out}/results/report.html"]
    assert (out / "results/report.html").exists()
    assert Capacity.of(StudyFolder(out)) == Capacity(cores=2)
    assert kinds(started) == {
        "scaling-preprocess": 4,
        "scaling-alignment": 1,
        "fairseq-train": 5,
        "fairseq-generate": 3,
        "score-translations": 3,
        "fit-scaling": 1,
    }


def test_on_a_pipe_progress_is_a_plain_line_on_standard_error(
    finished_once: Finished,
) -> None:
    first = finished_once[1].stderr.splitlines()[0]
    assert first.startswith("small: 0% done, 0 of 17 jobs, about ")
    assert " left" in first


def test_a_second_run_finds_nothing_to_do_and_prints_the_results_again(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    result = fakes.run("run", write_study(values), "--out", finished)
    assert result.returncode == 0
    assert "nothing to do" in result.stdout
    assert f"Report: {finished}/results/report.html" in result.stdout
    assert fakes.started() == []


def test_a_changed_setting_runs_again_what_depends_on_it_and_nothing_else(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    values["finetuning"]["overrides"] = [{"mixture": "de:1", "fairseq": {"lr": "5e-4"}}]
    result = fakes.run("run", write_study(values), "--out", finished)
    assert result.returncode == 0, result.stderr
    started = fakes.started()
    assert len(started) == 4
    assert [line.split()[0] for line in started] == [
        "fairseq-train", "fairseq-generate", "score-translations", "fit-scaling",
    ]  # fmt: skip
    assert "finetuning/en-fr/200k/de1/" in started[0]
    # It started afresh: a checkpoint of the other rate must not be gone on from.
    assert "Loaded" not in (finished / "finetuning/en-fr/200k/de1/seed1/1M/seed1/train.log").read_text()


def test_fits_are_made_again_where_the_code_that_makes_them_has_changed(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan.read(StudyFolder(finished).plan_path)
    before = {job.id: decided_by(plan, job) for job in plan.jobs}
    monkeypatch.setattr(pending, "code_fingerprint", lambda *packages: "of another version")
    assert [job.stage for job in plan.jobs if decided_by(plan, job) != before[job.id]] == ["fit"]


def test_a_further_mixture_runs_alone(finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write) -> None:
    values["pretraining"]["mixtures"].append("fr:1")
    assert fakes.run("run", write_study(values), "--out", finished).returncode == 0
    started = fakes.started()
    assert kinds(started) == {
        "scaling-alignment": 1, "fairseq-train": 2, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1,
    }  # fmt: skip
    assert all("/fr1/" in line for line in started if line.startswith("fairseq-"))


def test_a_further_budget_goes_on_from_the_last_one_and_lets_what_was_made_of_it_stand(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    values["pretraining"]["budgets"] = ["1M", "2M"]
    study = write_study(values)
    plan = make_plan(load_study(study))
    assert [job.stage for job in pending_jobs(plan, StudyFolder(finished)) if "/1M" in job.id] == []
    result = fakes.run("run", study, "--out", finished)
    assert result.returncode == 0, result.stderr
    started = fakes.started()
    assert kinds(started) == {
        "fairseq-train": 2 + 2, "fairseq-generate": 2, "score-translations": 2, "fit-scaling": 1,
    }  # fmt: skip
    assert not [line for line in started if "/1M/" in line]
    assert "Loaded checkpoint with 10 steps" in (finished / "pretraining/de1/seed1/2M/train.log").read_text()
    # One budget less trains nothing; the same budgets again neither.
    for budgets in (["1M"], ["1M", "2M"]):
        values["pretraining"]["budgets"] = budgets
        assert fakes.run("run", write_study(values), "--out", finished).returncode == 0
        assert kinds(fakes.started()) == {"fit-scaling": 1}


def test_a_further_budget_has_a_removed_checkpoint_made_again_and_lets_what_was_made_of_it_stand(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    (finished / "pretraining/de1/seed1/1M/checkpoint_last.pt").unlink()
    values["pretraining"]["budgets"] = ["1M", "2M"]
    study = write_study(values)
    assert fakes.run("run", study, "--out", finished).returncode == 0
    # Of the 1M runs one pretraining alone: a checkpoint made again is the same, bit for bit.
    started = [line.split("/out/")[1] for line in fakes.started() if line.startswith("fairseq-train")]
    assert [line for line in started if "/1M/" in line] == ["pretraining/de1/seed1/1M/.unfinished"]
    assert len(started) == 1 + 2 + 2
    assert "Loaded" not in (finished / "pretraining/de1/seed1/1M/train.log").read_text()
    assert "nothing to do" in fakes.run("run", study, "--out", finished).stdout


def test_a_budget_in_between_trains_again_and_runs_anew_what_comes_behind_it(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    """Batches are cut at a budget, so that what follows is another run."""
    values["pretraining"]["budgets"] = ["0.5M", "1M"]
    assert fakes.run("run", write_study(values), "--out", finished).returncode == 0
    started = fakes.started()
    assert kinds(started)["fairseq-train"] == 4 + 4
    # The second budget continues from the first, and not from the 10 steps of the run before.
    lines = (finished / "pretraining/de1/seed1/1M/train.log").read_text().splitlines()
    assert [line for line in lines if "Loaded" in line] == ["| Loaded checkpoint with 5 steps"]


def test_a_number_of_gpus_is_part_of_a_training(finished: Path, values: dict[str, Any], write_study: Write) -> None:
    """Each takes a batch of its own: with another number it is another run."""
    for gpus, stages in ((1, set()), (4, {"pretrain", "finetune", "translate", "score", "fit"})):
        values["resources"] = {"default": {"gpus": gpus}}
        plan = make_plan(load_study(write_study(values)))
        assert {job.stage for job in pending_jobs(plan, StudyFolder(finished))} == stages


def test_a_corpus_made_again_with_the_same_content_lets_the_trainings_stand(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    """Even where their checkpoints are gone: nobody reads those any more."""
    for checkpoint in finished.rglob("*.pt"):
        checkpoint.unlink()
    values["text"]["clean"] = {"max-words": 50}
    study = write_study(values)
    assert fakes.run("run", study, "--out", finished).returncode == 0
    assert kinds(fakes.started()) == {"scaling-preprocess": 3}
    assert "100% done, 17 of 17 jobs" in fakes.run("status", "--out", finished).stdout
    values["text"]["clean"] = {"max-words": 40}
    again = fakes.run("run", write_study(values), "--out", finished, "--until", "pretrain", FAKE_FINGERPRINT="other")
    assert again.returncode == 0, again.stderr
    assert kinds(fakes.started())["fairseq-train"] == 2


def test_removed_results_are_made_again(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    shutil.rmtree(finished / "results")
    assert fakes.run("run", write_study(values), "--out", finished).returncode == 0
    assert kinds(fakes.started()) == {"fit-scaling": 1}


def test_a_removed_measurement_is_made_again_and_the_fit_with_it(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    (finished / "alignment.json").unlink()
    assert fakes.run("run", write_study(values), "--out", finished).returncode == 0
    assert kinds(fakes.started()) == {"scaling-alignment": 1, "fit-scaling": 1}
    assert (finished / "alignment.json").exists()


def test_removed_checkpoints_are_made_again_only_when_a_run_needs_them(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    for checkpoint in finished.glob("pretraining/*/seed1/*/*.pt"):
        checkpoint.unlink()
    study = write_study(values)
    assert "nothing to do" in fakes.run("run", study, "--out", finished).stdout
    shutil.rmtree(finished / "finetuning/en-fr/200k/de1")
    result = fakes.run("run", study, "--out", finished, "--dry-run")
    assert [line.split()[0] for line in result.stdout.splitlines()[:-1]] == [
        "pretrain", "finetune", "translate", "score", "fit",
    ]  # fmt: skip
    assert fakes.started() == []
    result = fakes.run("run", study, "--out", finished)
    assert result.returncode == 0, result.stderr
    started = fakes.started()
    assert kinds(started) == {"fairseq-train": 2, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1}
    assert all("/de1/" in line for line in started if line.startswith("fairseq-train"))
    assert (finished / "pretraining/de1/seed1/1M/checkpoint_last.pt").exists()
    assert "Loaded" not in (finished / "pretraining/de1/seed1/1M/train.log").read_text()


def test_a_translation_that_needs_a_removed_model_has_it_trained_again_from_a_removed_checkpoint(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    (finished / "pretraining/de1/seed1/1M/checkpoint_last.pt").unlink()
    (finished / "finetuning/en-fr/200k/de1/seed1/1M/seed1/checkpoint_last.pt").unlink()
    values["translation"] = {"beam": 5}
    result = fakes.run("run", write_study(values), "--out", finished)
    assert result.returncode == 0, result.stderr
    started = fakes.started()
    assert kinds(started) == {
        "fairseq-train": 2, "fairseq-generate": 3, "score-translations": 3, "fit-scaling": 1,
    }  # fmt: skip
    trained = [line.split("/out/")[1] for line in started if line.startswith("fairseq-train")]
    folders = ["pretraining/de1/seed1/1M", "finetuning/en-fr/200k/de1/seed1/1M/seed1"]
    assert trained == [f"{folder}/.unfinished" for folder in folders]


def test_a_pretraining_that_left_no_checkpoint_for_a_budget_fails_and_then_starts_afresh(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    values["pretraining"] |= {"budgets": ["1M", "2M"], "mixtures": ["de:1"]}
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(finished)
    job = plan.by_id["pretrain/de1/seed1/2M"]
    log = finished / job.log
    set_environment(monkeypatch, fakes.environment(FAKE_FORGET="checkpoint2.pt"))
    assert run_job(folder, plan, job) == 1
    assert "these files are not there: pretraining/de1/seed1/2M/train.log, " in log.read_text()
    monkeypatch.delenv("FAKE_FORGET")
    assert run_job(folder, plan, job) == 0
    # From the checkpoint of the budget before, and not from what was left of the failed start.
    text = (finished / job.writes[0]).read_text()
    assert text.count("Loaded") == 1
    assert "not there" not in text


def test_a_study_that_cannot_be_fitted_is_done_and_keeps_its_table(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NOTHING_FITTED == EXIT_NOTHING_FITTED
    values["fitting"] = {"level": 0.9}
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(finished)
    (job,) = plan.of_stage("fit")
    set_environment(monkeypatch, fakes.environment(FAKE_FIT_CODE=str(NOTHING_FITTED)))
    assert run_job(folder, plan, job) == 0
    assert folder.table.read_text() == "the table of results\n"


def test_a_fit_that_ends_with_a_traceback_has_failed_although_its_report_is_there(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    values["fitting"] = {"level": 0.9}
    plan, folder = make_plan(load_study(write_study(values))), StudyFolder(finished)
    (job,) = plan.of_stage("fit")
    set_environment(monkeypatch, fakes.environment(FAKE_FIT_CODE="1"))
    shutil.rmtree(finished / "results")  # as Snakemake does before it starts a job
    assert run_job(folder, plan, job) == 1
    assert folder.report.exists()
    assert not folder.table.exists()


def test_a_failed_job_is_shown_with_command_log_and_last_lines_and_the_others_go_on(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write
) -> None:
    values["finetuning"]["updates"] = 200
    study = write_study(values)
    result = fakes.run("run", study, "--out", finished, FAKE_FAIL="pretraining/de1/seed1/1M/checkpoint_last.pt")
    log = finished / "finetuning/en-fr/200k/de1/seed1/1M/seed1/.unfinished/train.log"
    assert result.returncode == 1
    assert "finetune de:1 1M en-fr 200k failed (exit code 3)" in result.stderr
    assert f"log: {log}" in result.stderr
    assert "something is wrong here" in result.stderr
    assert "--finetune-from-model" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Report" not in result.stdout
    started = fakes.started()
    # Tried again once: a second failure at the same place ends it, although two retries are allowed.
    assert kinds(started) == {"fairseq-train": 4, "fairseq-generate": 2, "score-translations": 2}
    status = fakes.run("status", "--out", finished)
    assert "something is wrong here" in status.stdout

    assert fakes.run("run", study, "--out", finished).returncode == 0
    assert kinds(fakes.started()) == {
        "fairseq-train": 1, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1,
    }  # fmt: skip


def test_what_a_refused_step_says_outlives_the_attempts_that_snakemake_still_makes(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    """Before each attempt Snakemake deletes the log of the one before."""
    result = fakes.run(
        "run", write_study(values), "--out", tmp_path / "out", FAKE_FAIL="train-sentencepiece", FAKE_CODE="2"
    )
    assert result.returncode == 1
    assert "train SentencePiece failed (exit code 2)" in result.stderr
    assert "its last lines:\n    something is wrong here" in result.stderr
    assert (tmp_path / "out/logs/sentencepiece.log").read_text() == "something is wrong here\n"
    assert [line.split()[1] for line in fakes.started()] == ["fetch", "clean", "train-sentencepiece"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_study_leaves_no_process_and_goes_on_where_it_was(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, number: signal.Signals
) -> None:
    values["pretraining"]["fairseq"] = {"lr": "7e-4"}
    study = write_study(values)
    run = finished / "pretraining/de1/seed1/1M"
    log = run / ".unfinished/train.log"
    process = subprocess.Popen(
        fakes.command("run", study, "--out", finished, "--cores", "2"),
        env=fakes.environment(FAKE_HANG="2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: log.exists() and log.read_text().count("num_updates") == 2)
    refused = fakes.run("run", study, "--out", finished)
    assert refused.returncode == 2
    assert f"running already (process {process.pid})" in refused.stderr
    assert "(running)" in fakes.run("status", study, "--out", finished).stdout
    process.send_signal(number)
    _, errors = process.communicate(timeout=200)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "The same command goes on where it was" in errors
    wait_for(lambda: not processes_with(str(finished)))
    fakes.started()

    again = fakes.run("run", study, "--out", finished, "--cores", "2")
    assert again.returncode == 0, again.stderr
    assert "Loaded checkpoint with" in (run / "train.log").read_text()
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint_last.pt", "train.log"]
    # The text and the baseline were done and are not done again.
    started = fakes.started()
    assert "scaling-preprocess" not in kinds(started)
    assert not [line for line in started if "baseline" in line]


def test_a_missing_program_is_told_before_anything_starts(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    (fakes.programs / "fairseq-generate").unlink()
    (tmp_path / "python").symlink_to("/nowhere")
    environment = fakes.environment(PATH="/usr/bin:/bin")
    # A Python without fairseq-generate beside it: a copy of the link to the interpreter, elsewhere.
    code = "import sys; sys.executable = '/nowhere/python'; from fairseq_scaling.cli.study import main; main()"
    result = subprocess.run(
        [fakes.command()[0], "-c", code, "run", str(write_study(values)), "--out", str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "fairseq-generate is not installed" in result.stderr
    assert "pip install '.[study]'" in result.stderr
    assert fakes.started() == []


def test_what_snakemake_refuses_is_told_with_its_log(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    result = fakes.run("run", write_study(values), "--out", tmp_path / "out", "--", "--no-such-option")
    assert result.returncode == 1
    assert "logs/snakemake.log" in result.stderr
    assert "no-such-option" in result.stderr


def test_until_stops_after_a_stage(fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path) -> None:
    result = fakes.run("run", write_study(values), "--out", tmp_path / "out", "--until", "clean")
    assert result.returncode == 0, result.stderr
    assert kinds(fakes.started()) == {"scaling-preprocess": 2}


def test_a_plan_is_shown_without_starting_anything(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    result = fakes.run("plan", write_study(values), "--out", tmp_path / "out", "--jobs", COLUMNS="160")
    assert result.returncode == 0
    assert "pretrain en:0.5,fr:0.5" in result.stdout
    assert "17 of 17 jobs to do" in result.stdout
    assert fakes.started() == []
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_study_yaml_ends_with_2_and_no_traceback(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    values["finetunning"] = values.pop("finetuning")
    result = fakes.run("run", write_study(values), "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "did you mean 'finetuning'?" in result.stderr
    assert "Traceback" not in result.stderr


def processes_with(word: str) -> list[str]:
    """Return the command lines of the processes that name ``word``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if word in command:
            found.append(command)
    return found


def test_what_slurm_refuses_is_told_in_its_own_words(tmp_path: Path) -> None:
    log = tmp_path / "snakemake.log"
    log.write_text(
        "Error in rule pretrain:\n"
        "    message: SLURM sbatch failed. The error message was "
        "'sbatch: error: Memory specification can not be satisfied\n"
        "sbatch: error: Batch job submission failed: Requested node configuration is not available'.\n"
        "    sbatch call:\n" * 2
    )
    assert refusals(log) == (
        "  Memory specification can not be satisfied\n"
        "  Batch job submission failed: Requested node configuration is not available"
    )
    with log.open("a") as file:
        file.write("Building DAG of jobs...\nExiting because a job execution failed.\n")
    assert refusals(log) == ""
    assert refusals(tmp_path / "none") == ""


def test_a_last_budget_that_is_moved_continues_from_the_one_before(
    finished: Path, fakes: Fakes, values: dict[str, Any], write_study: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained to the former last budget lies behind that: it must not be resumed from there."""
    set_environment(monkeypatch, fakes.environment())
    folder = StudyFolder(finished)
    for last in ("2M", "4M"):
        values["pretraining"]["budgets"] = ["1M", last]
        plan = make_plan(load_study(write_study(values)))
        assert run_job(folder, plan, plan.by_id[f"pretrain/de1/seed1/{last}"]) == 0
        lines = (finished / f"pretraining/de1/seed1/{last}/train.log").read_text().splitlines()
        assert [line for line in lines if "Loaded" in line] == ["| Loaded checkpoint with 10 steps"]


def test_a_training_that_had_ended_when_the_study_was_killed_is_not_trained_again(
    finished: Path, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake removes the outputs of a job whose end it has not seen."""
    set_environment(monkeypatch, fakes.environment())
    folder = StudyFolder(finished)
    plan = Plan.read(folder.plan_path)
    job = plan.by_id["finetune/en-fr/200k/de1/seed1/1M/seed1"]
    outputs = [finished / name for name in job.writes]
    assert run_job(folder, plan, job) == 0
    made = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    assert run_job(folder, plan, job) == 0
    assert [path.read_bytes() for path in outputs] == made
    assert len(fakes.started()) == 1


def test_a_folder_of_an_older_version_is_refused_with_what_still_reads_it(
    fakes: Fakes, values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    (tmp_path / "out/.study/done").mkdir(parents=True)
    result = fakes.run("run", write_study(values), "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "an older version of this package has run this study" in result.stderr
    assert "fit-scaling and scaling-report still read the runs" in result.stderr


def test_a_study_can_be_looked_at_with_snakemake_itself(finished: Path, fakes: Fakes) -> None:
    """As the head of the Snakefile says. Its own triggers find a changed command and what depends on it."""
    file = Path(scheduling.__file__).with_name("Snakefile")
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(file), "--config", "plan=.study/plan.json",
        "--cores", "2", "--rerun-triggers", "mtime", "params",
    ]  # fmt: skip

    def ask(*words: str) -> str:
        result = subprocess.run(
            [*command, *words], cwd=finished, env=fakes.environment(LOGNAME="anybody"), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    assert "Nothing to be done" in ask("--dry-run")
    assert "run: pretraining/de1/seed1/1M" in ask("--dag")
    assert (finished / ".study/benchmarks/pretrain/pretraining/de1/seed1/1M.tsv").exists()
    plan = Plan.read(finished / ".study/plan.json")
    for job in plan.of_stage("translate"):
        job.argv[job.argv.index("--beam") + 1] = "5"
    (finished / ".study/plan.json").write_text(plan.to_json())
    said = ask("--dry-run")
    assert "Params have changed" in said
    assert set(re.findall(r"^rule (\w+):", said, re.M)) == {"translate", "score", "fit", "all"}
