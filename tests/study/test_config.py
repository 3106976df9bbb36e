from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.errors import DataError, ScalingError, SettingError
from fairseq_scaling.study.config import load_study

ROOT = Path(__file__).parents[2]
Write = Callable[[dict[str, Any] | str], Path]


def refusal(write: Write, content: dict[str, Any] | str) -> str:
    with pytest.raises(ScalingError) as caught:
        load_study(write(content))
    return str(caught.value)


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
        ("text", "source", "debain", ["text.source[0] = 'debain'", "'debian'"]),
        ("text", "languages", [False, "en", "fr"], ["text.languages[0]", 'write it in quotes: "no"']),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_with_key_value_and_remedy(
    values: dict[str, Any], write_study: Write, section: str, key: str, value: object, parts: list[str]
) -> None:
    values[section][key] = value
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
    with pytest.raises(DataError, match=r"line 4: finetuning.updates stands twice \(first in line 3\)"):
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
