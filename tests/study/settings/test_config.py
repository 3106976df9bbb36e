from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from fairseq_scaling.errors import DataError, ScalingError, SettingError
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study, settings_text, study_schema
from tests.study.helpers import refusal

ROOT = Path(__file__).parents[3]
Write = Callable[[dict[str, Any] | str], Path]


def test_a_study_is_read_with_exact_numbers(values: dict[str, Any], write_study: Write) -> None:
    study = load_study(write_study(values))
    assert study.pretraining.budgets == [500_000, 1_000_000, 2_000_000]
    assert dict(study.pretraining.mixtures[0]) == {"en": Fraction(1, 2), "fr": Fraction(1, 2)}
    assert study.finetuning.tasks == [("en", "fr")]


def test_the_quickstart_is_a_valid_study_with_baseline_two_mixtures_and_four_budgets() -> None:
    study = load_study(ROOT / "examples/quickstart")
    alignments = [mixture.alignment("en", "fr") for mixture in study.pretraining.mixtures]
    assert alignments[0] == 1.0
    assert min(alignments) < 1.0
    assert len(study.pretraining.budgets) >= 4
    assert study.finetuning.baseline is not None


def test_a_mistyped_key_is_named_with_its_line_and_the_nearest_valid_one(
    values: dict[str, Any], write_study: Write
) -> None:
    values["pretraining"]["budgtes"] = values["pretraining"].pop("budgets")
    message = refusal(write_study, values)
    line = write_study(values).read_text().splitlines().index("  budgtes:") + 1
    assert f"study.yaml, line {line}: pretraining.budgtes: unknown key; did you mean 'budgets'?" in message
    assert "pretraining.budgets is missing" in message


def test_a_mistyped_key_inside_a_list_of_overrides_is_named(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"]["overrides"] = [{"mixure": "de:1", "fairseq": {"lr": "1e-4"}}]
    assert "finetuning.overrides[0].mixure: unknown key; did you mean 'mixture'?" in refusal(write_study, values)


def test_a_mistyped_key_of_the_baseline_is_named(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"]["baseline"] = {"update": 3}
    assert "finetuning.baseline.update: unknown key; did you mean 'updates'?" in refusal(write_study, values)


@pytest.mark.parametrize(
    ("section", "key", "value", "parts"),
    [
        ("pretraining", "budgets", ["0.5M", "many"], ["pretraining.budgets[1]", "many", "write for example"]),
        ("pretraining", "budgets", ["2M", "1M"], ["pretraining.budgets", "must rise"]),
        ("pretraining", "mixtures", ["en:0.5,fr:0.6"], ["pretraining.mixtures[0]", "sum to 1.1"]),
        ("pretraining", "mixtures", ["de:1", "de"], ["pretraining.mixtures", "de:1", "twice"]),
        ("pretraining", "mixtures", ["ro:1"], ["pretraining.mixtures (ro:1) = ro", "text.languages", "de, en, fr"]),
        ("finetuning", "tasks", ["en-de"], ["finetuning.tasks = en-de", "not in text.pairs", "known: en-fr"]),
        ("finetuning", "tasks", ["enfr"], ["finetuning.tasks[0]", "enfr", "en-fr"]),
        ("finetuning", "updates", 0, ["finetuning.updates = 0", "greater than 0"]),
        ("finetuning", "seeds", [1, 1], ["finetuning.seeds", "twice"]),
        ("finetuning", "fairseq", {"max_update": 3}, ["max-update = 3", "use finetuning.updates instead"]),
        ("pretraining", "fairseq", {"save-dir": "x"}, ["save-dir = x", "leave it out"]),
        ("pretraining", "fairseq", {"no_epoch_checkpoints": True}, ["no-epoch-checkpoints", "at every budget"]),
        ("pretraining", "fairseq", {"keep-last-epochs": 1}, ["keep-last-epochs = 1", "leave it out"]),
        ("finetuning", "fairseq", {"no-last-checkpoints": True}, ["no-last-checkpoints", "leave it out"]),
        ("translation", "subset", "newstest", ["translation.subset[0]", "newstest", "test1"]),
        ("translation", "subset", ["test", "test"], ["translation.subset", "test", "twice"]),
        ("scoring", "en-zh", {"bleu-tokenizer": "zh"}, ["scoring = en-zh", "finetuning.tasks", "known: en-fr"]),
        ("text", "source", "debain", ["text.source[0] = 'debain'", "'debian'"]),
        ("text", "languages", [False, "en", "fr"], ["text.languages[0]", 'write it in quotes: "no"']),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_with_key_value_and_remedy(
    values: dict[str, Any], write_study: Write, section: str, key: str, value: object, parts: list[str]
) -> None:
    values.setdefault(section, {})[key] = value
    message = refusal(write_study, values)
    assert "study.yaml" in message
    for part in parts:
        assert part in message


def test_how_often_to_save_is_decided_for_finetuning_alone(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"]["fairseq"] = {"save-interval": 2}
    assert load_study(write_study(values)).finetuning.fairseq == {"save-interval": 2}
    values["model"] = {"fairseq": {"save-interval": 2}}
    message = refusal(write_study, values)
    assert "model.fairseq: save-interval = 2: a pretraining leaves a checkpoint at every budget" in message
    assert "finetuning.fairseq may hold it" in message


def test_an_override_that_no_run_meets_is_refused(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"]["overrides"] = [{"pretrain_tokens": "3M", "fairseq": {"lr": "1e-4"}}]
    assert "no run meets this" in refusal(write_study, values)


def test_a_study_has_either_text_or_a_corpus(values: dict[str, Any], write_study: Write) -> None:
    assert "both are given" in refusal(write_study, {**values, "corpus": "somewhere"})
    text = values.pop("text")
    assert "neither is given" in refusal(write_study, values)
    assert load_study(write_study({**values, "corpus": "somewhere"})).text is None
    assert load_study(write_study({**values, "text": text})).corpus is None


def test_a_key_that_stands_twice_is_refused(write_study: Write) -> None:
    text = "name: a\nfinetuning:\n  updates: 1\n  updates: 2\n"
    with pytest.raises(DataError, match=r"line 4: finetuning.updates is given twice \(first in line 3\)"):
        load_study(write_study(text))


def test_what_is_no_yaml_names_the_line(write_study: Write) -> None:
    with pytest.raises(DataError, match="line 2"):
        load_study(write_study("name: a\n\tbad: [\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/study\.yaml: No such file"):
        load_study(tmp_path / "nowhere/study.yaml")


def test_settings_errors_are_settings_errors(values: dict[str, Any], write_study: Write) -> None:
    values["threads"] = "two"
    with pytest.raises(SettingError, match="threads = 'two'"):
        load_study(write_study(values))


def set_refusal(path: Path, *settings: str) -> str:
    with pytest.raises(ScalingError) as caught:
        load_study(path, settings)
    return str(caught.value)


def test_a_file_with_the_settings_of_the_command_line_means_the_same_study(
    values: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    content = f"# of ours\n{yaml.safe_dump(values, sort_keys=False)}"
    path = write_study(content)
    assert settings_text(path) == settings_text(tmp_path) == content
    settings = [
        "text.languages=[de, en, fr, 'no']", "pretraining.fairseq.lr=1e-3", "name='2026'",
        "finetuning.overrides=[{task: en-fr, updates: 7}]", "pretraining.mixtures[1]=de:1/3,fr:2/3",
    ]  # fmt: skip
    merged = tmp_path / "merged.yaml"
    merged.write_text(settings_text(path, settings), "utf-8")
    assert make_plan(load_study(merged)) == make_plan(load_study(path, settings))


def test_settings_of_the_command_line_replace_those_of_the_file(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"]["overrides"] = [{"mixture": "de:1", "fairseq": {"lr": "1e-4"}}]
    settings = [
        "pretraining.budgets=[1M, 3M]", "finetuning.baseline.updates=7", "model.fairseq.dropout=0.1",
        "finetuning.overrides[0].updates=9", "text.clean.max-words=5",
    ]  # fmt: skip
    study = load_study(write_study(values), settings)
    assert study.pretraining.budgets == [1_000_000, 3_000_000]
    assert study.finetuning.baseline is not None
    assert study.finetuning.baseline.updates == 7
    assert study.model.fairseq == {"dropout": 0.1}
    assert study.finetuning.overrides[0].updates == 9
    assert study.text is not None
    assert study.text.clean == {"max-words": 5}


def test_a_mistake_of_the_command_line_is_named_as_one_of_the_file_is(
    values: dict[str, Any], write_study: Write
) -> None:
    path = write_study(values)
    message = set_refusal(path, "pretraining.budgtes=3")
    assert message == "--set pretraining.budgtes=3: pretraining.budgtes: unknown key; did you mean 'budgets'?"
    assert "--set pretrainin.seeds=3: pretrainin: unknown key" in set_refusal(path, "pretrainin.seeds=3")
    message = set_refusal(path, "pretraining.budgets=[1M, many]")
    assert message.startswith("--set pretraining.budgets=[1M, many]: pretraining.budgets[1]: tokens = many")
    # The file's own mistakes keep their line.
    values["finetuning"]["updates"] = 0
    assert "study.yaml, line" in set_refusal(write_study(values), "pretraining.budgets=[1M]")


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("budgets", "not KEY=VALUE"),
        ("pretraining.budgets=[1M", "not readable as YAML"),
        ("pretraining.mixtures[5]=de", r"the study has no pretraining.mixtures\[5\]"),
        ("name.first=de", "the study has no name.first"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(
    values: dict[str, Any], write_study: Write, setting: str, part: str
) -> None:
    with pytest.raises(SettingError, match=part):
        load_study(write_study(values), [setting])


def test_tasks_can_have_finetuning_sizes_of_their_own(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"] |= {"tasks": ["en-fr", "fr-en"], "finetune_tokens": {"en-fr": ["1M", "2M"], "fr-en": ["3M"]}}
    section = load_study(write_study(values)).finetuning
    assert (section.sizes(("en", "fr")), section.sizes(("fr", "en"))) == ([1_000_000, 2_000_000], [3_000_000])
    values["finetuning"]["finetune_tokens"] = {"en-fr": ["2M", "1M"], "fr-en": ["3M"]}
    assert "must rise" in refusal(write_study, values)
    values["finetuning"]["finetune_tokens"] = {"en-fr": ["1M"]}
    assert "finetune_tokens = fr-en: this task is missing" in refusal(write_study, values)
    values["finetuning"]["finetune_tokens"] = {"en-fr": ["1M"], "fr-en": ["x"]}
    assert "finetuning.finetune_tokens.fr-en[0]: tokens = x" in refusal(write_study, values)


def test_a_mixture_whose_text_ends_early_can_have_budgets_of_its_own(
    values: dict[str, Any], write_study: Write
) -> None:
    values["pretraining"]["overrides"] = [{"mixture": "de", "budgets": ["0.5M"]}]
    section = load_study(write_study(values)).pretraining
    assert [section.budgets_of(mixture)[-1] for mixture in section.mixtures] == [2_000_000, 500_000]


def test_resources_of_a_stage_complete_the_default(values: dict[str, Any], write_study: Write) -> None:
    values["resources"] = {
        "default": {"memory": "8G", "time": "90min", "snakemake": {"slurm_partition": "small"}},
        "pretrain": {"gpus": 4, "threads": 8, "time": "2d", "snakemake": {"slurm_account": "mine"}},
    }
    jobs = make_plan(load_study(write_study(values))).jobs
    told = {job.stage: (job.threads, job.resources) for job in jobs}
    assert told["score"] == (1, {"mem_mb": 8000, "runtime": 90, "slurm_partition": "small"})
    assert told["pretrain"] == (
        8, {"mem_mb": 8000, "runtime": 2880, "gpu": 4, "slurm_partition": "small", "slurm_account": "mine"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ({"pretrian": {"gpus": 1}}, "did you mean 'pretrain'?"),
        ({"pretrain": {"gpu": 1}}, "resources.pretrain.gpu: unknown key; did you mean 'gpus'?"),
        ({"pretrain": {"memory": "much"}}, "write for example 500M, 16G or 1T"),
        ({"pretrain": {"time": 3}}, "write for example 30min, 12h or 3d"),
    ],
)
def test_resources_that_mean_nothing_are_refused(
    values: dict[str, Any], write_study: Write, section: dict[str, Any], part: str
) -> None:
    assert part in refusal(write_study, {**values, "resources": section})


def test_a_learning_rate_is_either_given_or_chosen(values: dict[str, Any], write_study: Write) -> None:
    values["finetuning"] |= {"learning_rates": {"grid": [0.1, "1e-3"]}, "fairseq": {"lr": 0.2}}
    assert "finetuning.fairseq: lr = 0.2: finetuning.learning_rates chooses this rate" in refusal(write_study, values)
    values["finetuning"]["fairseq"] = {}
    assert load_study(write_study(values)).finetuning.learning_rates is not None
    values["finetuning"]["learning_rates"]["grid"] = [0.1, "1e-1"]
    assert "twice" in refusal(write_study, values)
    values["finetuning"]["learning_rates"] = {"grid": [0.1, 0.2], "by": "test"}
    assert "finetuning.learning_rates.by" in refusal(write_study, values)


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(study_schema())
    return jsonschema.Draft202012Validator(study_schema())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_every_example_fits_the_json_schema(path: Path, schema: jsonschema.Draft202012Validator) -> None:
    values = yaml.safe_load(path.read_text("utf-8"))
    if "pretraining" in values:
        assert [f"{error.json_path}: {error.message}" for error in schema.iter_errors(values)] == []


def test_the_json_schema_allows_every_form_and_refuses_what_the_study_refuses(
    values: dict[str, Any], schema: jsonschema.Draft202012Validator
) -> None:
    values["finetuning"] |= {
        "baseline": False,
        "finetune_tokens": {"en-fr": [200_000]},
        "learning_rates": {"grid": ["1e-3", 1]},
    }
    values["pretraining"]["mixtures"] = ["de", {"en": 0.5, "fr": 0.5}]
    values["resources"] = {"pretrain": {"memory": "16G", "time": "12h"}}
    assert schema.is_valid(values)
    for section, key, value in [
        ("pretraining", "budgtes", ["1M"]), ("pretraining", "budgets", ["many"]), ("finetuning", "updates", 0),
        ("resources", "pretrian", {}), ("text", "source", 3), ("finetuning", "baseline", "yes"),
    ]:  # fmt: skip
        assert not schema.is_valid({**values, section: {**values[section], key: value}}), key
