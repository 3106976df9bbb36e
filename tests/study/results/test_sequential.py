"""Studies that pretrain a mixture no further once its verdict is settled."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.laws.verdict import FEWEST_BUDGETS
from fairseq_scaling.study.plan.jobs import Job, Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.results.cleaning import removable
from fairseq_scaling.study.results.sequential import (
    RunPlan,
    advice,
    as_decided,
    evaluated,
    is_settled,
    limited,
    run_sequentially,
)
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.job import run_job
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes
from tests.study.fake_program import ENDING
from tests.study.helpers import kinds, set_environment

BUDGETS = ["0.5M", "1M", "2M", "4M", "8M", "16M"]


@pytest.fixture
def study(values: dict[str, Any], write_study: Callable[[dict[str, Any]], Path], tmp_path: Path) -> Path:
    """Two mixtures, six budgets, a corpus that is there."""
    del values["text"]
    values |= {"corpus": "corpus"}
    values["pretraining"]["budgets"] = BUDGETS
    values["finetuning"]["baseline"] = False
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text('{"fingerprint": "abc"}')
    return write_study(values)


def ask_here(plan: Plan, folder: StudyFolder) -> list[Job]:
    """Return the jobs that did not finish with their command, or need one that did not, without asking Snakemake."""
    waiting: dict[str, Job] = {}
    for job in plan.jobs:
        record = folder.record(job.id) or {}
        there = all((folder.path / name).exists() for name in job.writes)
        if not there or record.get("argv") != job.argv or set(job.needs) & set(waiting):
            waiting[job.id] = job
    return list(waiting.values())


def run_here(folder: StudyFolder) -> RunPlan:
    """Return what runs a part of a plan, job by job in this process, as ``workflow.run_plan`` does with Snakemake."""

    def run(part: Plan, limits: Mapping[str, int]) -> int:
        folder.plan_path.parent.mkdir(parents=True, exist_ok=True)
        (folder.path / ".snakemake").mkdir(exist_ok=True)  # Snakemake takes over what is there
        folder.plan_path.write_text(part.to_json())
        folder.write_limits(limits, folder.settled if limits else ())
        pending = ask_here(part, folder)
        for job in pending:
            assert run_job(folder, part, job) == 0, job.label
        return len(pending)

    return run


def run_all(plan: Plan, folder: StudyFolder, told: list[str]) -> int:
    return run_sequentially(plan, folder, run_here(folder), told.append, ask_here)


def test_a_settled_mixture_is_pretrained_no_further_and_a_full_run_later_does_only_the_rest(
    study: Path, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """German alone is settled at the fifth of six budgets: the fourth gave the same advice."""
    assert FEWEST_BUDGETS == 4
    said = {"de:1": {"4": "change the data", "5": "change the data"}, "en:0.5,fr:0.5": {"5": "stop", "6": "add data"}}
    set_environment(monkeypatch, fakes.environment(FAKE_ADVICE=json.dumps(said)))
    plan, folder = make_plan(load_study(study)), StudyFolder(tmp_path / "out")
    told: list[str] = []
    run_all(plan, folder, told)
    (text,) = told
    assert text.startswith("de:1 is settled: not pretrained beyond 8M of 16M tokens.\n")
    assert "Saved: 8M tokens of pretraining and 1 finetunings, about " in text
    assert text.endswith("de:1: change the data, after 5 budgets.")
    # One mixture to six budgets, one to five, and as many finetunings. A fit in each round; the last one has the remark
    # for the report.
    assert kinds(fakes.started()) == {
        "scaling-alignment": 1, "fairseq-train": 11 + 11, "fairseq-generate": 11, "score-translations": 11,
        "fit-scaling": 3,
    }  # fmt: skip
    german = tmp_path / "out/pretraining/de1/seed1"
    assert (german / "8M/checkpoint_last.pt").exists()
    assert not (german / "16M").exists()
    assert f"Not run: {text.splitlines()[0]}" in fakes.run("status", "--out", tmp_path / "out").stdout
    fit = folder.record("fit/results")
    assert fit is not None
    assert fit["command"][-2:] == ["--remark", text]
    kept = {
        path.parts[-4] for kind in removable(plan, folder, True) for path in kind.files if "pretraining" in path.parts
    }
    assert kept == {"en0.5-fr0.5"}

    # The same command comes to the same decisions: it only asks for the advice of a budget before.
    assert run_all(plan, folder, told) == 0
    assert told == [text, text]
    assert kinds(fakes.started()) == {"fit-scaling": 1}
    assert folder.limits == {"de:1": 5}

    run_here(folder)(plan, {})
    assert folder.settled == []
    fit = folder.record("fit/results")
    assert fit is not None
    assert "--remark" not in fit["command"]
    assert kinds(fakes.started()) == {
        "fairseq-train": 2, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1,
    }  # fmt: skip
    assert "Loaded checkpoint with 8 steps" in (german / "16M/train.log").read_text()


def test_nothing_that_is_evaluated_is_left_out_and_only_what_was_not_done_is_saved(
    study: Path, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"de:1": {"4": "stop", "5": "stop", "6": "stop"}, "en:0.5,fr:0.5": {}}
    set_environment(monkeypatch, fakes.environment(FAKE_ADVICE=json.dumps(said)))
    plan, folder = make_plan(load_study(study)), StudyFolder(tmp_path / "out")
    run_here(folder)(plan, {})
    fakes.started()
    told: list[str] = []
    assert run_all(plan, folder, told) == 0
    assert (told, fakes.started(), folder.limits) == ([], [], {})
    # Without the last evaluation five budgets are settled, and the pretraining that is done to its end is not saved.
    shutil.rmtree(tmp_path / "out/finetuning/en-fr/200k/de1/seed1/16M")
    run_all(plan, folder, told)
    (text,) = told
    assert text.startswith("de:1 is settled: not finetuned beyond 8M of 16M tokens.\n")
    assert "Saved: 0 tokens of pretraining and 1 finetunings, about " in text
    assert kinds(fakes.started()) == {"fit-scaling": 3}
    fit = folder.record("fit/results")
    assert fit is not None
    assert len([word for word in fit["command"] if "/de1/seed1/" in word and word.startswith("finetuning/")]) == 5


def test_budgets_count_that_are_evaluated_from_the_first_on(study: Path) -> None:
    plan = make_plan(load_study(study))
    everything = {job.id for job in plan.jobs}
    assert evaluated(plan, everything, "de:1") == 0
    assert evaluated(plan, set(), "de:1") == len(BUDGETS)
    third = {"pretrain/de1/seed1/2M"}
    assert evaluated(plan, third, "de:1") == 2
    assert evaluated(plan, third, "en:0.5,fr:0.5") == len(BUDGETS)
    assert evaluated(plan, third | {"score/en-fr/200k/de1/seed1/1M/seed1"}, "de:1") == 1


def test_commands_know_the_decisions_whichever_way_the_study_is_named(
    study: Path, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"de:1": {"4": "stop", "5": "stop"}, "en:0.5,fr:0.5": {"4": "stop", "5": "stop"}}
    set_environment(monkeypatch, fakes.environment(FAKE_ADVICE=json.dumps(said)))
    out = tmp_path / "out"
    plan, folder = make_plan(load_study(study)), StudyFolder(out)
    run_all(plan, folder, [])
    assert as_decided(plan, folder) == Plan.read(folder.plan_path)
    named: list[tuple[str | Path, ...]] = [("--out", out), (study, "--out", out)]
    status, same = (fakes.run("status", *words).stdout for words in named)
    assert status == same
    assert "100% done" in status
    report, same = (fakes.run("report", *words).stdout for words in named)
    assert report == same == f"the table of results\nReport: {out}/results/report.html\n"
    assert fakes.run("export", study, "--out", out, "--archive", tmp_path / "a.tar.gz").returncode == 0
    shutil.unpack_archive(tmp_path / "a.tar.gz", tmp_path)
    text = (tmp_path / "small/README.txt").read_text()
    words = shlex.split(text[text.index("fit-scaling ", text.index("The laws again")) :])
    runs = [word for word in words if word.startswith(("finetuning/", "pretraining/"))]
    assert len(runs) == 2 * 5 + 2 * 5
    assert all((tmp_path / "small" / run).is_dir() for run in runs)
    # A study that now has fewer budgets is none that was stopped.
    fewer = make_plan(load_study(study, ["pretraining.budgets=[0.5M, 1M]"]))
    assert as_decided(fewer, folder) == fewer
    listed = fakes.run("run", study, "--out", out, "--dry-run", "--sequential").stdout.splitlines()
    assert listed[-1].startswith(f"{len(listed) - 1} jobs to do at most: --sequential leaves out")


@pytest.mark.slow
def test_the_command_runs_a_study_sequentially(
    study: Path, values: dict[str, Any], write_study: Callable[[dict[str, Any]], Path], fakes: Fakes, tmp_path: Path
) -> None:
    values["pretraining"] |= {"mixtures": ["de:1"], "budgets": ["1M"]}
    words = ("run", write_study(values), "--out", tmp_path / "out", "--sequential")
    result = fakes.run(*words, FAKE_ADVICE=json.dumps({"de:1": {}}))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"the table of results\nReport: {tmp_path}/out/results/report.html\n"
    assert fakes.run(*words, "--until", "encode").returncode == 2


def test_what_reads_a_later_budget_is_left_out_and_the_commands_of_the_rest_stay(study: Path) -> None:
    plan = make_plan(load_study(study))
    part = limited(plan, {"de:1": 2})
    dropped = {job.id for job in plan.jobs} - {job.id for job in part.jobs}
    assert len(dropped) == 4 * 4
    assert all("/de1/" in name for name in dropped)
    (fit,) = part.of_stage("fit")
    assert not dropped & set(fit.needs)
    assert not [word for word in fit.argv if "/de1/seed1/2M/" in word]
    assert [word for word in fit.argv if "/de1/seed1/1M/" in word]
    assert fit.reads["pretraining/de1/seed1/1M/train.log"] == "pretrain/de1/seed1/1M"
    assert limited(plan, {"de:1": 6}) == plan


@pytest.mark.parametrize(
    ("now", "before", "settled"),
    [
        ({"a": "stop"}, {"a": "stop"}, True),
        ({"a": "stop?"}, {"a": "stop?"}, False),
        ({"a": "finetuning data suffices"}, {"a": "finetuning data suffices"}, True),
        ({"a": "stop"}, {"a": "change the data"}, False),
        ({"a": "stop"}, {}, False),
        ({"a": "add data"}, {"a": "add data"}, False),
        ({"a": "stop", "b": "run more points"}, {"a": "stop", "b": "run more points"}, False),
        ({}, {}, False),
    ],
)
def test_a_mixture_is_settled_when_every_curve_says_the_same_twice(
    now: dict[str, str], before: dict[str, str], settled: bool
) -> None:
    """An advice that the points do not settle has a question mark here."""
    both = [{curve: (action, "", action in ENDING) for curve, action in actions.items()} for actions in (now, before)]
    assert is_settled(*both) is settled


def test_cross_entropy_alone_decides_nothing(tmp_path: Path) -> None:
    fits = tmp_path / "fits.json"
    curve = {"name": "x", "metric": "cross_entropy", "setting": {"mixture": "de:1"}, "advice": {}}
    fits.write_text(json.dumps({"curves": [curve]}))
    with pytest.raises(DataError, match="cross-entropy alone must not decide"):
        advice(fits)


def test_real_fits_are_read_by_their_first_score() -> None:
    found = advice(Path(__file__).parents[3] / "examples/quickstart/results/fits.json")
    assert set(found) == {"en:0.5,fr:0.5", "de:1"}
    assert all(len(curves) == 1 for curves in found.values())
