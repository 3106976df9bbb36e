from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run import preflight
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.settings.config import load_study

Write = Callable[[dict[str, Any] | str], Path]
ROOT = Path(__file__).parents[3]


def answer(words: list[tuple[str, list[str]]], starts: Sequence[str] = ()) -> dict[str, str]:
    """Return job -> message of the check, run as the study runs it: in a process of its own.

    ``starts`` are the jobs whose checkpoint is looked at.
    """
    result = subprocess.run(
        [sys.executable, "-m", "fairseq_scaling.study.run.preflight"],
        input=json.dumps([[job, line, job in starts] for job, line in words]),
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_fairseq_itself_refuses_unknown_flags_and_wrong_values_and_accepts_the_defaults(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    values["finetuning"]["learning_rates"] = {"grid": [0.1, 0.2]}
    plan = make_plan(load_study(write_study(values)))
    folder = StudyFolder(tmp_path / "out")
    candidate = next(job for job in plan.of_stage("finetune") if job.candidate)
    trained = {job.stage: preflight.resolve(folder, plan, job) for job in plan.jobs}
    problems = answer(
        [
            *((stage, trained[stage]) for stage in ("pretrain", "finetune", "translate")),
            ("candidate", preflight.resolve(folder, plan, candidate)),
            ("unknown", [*trained["pretrain"], "--batch-sise", "8"]),
            ("value", [*trained["finetune"], "--max-tokens", "many"]),
            ("tpu", [*trained["pretrain"], "--bf16"]),
            ("generation", [*trained["translate"], "--lenpenn", "1"]),
        ]
    )
    assert problems.pop("unknown") == "unrecognized arguments: --batch-sise 8; did you mean --batch-size?"
    assert "many" in problems.pop("value")
    assert "use --bf16-autocast" in problems.pop("tpu")
    assert "did you mean --lenpen?" in problems.pop("generation")
    assert problems == {}


def test_the_projects_own_commands_refuse_unknown_options_and_accept_the_defaults(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    pytest.importorskip("fairseq_scaling_preprocess", reason="needs the project installed (make does it)")
    values["finetuning"]["learning_rates"] = {"grid": [0.1, 0.2]}
    plan = make_plan(load_study(write_study(values)))
    folder = StudyFolder(tmp_path / "out")
    own = [job for job in plan.jobs if not job.argv[0].startswith("fairseq-")]
    words = [(job.id, preflight.resolve(folder, plan, job)) for job in own]
    problems = answer([*words, ("bad", [*words[1][1], "--max-wrods", "9"])])
    assert "--max-wrods" in problems.pop("bad")
    assert problems == {}


@pytest.fixture
def plan(values: dict[str, Any], write_study: Write) -> Plan:
    return make_plan(load_study(write_study(values)))


def stub(monkeypatch: pytest.MonkeyPatch, output: str, code: int = 0) -> list[str]:
    """Replace the check's process by an answer; return the list of what it is asked."""
    asked: list[str] = []

    def run(*_: object, input: str, **__: object) -> subprocess.CompletedProcess[str]:
        asked.append(input)
        return subprocess.CompletedProcess([], code, output, "ImportError: libcudart.so.13")

    monkeypatch.setattr(preflight.subprocess, "run", run)
    monkeypatch.delitem(os.environ, "SCALING_STUDY_PROGRAMS", raising=False)
    return asked


def test_a_refusal_names_the_key_of_study_yaml_once_for_all_its_runs(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [[job.id, "unrecognized arguments: --lrr 3"] for job in plan.of_stage("finetune")]
    stub(monkeypatch, json.dumps(problems))
    with pytest.raises(SettingError) as caught:
        preflight.check_flags(plan, StudyFolder(tmp_path), plan.jobs)
    assert str(caught.value).count("--lrr") == 1
    assert "finetuning.fairseq" in str(caught.value)


def test_flags_that_passed_are_not_checked_again_until_they_change(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stub(monkeypatch, "[]")
    folder = StudyFolder(tmp_path)
    preflight.check_flags(plan, folder, plan.jobs)
    preflight.check_flags(plan, folder, plan.jobs)
    assert len(asked) == 1
    preflight.check_flags(plan, folder, plan.jobs[:3])
    assert len(asked) == 2


def test_programs_that_cannot_be_loaded_are_told_with_their_own_words(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, "", code=1)
    with pytest.raises(DataError, match="libcudart"):
        preflight.check_flags(plan, StudyFolder(tmp_path), plan.jobs)
