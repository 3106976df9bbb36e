"""Learning rates that a study chooses: the jobs, the choice from real logs, and a whole study with fake programs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.study.plan import choice
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.job import run_job
from fairseq_scaling.study.run.pending import decided_by
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes
from tests.study.helpers import kinds, set_environment, value_of

Write = Callable[[dict[str, Any] | str], Path]
LOGS = Path(__file__).parents[2] / "logs/golden"


@pytest.fixture
def choosing(values: dict[str, Any]) -> dict[str, Any]:
    """Two mixtures of one budget and the baseline; both learning rates are chosen from two."""
    values["pretraining"] |= {"budgets": ["1M"], "learning_rates": {"grid": [0.01, "3e-2"], "budget": "0.1M"}}
    values["finetuning"]["learning_rates"] = {"grid": [0.001, 0.002]}
    return values


def plan_of(values: dict[str, Any], write_study: Write) -> Plan:
    return make_plan(load_study(write_study(values)))


def test_every_mixture_and_every_checkpoint_has_its_candidates_and_its_choice(
    choosing: dict[str, Any], write_study: Write
) -> None:
    plan = plan_of(choosing, write_study)
    candidates = [job for job in plan.jobs if job.candidate]
    assert len([job for job in candidates if job.stage == "pretrain"]) == 2 * 2
    assert len([job for job in candidates if job.stage == "finetune"]) == 2 * 3
    assert len(plan.of_stage("choose")) == 2 + 3
    seen: set[str] = set()
    for job in plan.jobs:
        assert set(job.needs) <= seen
        assert set(job.reads.values()) <= set(job.needs)
        seen.add(job.id)


def test_a_training_waits_for_the_choice_and_holds_its_placeholder(
    choosing: dict[str, Any], write_study: Write
) -> None:
    plan = plan_of(choosing, write_study)
    job = plan.by_id["pretrain/de1/seed1/1M"]
    assert value_of(job.argv, "lr") == "{chosen:.study/candidates/pretraining/de1/learning_rate}"
    assert "choose/pretraining/de1" in job.needs
    short = plan.by_id["pretrain/candidates/pretraining/de1/lr3e-2"]
    assert (value_of(short.argv, "lr"), value_of(short.argv, "budgets")) == ("3e-2", "100k")


def test_one_mixture_can_decide_for_all(choosing: dict[str, Any], write_study: Write) -> None:
    choosing["pretraining"]["learning_rates"]["per"] = "study"
    plan = plan_of(choosing, write_study)
    assert [job.id for job in plan.of_stage("choose") if "pretraining" in job.id] == ["choose/pretraining/en0.5-fr0.5"]
    rates = {value_of(job.argv, "lr") for job in plan.of_stage("pretrain") if not job.candidate}
    assert rates == {"{chosen:.study/candidates/pretraining/en0.5-fr0.5/learning_rate}"}


def test_a_rate_that_an_override_or_the_baseline_gives_is_not_chosen(
    choosing: dict[str, Any], write_study: Write
) -> None:
    choosing["pretraining"]["overrides"] = [{"mixture": "de", "fairseq": {"lr": 0.5}}]
    choosing["finetuning"]["baseline"] = {"fairseq": {"lr": 0.7}}
    plan = plan_of(choosing, write_study)
    assert value_of(plan.by_id["pretrain/de1/seed1/1M"].argv, "lr") == "0.5"
    assert value_of(plan.by_id["finetune/en-fr/200k/baseline/seed1"].argv, "lr") == "0.7"
    assert not [
        job for job in plan.jobs if job.candidate and ("baseline" in job.id or job.id.endswith("pretraining/de1"))
    ]


@pytest.mark.parametrize("by", ["cross_entropy", "bleu"])
def test_a_choice_never_sees_the_test_set_and_is_not_reported(
    choosing: dict[str, Any], write_study: Write, by: str
) -> None:
    choosing["finetuning"]["learning_rates"]["by"] = by
    plan = plan_of(choosing, write_study)
    for job in plan.jobs:
        if job.candidate:
            assert "test" not in job.argv
            assert "valid,test" not in ",".join(job.argv)
    candidates = [job for job in plan.jobs if job.candidate]
    assert len([job for job in candidates if job.stage == "score"]) == (0 if by == "cross_entropy" else 6)
    assert not [word for word in plan.of_stage("fit")[0].argv if "candidates" in word]


def runs(tmp_path: Path, **logs: str) -> dict[str, Path]:
    """Return learning rate (with _ for .) -> folder with a copy of a golden log."""
    folders = {}
    for rate, log in logs.items():
        folder = tmp_path / rate
        folder.mkdir()
        shutil.copy(LOGS / log, folder / "train.log")
        folders[rate.removeprefix("r").replace("_", ".")] = folder
    return folders


def test_the_least_cross_entropy_of_valid_wins_and_a_diverged_run_never_does(tmp_path: Path) -> None:
    folders = runs(
        tmp_path, r0_1="train-json-diverged.log", r0_01="train-json-bleu.log", r0_003="train-json-smoothed.log"
    )
    found = choice.choose(folders, "cross_entropy")
    values = {row["lr"]: row["value"] for row in found["candidates"]}
    assert values["0.1"] is None
    assert found["chosen"] == min(("0.01", "0.003"), key=lambda rate: values[rate])
    assert "diverged" in choice.describe(found)


def test_a_run_that_diverged_after_it_was_validated_never_wins(tmp_path: Path) -> None:
    folders = runs(tmp_path, r0_1="train-json-bleu.log", r0_01="train-json-bleu.log")
    best = choice.choose(folders, "cross_entropy")["candidates"][0]["value"]
    assert best is not None
    log = folders["0.1"] / "train.log"
    lines = log.read_text().splitlines()
    place = max(number for number, line in enumerate(lines) if "| train_inner |" in line)
    head, record = lines[place].split(" | train_inner | ")
    lines.append(f"{head} | train_inner | " + json.dumps({**json.loads(record), "loss": "nan"}))
    log.write_text("\n".join(lines) + "\n")
    found = choice.choose(folders, "cross_entropy")
    assert found["chosen"] == "0.01"
    assert found["candidates"][0]["value"] is None


def test_a_training_whose_rate_is_not_chosen_fails_and_can_be_tried_again(
    choosing: dict[str, Any], write_study: Write, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a choice can arrive late on a file system of several nodes."""
    set_environment(monkeypatch, fakes.environment())
    plan, folder = plan_of(choosing, write_study), StudyFolder(tmp_path / "out")
    job = plan.by_id["pretrain/de1/seed1/1M"]
    assert run_job(folder, plan, job, 1, 2) == 1
    assert fakes.started() == []
    assert "no learning rate is chosen" in (folder.path / job.log).read_text()
    record = folder.record(job.id)
    assert record is not None
    assert record["state"] == "retry"
    file = folder.path / ".study/candidates/pretraining/de1/learning_rate"
    file.parent.mkdir(parents=True)
    file.write_text("0.01")
    assert run_job(folder, plan, job, 2, 2) == 0
    assert kinds(fakes.started()) == {"fairseq-train": 1}


def test_another_corpus_changes_trainings_whose_rate_stays(
    choosing: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    del choosing["text"]
    choosing["corpus"] = "corpus"
    (tmp_path / "corpus").mkdir()
    plan = plan_of(choosing, write_study)
    trained = [plan.by_id["pretrain/de1/seed1/1M"], plan.by_id["finetune/en-fr/200k/baseline/seed1"]]
    deciding = []
    for content in ("abc", "other"):
        (tmp_path / "corpus/corpus.json").write_text(json.dumps({"fingerprint": content}))
        deciding.append([decided_by(plan, job) for job in trained])
    assert all(one != other for one, other in zip(*deciding, strict=True))


def test_upstream_cross_entropy_decides_in_a_pretraining(tmp_path: Path) -> None:
    found = choice.choose(runs(tmp_path, r1="plugin/pretraining.log", r2="plugin/pretraining.log"), "cross_entropy")
    assert found["candidates"][0]["value"] > 0
    assert found["candidates"][0]["pretrain_tokens"] > 0
    assert found["at_edge"]
    assert "edge of the grid" in choice.describe(found)


def test_scores_of_the_validation_set_decide_and_those_of_the_test_set_do_not(tmp_path: Path) -> None:
    folders = {}
    for rate, subset, bleu in (("1", "valid", 10.0), ("2", "valid", 12.0), ("3", "test", 30.0)):
        folder = tmp_path / rate
        folder.mkdir()
        shutil.copy(LOGS / "plugin/finetuning.log", folder / "train.log")
        scores = json.loads((LOGS / "plugin/scores.json").read_text())
        scores["subset"] = subset
        scores["scores"]["bleu"]["value"] = bleu
        (folder / "scores.json").write_text(json.dumps(scores))
        folders[rate] = folder
    found = choice.choose(folders, "bleu")
    assert [row["value"] for row in found["candidates"]] == [10.0, 12.0, None]
    assert found["chosen"] == "2"


def test_nothing_is_chosen_where_all_diverged(tmp_path: Path) -> None:
    folders = runs(tmp_path, r1="train-json-diverged.log", r2="train-json-diverged.log")
    with pytest.raises(DataError, match="did all diverge"):
        choice.choose(folders, "cross_entropy")


def test_a_study_trains_with_the_rates_it_has_chosen_and_a_choice_made_again_lets_trainings_stand(
    choosing: dict[str, Any], write_study: Write, fakes: Fakes, tmp_path: Path
) -> None:
    del choosing["finetuning"]["learning_rates"]
    choosing["finetuning"]["baseline"] = False
    choosing["pretraining"]["mixtures"] = ["de"]
    out = tmp_path / "out"
    result = fakes.run("run", write_study(choosing), "--out", out, FAKE_CHOICE="3e-2")
    assert result.returncode == 0, result.stderr
    record = json.loads((out / ".study/records/pretrain/de1/seed1/1M.json").read_text())
    assert value_of(record["command"], "lr") == "3e-2"
    fakes.started()
    # A further candidate, and the same one wins: nothing else is done again.
    choosing["pretraining"]["learning_rates"]["grid"].append(0.1)
    assert fakes.run("run", write_study(choosing), "--out", out, FAKE_CHOICE="3e-2").returncode == 0
    programs = [line.split()[0] for line in fakes.started()]
    assert sorted(programs) == ["fairseq-train", "scaling-study"]
    # Another one wins: every training depends on it.
    choosing["pretraining"]["learning_rates"]["grid"].append(0.2)
    assert fakes.run("run", write_study(choosing), "--out", out, FAKE_CHOICE="0.2").returncode == 0
    record = json.loads((out / ".study/records/pretrain/de1/seed1/1M.json").read_text())
    assert value_of(record["command"], "lr") == "0.2"
    assert len([line for line in fakes.started() if line.startswith("fit-scaling")]) == 1


def test_who_reads_the_whole_folder_finds_no_candidate(choosing: dict[str, Any], write_study: Write) -> None:
    """``fit-scaling FOLDER`` leaves out what begins with a dot."""
    plan = plan_of(choosing, write_study)
    candidates = [job for job in plan.jobs if job.candidate]
    assert all(name.startswith(".study/") for job in candidates for name in [*job.writes, job.log])


def test_a_candidate_that_diverges_has_been_tried(tmp_path: Path) -> None:
    assert choice.diverged(LOGS / "train-json-diverged.log")
    assert not choice.diverged(LOGS / "train-json-smoothed.log")
    assert not choice.diverged(tmp_path / "nothing")


@pytest.mark.parametrize(("message", "code"), [("FloatingPointError: gradients are Nan/Inf", 0), ("out of memory", 1)])
def test_a_study_goes_on_after_a_candidate_that_diverged_but_not_after_one_that_broke(
    choosing: dict[str, Any],
    write_study: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    code: int,
) -> None:
    program = tmp_path / "fairseq-train"
    program.write_text(f"#!/bin/sh\necho '{message}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("SCALING_STUDY_PROGRAMS", str(tmp_path))
    plan, folder = plan_of(choosing, write_study), StudyFolder(tmp_path / "out")
    candidate = plan.by_id["finetune/candidates/finetuning/en-fr/200k/baseline/lr0.002"]
    assert run_job(folder, plan, candidate) == code
    # A run that is to be reported may not diverge.
    assert run_job(folder, plan, plan.by_id["finetune/en-fr/200k/baseline/seed1"]) == 1


def test_a_candidate_that_diverged_is_not_translated_where_scores_decide(
    choosing: dict[str, Any], write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that diverges stands for all: translation and scores would fail with it."""
    for name in ("fairseq-train", "fairseq-generate", "score-translations"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'FloatingPointError: gradients are Nan/Inf'\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("SCALING_STUDY_PROGRAMS", str(tmp_path))
    choosing["finetuning"]["learning_rates"]["by"] = "bleu"
    plan, folder = plan_of(choosing, write_study), StudyFolder(tmp_path / "out")
    name = "candidates/finetuning/en-fr/200k/baseline/lr0.002"
    for stage in ("finetune", "translate", "score"):
        job = plan.by_id[f"{stage}/{name}"]
        assert run_job(folder, plan, job) == 0
        assert all((folder.path / output).exists() for output in job.writes)
    run = folder.path / ".study" / name
    assert "nothing to translate" in (run / "generate.log").read_text()
    with pytest.raises(DataError, match="did all diverge"):
        choice.choose({"0.002": run}, "bleu")
