"""Which failures of a job are tried again, and what is told of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.study.plan.jobs import Job, Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.job import run_job
from fairseq_scaling.study.run.lock import alone
from fairseq_scaling.study.run.workflow import describe_failure
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes
from tests.study.helpers import set_environment, wait_for

Baseline = tuple[StudyFolder, Plan, Job]


@pytest.fixture
def write(values: dict[str, Any], write_study: Callable[[dict[str, Any]], Path], tmp_path: Path) -> Path:
    """A study.yaml whose corpus is there."""
    del values["text"]
    values |= {"corpus": "corpus"}
    values["pretraining"] = {"mixtures": ["de:1"], "budgets": ["1M"]}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text('{"fingerprint": "abc"}')
    return write_study(values)


@pytest.fixture
def baseline(write: Path, tmp_path: Path) -> Baseline:
    plan, folder = make_plan(load_study(write)), StudyFolder(tmp_path / "out")
    folder.plan_path.parent.mkdir(parents=True)
    folder.plan_path.write_text(plan.to_json())
    return folder, plan, next(job for job in plan.of_stage("finetune") if "baseline" in job.id)


def state(baseline: Baseline) -> str:
    record = baseline[0].record(baseline[2].id)
    assert record is not None
    return str(record["state"])


def test_a_job_that_fails_twice_at_the_same_place_is_given_up(
    baseline: Baseline, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, fakes.environment(FAKE_FAIL="fairseq-train"))
    assert run_job(*baseline, 1, 5) == 3
    assert state(baseline) == "retry"
    assert "(exit code 3; it is tried again, 1 of 5 times done)" in describe_failure(baseline[0], baseline[2])
    assert run_job(*baseline, 2, 5) == 3
    assert state(baseline) == "failed"
    assert len(fakes.started()) == 2
    # Snakemake starts it again all the same, which costs nothing now.
    assert run_job(*baseline, 3, 5) == 3
    assert fakes.started() == []


def test_a_training_that_gets_further_each_time_is_tried_as_often_as_allowed(
    baseline: Baseline, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, fakes.environment(FAKE_STEPS="3"))
    for attempt, expected in ((1, "retry"), (2, "retry"), (3, "failed")):
        assert run_job(*baseline, attempt, 3) == 1
        assert state(baseline) == expected
    assert "Loaded checkpoint with 6 steps" in (baseline[0].path / baseline[2].log).read_text()


def test_a_refused_setting_is_not_tried_again(
    baseline: Baseline, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, fakes.environment(FAKE_FAIL="fairseq-train", FAKE_CODE="2"))
    assert run_job(*baseline, 1, 3) == 2
    assert state(baseline) == "failed"


def test_a_new_start_of_the_study_tries_what_was_given_up(
    baseline: Baseline, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, fakes.environment(FAKE_FAIL="fairseq-train", FAKE_CODE="2"))
    assert run_job(*baseline, 1, 3) == 2
    monkeypatch.delenv("FAKE_FAIL")
    assert run_job(*baseline, 1, 3) == 0
    assert state(baseline) == "finished"


def test_a_job_whose_keeper_was_killed_is_told_as_ended_from_outside(write: Path, fakes: Fakes, tmp_path: Path) -> None:
    result = fakes.run(
        "run", write, "--out", tmp_path / "out", "--retries", "0", FAKE_KILL="baseline/seed1/.unfinished "
    )
    assert result.returncode == 1
    assert "finetune baseline en-fr 200k failed (ended from outside)" in result.stderr
    assert "Snakemake ended" not in result.stderr
    assert "failed (ended from outside)" in fakes.run("status", write, "--out", tmp_path / "out").stdout


def test_a_job_that_still_runs_somewhere_is_waited_for(baseline: Baseline, fakes: Fakes) -> None:
    """A cluster can run a job of a study whose starter has gone; nothing may train in its folder beside it."""
    folder, _, job = baseline
    command = [sys.executable, "-m", "fairseq_scaling.study.run.job", job.writes[0]]
    with alone(folder.private / "running" / f"{job.id}.lock"):
        process = subprocess.Popen(command, env=fakes.environment(), cwd=folder.path)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        assert folder.record(job.id) is None
    assert process.wait(timeout=60) == 0
    wait_for(lambda: folder.record(job.id) is not None)
    assert len(fakes.started()) == 1
