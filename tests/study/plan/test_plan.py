from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.quantities import parse_tokens
from fairseq_scaling.study.plan.flags import flags, options
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.names import exact_tokens
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.run import scheduling
from fairseq_scaling.study.settings.config import load_study
from fairseq_scaling.study.stages import STAGES
from tests.study.helpers import value_of

Write = Callable[[dict[str, Any] | str], Path]


@pytest.fixture
def plan_of(write_study: Write) -> Callable[[dict[str, Any]], Plan]:
    return lambda values: make_plan(load_study(write_study(values)))


PlanOf = Callable[[dict[str, Any]], Plan]


def test_the_number_of_runs_is_the_product_of_what_varies(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["pretraining"]["seeds"] = [1, 2]
    values["finetuning"] |= {"seeds": [1, 2, 3], "finetune_tokens": ["0.1M", "0.2M"], "tasks": ["en-fr", "fr-en"]}
    plan = plan_of(values)
    assert len(plan.of_stage("pretrain")) == 2 * 2 * 3
    # tasks x D_f x seeds x (mixtures x pretraining seeds x budgets + baseline)
    runs = 2 * 2 * 3 * (2 * 2 * 3 + 1)
    for stage in ("finetune", "translate", "score"):
        assert len(plan.of_stage(stage)) == runs
    single = ("fetch", "clean", "sentencepiece", "encode", "alignment", "fit")
    assert [len(plan.of_stage(stage)) for stage in single] == [1] * 6
    assert len({job.id for job in plan.jobs}) == len(plan.jobs)


def test_every_job_stands_after_those_it_needs(values: dict[str, Any], plan_of: PlanOf) -> None:
    seen: set[str] = set()
    for job in plan_of(values).jobs:
        assert set(job.needs) <= seen
        assert set(job.reads.values()) <= set(job.needs)
        assert job.stage in STAGES
        seen.add(job.id)


def test_a_pretraining_continues_from_budget_to_budget_and_each_finetuning_takes_its_checkpoint(
    values: dict[str, Any], plan_of: PlanOf
) -> None:
    plan = plan_of(values)
    chain = [job for job in plan.of_stage("pretrain") if "de1" in job.id]
    for number, (job, before) in enumerate(zip(chain, [None, *chain], strict=False), start=1):
        assert value_of(job.argv, "budgets") == "500k,1M,2M"
        assert value_of(job.argv, "max-epoch") == str(number)  # an epoch ends at each budget
        assert value_of(job.argv, "mixture") == "de:1"
        assert [need for need in job.needs if need.startswith("pretrain/")] == ([before.id] if before else [])
        assert job.flag("continue-once") == (f"{{out}}/{before.checkpoint}" if before else "")
    assert [job.tokens for job in chain] == [500_000, 500_000, 1_000_000]
    # A later budget changes nothing about the earlier ones.
    assert value_of(chain[0].deciding_argv, "budgets") == "500k"
    assert "--max-epoch" not in chain[0].deciding_argv
    starts = {job.id: value_of(job.argv, "finetune-from-model") for job in plan.of_stage("finetune") if "de1" in job.id}
    assert starts == {
        f"finetune/en-fr/200k/de1/seed1/{budget}/seed1": f"{{out}}/pretraining/de1/seed1/{budget}/checkpoint_last.pt"
        for budget in ("500k", "1M", "2M")
    }
    tuned = [job for job in plan.of_stage("finetune") if "de1" in job.id]
    assert all(maker.id in job.needs for maker, job in zip(chain, tuned, strict=True))


def test_every_test_set_has_its_own_translation_and_scores(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["pretraining"] = {"mixtures": ["de:1"], "budgets": ["1M"]}
    values["translation"] = {"subset": ["test", "test1"]}
    plan = plan_of(values)
    run = "finetuning/en-fr/200k/de1/seed1/1M/seed1"
    (finetune,) = [job for job in plan.of_stage("finetune") if "de1" in job.id]
    assert value_of(finetune.argv, "valid-subset") == "valid,test,test1,upstream_de"
    scores = {job.writes[0]: job for job in plan.of_stage("score") if "de1" in job.id}
    assert list(scores) == [f"{run}/scores.json", f"{run}/scores.test1.json"]
    further = scores[f"{run}/scores.test1.json"]
    assert value_of(further.argv, "subset") == "test1"
    assert further.argv[1] == f"{{out}}/{run}/generate.test1.txt"
    (translate,) = [plan.by_id[need] for need in further.needs]
    assert value_of(translate.argv, "gen-subset") == "test1"
    (fit,) = plan.of_stage("fit")
    assert fit.argv.count(run) == 1
    assert set(scores) <= set(fit.reads)


def test_scoring_options_of_one_task_replace_those_of_all(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["text"] = {"source": "files", "languages": ["de", "en", "fr", "he", "zh"], "pairs": ["en-he", "en-zh"]}
    values["finetuning"]["tasks"] = ["en-he", "en-zh"]
    values["scoring"] = {"metrics": "bleu,chrf", "en-zh": {"bleu_tokenizer": "zh"}, "en-he": {"comet-model": "he.ckpt"}}
    plan = plan_of(values)
    for job in plan.of_stage("score"):
        chinese = "en-zh" in job.id
        assert job.flag("metrics") == "bleu,chrf"
        assert job.flag("bleu-tokenizer") == ("zh" if chinese else "")
        assert job.flag("comet-model") == ("" if chinese else "{scoring.en-he:comet-model}")
    assert Path(plan.given["{scoring.en-he:comet-model}"]).name == "he.ckpt"


def test_a_study_with_fewer_budgets_or_mixtures_has_a_subset_of_the_runs(
    values: dict[str, Any], plan_of: PlanOf
) -> None:
    """What a larger study adds leaves the words of the smaller one's finetunings as they are."""
    large = {job.id: job.argv for job in plan_of(values).jobs}
    values["pretraining"]["mixtures"] = ["de:1"]
    for job in plan_of(values).jobs:
        if job.stage not in ("alignment", "fit"):
            assert large[job.id] == job.argv


def test_the_baseline_starts_from_nothing_and_waits_for_the_corpus_alone(
    values: dict[str, Any], plan_of: PlanOf
) -> None:
    (baseline,) = [job for job in plan_of(values).of_stage("finetune") if "baseline" in job.id]
    assert "--finetune-from-model" not in baseline.argv
    assert baseline.needs == ["encode/text"]
    values["finetuning"]["baseline"] = False
    assert not [job for job in plan_of(values).jobs if "baseline" in job.id]


def test_later_settings_win_and_reach_only_the_runs_they_name(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["model"] = {"fairseq": {"dropout": 0.1}}
    values["finetuning"] |= {
        "fairseq": {"lr": "2e-3", "clip-norm": None},
        "baseline": {"fairseq": {"lr": "3e-3"}, "updates": 7},
        "overrides": [{"mixture": "de:1", "pretrain_tokens": "1M", "fairseq": {"lr": "5e-4"}}],
    }
    jobs = {job.run: job.argv for job in plan_of(values).of_stage("finetune")}
    rates = {run: value_of(words, "lr") for run, words in jobs.items()}
    assert rates.pop("en-fr/200k/baseline/seed1") == "3e-3"
    assert rates.pop("en-fr/200k/de1/seed1/1M/seed1") == "5e-4"
    assert set(rates.values()) == {"2e-3"}
    assert value_of(jobs["en-fr/200k/baseline/seed1"], "max-update") == "7"
    assert all(value_of(words, "dropout") == "0.1" and "--clip-norm" not in words for words in jobs.values())


def test_runs_that_an_override_skips_are_not_planned(values: dict[str, Any], plan_of: PlanOf) -> None:
    whole = {job.id for job in plan_of(values).of_stage("finetune")}
    values["finetuning"]["overrides"] = [{"mixture": "de:1", "pretrain_tokens": "1M", "skip": True}]
    skipped = whole - {job.id for job in plan_of(values).of_stage("finetune")}
    assert skipped == {job for job in whole if "/de1/seed1/1M/" in job} != set()


def test_words_name_no_folder_of_this_machine(values: dict[str, Any], plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of(values)
    assert not [word for job in plan.jobs for word in job.argv if str(tmp_path) in word]


def test_the_fit_reads_exactly_the_runs_of_the_study(values: dict[str, Any], plan_of: PlanOf) -> None:
    plan = plan_of(values)
    words = plan.of_stage("fit")[0].argv
    folders = {job.folder for job in plan.jobs if job.stage in ("pretrain", "finetune")}
    assert set(words[1 : words.index("--out")]) == {*folders, "alignment.json"}


def test_all_mixtures_are_measured_against_all_tasks_once_the_corpus_is_there(
    values: dict[str, Any], plan_of: PlanOf
) -> None:
    values["finetuning"]["tasks"] = ["en-fr", "fr-en"]
    values["alignment"] = {"sample": "0.2M"}
    plan = plan_of(values)
    (job,) = plan.of_stage("alignment")
    assert job.argv == [
        "scaling-alignment", "{corpus}", "--task", "en-fr", "--task", "fr-en", "--mixture", "en:0.5,fr:0.5",
        "--mixture", "de:1", "--out", "{out}/alignment.json", "--sample", "0.2M",
    ]  # fmt: skip
    assert (job.needs, job.writes) == (["encode/text"], ["alignment.json"])
    (fit,) = plan.of_stage("fit")
    assert fit.reads["alignment.json"] == job.id
    assert job.id in fit.needs
    # Only the fit waits for it: no training does.
    assert [other.stage for other in plan.jobs if job.id in other.needs] == ["fit"]


def test_a_plan_survives_its_file(values: dict[str, Any], plan_of: PlanOf) -> None:
    plan = plan_of(values)
    assert Plan.from_json(plan.to_json()) == plan


def test_until_keeps_what_a_stage_needs_and_nothing_else(values: dict[str, Any], plan_of: PlanOf) -> None:
    plan = plan_of(values)
    assert {job.stage for job in plan.until("pretrain")} == {"fetch", "clean", "sentencepiece", "encode", "pretrain"}
    assert {job.stage for job in plan.until("encode")} == {"fetch", "clean", "sentencepiece", "encode"}


def test_a_finished_corpus_needs_no_text_jobs(values: dict[str, Any], plan_of: PlanOf, tmp_path: Path) -> None:
    del values["text"]
    plan = plan_of({**values, "corpus": "my/corpus"})
    assert [job.stage for job in plan.jobs[:2]] == ["alignment", "pretrain"]
    assert plan.jobs[0].needs == []
    assert Path(plan.corpus) == tmp_path / "my/corpus"


def test_twice_the_budget_takes_about_twice_the_time(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["pretraining"]["budgets"] = ["20M"]
    once = plan_of(values).of_stage("pretrain")[0]
    values["pretraining"]["budgets"] = ["40M"]
    twice = plan_of(values).of_stage("pretrain")[0]
    assert twice.tokens == 2 * once.tokens == 40_000_000
    assert twice.seconds / once.seconds == pytest.approx(2, rel=0.01)


def test_threads_of_a_stage_shorten_its_jobs_alone(values: dict[str, Any], plan_of: PlanOf) -> None:
    one = plan_of(values).by_id
    values["resources"] = {"pretrain": {"threads": 4}}
    for job in plan_of(values).jobs:
        start = 8.0 if job.stage == "pretrain" else 0.0
        times = 4 if job.stage == "pretrain" else 1
        assert (job.seconds - start) * times == pytest.approx(one[job.id].seconds - start)


def test_a_pretraining_saves_between_its_budgets_and_a_candidate_keeps_no_budget(
    values: dict[str, Any], plan_of: PlanOf
) -> None:
    """A run under a time limit must get on between two budgets, too."""
    values["pretraining"]["learning_rates"] = {"grid": [0.1, 1.0], "budget": "0.5M"}
    for job in plan_of(values).of_stage("pretrain"):
        assert value_of(job.argv, "save-interval-updates") == "5000"
        assert value_of(job.argv, "keep-interval-updates") == "1"
        assert ("--no-epoch-checkpoints" in job.argv) == job.candidate
    values["pretraining"]["fairseq"] = {"save_interval_updates": 100}
    assert value_of(plan_of(values).of_stage("pretrain")[0].argv, "save-interval-updates") == "100"


def test_what_one_curve_needs_for_a_first_fit_goes_before_all_else(values: dict[str, Any], plan_of: PlanOf) -> None:
    values["pretraining"]["budgets"].append("4M")
    plan = plan_of(values)
    first, second = plan.early_scores
    assert [job.id.split("/")[-3:-1] for job in first] == [["seed1", budget] for budget in ("500k", "1M", "2M")]
    order = sorted(plan.jobs, key=lambda job: -plan.priorities[job.id])
    needed = [{job.id for job in plan.with_needs(job.id for job in curve)} for curve in (first, second)]
    assert {job.id for job in order[: len(needed[0])]} == needed[0]
    assert {job.id for job in order[: len(needed[0] | needed[1])]} == needed[0] | needed[1]
    left = [STAGES[job.stage].priority for job in order if job.id not in needed[0] | needed[1]]
    assert left == sorted(left, reverse=True)


def test_options_of_every_kind() -> None:
    settings = {
        "mono": {"en": "a.txt", "fr": "b.txt"}, "pair": {"en-fr": ["c.en", "c.fr"]},
        "metric": ["bleu", "chrf"], "language-check": False, "unique-sides": True, "seed": 3, "none": None,
    }  # fmt: skip
    assert options(settings) == [
        "--mono", "en=a.txt", "--mono", "fr=b.txt", "--pair", "en-fr=c.en,c.fr",
        "--metric", "bleu", "--metric", "chrf", "--no-language-check", "--unique-sides", "--seed", "3",
    ]  # fmt: skip


def test_flags_of_every_kind() -> None:
    settings = {"lr": "1e-3", "fp16": True, "clip-norm": None, "share": False, "langs": ["en", "fr"], "n": 0}
    assert flags(settings) == ["--lr", "1e-3", "--fp16", "--langs", "en,fr", "--n", "0"]


@pytest.mark.parametrize("tokens", [1, 999, 1000, 250_000, 1_234_567, 123_450_000, 1_000_000_000, 7_654_321_000])
def test_short_token_counts_mean_exactly_what_they_stand_for(tokens: int) -> None:
    assert parse_tokens(exact_tokens(tokens)) == tokens


def test_every_stage_has_its_rule_and_every_job_the_outputs_of_that_rule(
    plan_of: PlanOf, values: dict[str, Any]
) -> None:
    """So that a new stage is not forgotten in the Snakefile."""
    text = (Path(scheduling.__file__).parent / "Snakefile").read_text()
    rules = dict(re.findall(r"^(?:rule|checkpoint) (\w+):\n(.*?)\n(?:\n|\Z)", text, re.S | re.M))
    assert set(rules) - {"all"} == set(STAGES)
    values["pretraining"]["learning_rates"] = {"grid": [0.1, 0.2], "budget": "0.5M"}
    values["translation"] = {"subset": ["test", "test1"]}
    for job in plan_of(values).jobs:
        outputs = re.findall(r'"([^"]+)"', re.search(r"output: (.*)", rules[job.stage])[1])  # type: ignore[index]
        assert len(outputs) == len(job.writes)
        for name, pattern in zip(job.writes, outputs, strict=True):
            assert re.fullmatch(re.escape(pattern).replace(r"\{run\}", ".+").replace(r"\{subset\}", ".*"), name)
