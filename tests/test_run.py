"""The description of a run survives the way through JSON, and what is not exact is named, not guessed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from fairseq_scaling.mixture import Mixture
from fairseq_scaling.run import Change, Defect, RunDescription, Stage, Start, read_description

PRETRAINING = RunDescription(
    stage=Stage.PRETRAINING,
    run_id="0123456789ab",
    pretrain_tokens=8000,
    mixture=Mixture.parse("en:1/3,fr:2/3"),
    seed=1,
    pretrain_seed=1,
    architecture="t5_tiny",
    parameters=1000,
    corpus="abcdef012345",
    budgets=(3000, 8000),
    start=Start("mt5-small", "99aa", 10**12, Mixture.parse("en"), "ba9876543210"),
    hyperparameters={"lr": [0.01], "model": {"dropout": 0.1}},
    changes=(Change("max_update", 100, 200, 100),),
    versions={"torch": "2.13.0"},
)
FINETUNING = RunDescription(
    stage=Stage.FINETUNING,
    run_id="ab0123456789",
    pretrain_tokens=3000,
    pretrain_tokens_by_language={"en": 1000, "fr": 2000},
    pretrain_unique_tokens_by_language={"en": 500, "fr": 2000},
    mixture=Mixture.parse("en:1/3,fr:2/3"),
    alignment=0.9888888888888889,
    finetune_tokens=1000,
    finetune_tokens_used=990,
    finetune_pairs=30,
    finetune_tokens_read=1980,
    finetune_passes=2,
    source_lang="en",
    target_lang="fr",
    seed=2,
    pretrain_seed=1,
    pretrain_run_id="0123456789ab",
)


@pytest.mark.parametrize("description", [PRETRAINING, FINETUNING], ids=["pretraining", "finetuning"])
def test_a_description_comes_back_from_its_line(description: RunDescription) -> None:
    mark, _, written = description.line().partition(" ")
    assert mark == "SCALING_RUN"
    assert read_description(json.loads(written)) == (description, [])


def test_a_description_of_format_1_is_read() -> None:
    """As version 0.1.0 wrote it before format 2: a start is a name, and its run_id the checksum of the file."""
    content: dict[str, Any] = {
        "alignment": None, "architecture": "t5", "corpus": "abc", "finetune_pairs": 3, "finetune_tokens": 100,
        "finetune_tokens_used": 99, "format": 1, "hyperparameters": {"max_update": 5}, "mixture": {},
        "parameters": 7, "pretrain_run_id": "99aa", "pretrain_seed": None, "pretrain_tokens": None,
        "pretrain_tokens_by_language": {}, "run_id": "x", "seed": 1, "source_lang": "en", "stage": "finetuning",
        "start": "mt5.pt", "target_lang": "fr", "versions": {},
    }  # fmt: skip
    found, unusable = read_description(content)
    assert not unusable
    assert found is not None
    assert found.start == Start("mt5.pt", "99aa")
    assert (found.pretrain_tokens, found.mixture, found.finetune_passes) == (None, None, None)
    assert (found.finetune_tokens, found.hyperparameters) == (100, {"max_update": 5})


def test_the_id_of_a_run_follows_from_its_settings() -> None:
    assert PRETRAINING.identity() == replace(PRETRAINING, run_id="", changes=(), versions={}).identity()
    swapped = replace(PRETRAINING, mixture=Mixture.parse("fr:2/3,en:1/3"))
    renamed = replace(PRETRAINING, start=Start("another name", "99aa"))
    assert PRETRAINING.identity() == swapped.identity() == renamed.identity()
    others = [
        replace(PRETRAINING, **changed)
        for changed in (
            {"seed": 2},
            {"budgets": (8000,)},
            {"mixture": Mixture.parse("en")},
            {"start": Start("mt5-small", "11bb")},
            {"start": None},
            {"hyperparameters": {"lr": [0.01], "model": {"dropout": 0.0}}},
        )
    ]
    assert len({PRETRAINING.identity(), *(other.identity() for other in others)}) == 7


def test_ids_of_older_runs_stay_the_same() -> None:
    """The two runs of tests/logs/golden/plugin, described by version 0.1.0 of November 2026."""
    pretraining = RunDescription(
        Stage.PRETRAINING, pretrain_tokens=40000, mixture=Mixture.parse("aa:0.5,bb:0.5"), finetune_tokens=0, seed=1,
        pretrain_seed=1, architecture="t5_tiny", parameters=1402240, corpus="000000000000", budgets=(20000, 40000),
        hyperparameters={
            "batch_size": 16, "block_length": 70, "input_length": 64, "lr": [0.001], "max_tokens": None,
            "mean_span_length": 3.0, "noise_density": 0.15, "update_freq": [1],
        },
    )  # fmt: skip
    assert pretraining.identity() == "a91ad12ec5b2"
    finetuning = RunDescription(
        Stage.FINETUNING, pretrain_tokens=19950, mixture=Mixture.parse("aa:0.5,bb:0.5"), finetune_tokens=20000, seed=1,
        pretrain_seed=1, source_lang="aa", target_lang="bb", architecture="t5_tiny", parameters=1402240,
        corpus="000000000000", pretrain_run_id="a91ad12ec5b2",
        hyperparameters={
            "batch_size": None, "lr": [0.002], "max_tokens": 1000, "max_update": 200, "source_prefix": "",
            "update_freq": [1],
        },
    )  # fmt: skip
    assert finetuning.identity() == "886098917233"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pretrain_tokens", 1e9),
        ("pretrain_tokens", "1e9"),
        ("pretrain_tokens", -1),
        ("pretrain_tokens", True),
        ("finetune_tokens", 10**18),
        ("seed", 1.0),
        ("stage", "reading"),
        ("source_lang", 3),
        ("architecture", "x" * 300),
        ("mixture", {"en": 0.5, "fr": 0.5}),
        ("mixture", {"en": "1/0"}),
        ("mixture", {"en": "0.4", "fr": "0.5"}),
        ("mixture", [1]),
        ("alignment", "1"),
        ("alignment", float("nan")),
        ("budgets", "3k"),
        ("budgets", [1.5]),
        ("pretrain_tokens_by_language", {"en": "1"}),
        ("start", {"checksum": "99aa"}),
        ("hyperparameters", "lr"),
        ("changes", [{"setting": "lr"}]),
        ("versions", {"torch": 2}),
    ],
)
def test_a_value_that_is_not_exact_is_left_out_and_named(field: str, value: Any) -> None:
    found, unusable = read_description({"run_id": "x", "format": 2, "corpus": "abc", field: value})
    assert found is not None
    assert [(item.defect, item.field) for item in unusable] == [(Defect.NOT_EXACT, field)]
    assert found.corpus == "abc"
    assert not getattr(found, field) or field == "stage"


def test_a_description_without_run_id_or_of_a_later_format_is_refused_as_a_whole() -> None:
    assert read_description({"format": 2})[0] is None
    assert read_description({"format": 2})[1][0].defect == Defect.NO_RUN_ID
    found, (unusable,) = read_description({"run_id": "x", "format": 3})
    assert (found, unusable.defect, unusable.value) == (None, Defect.OTHER_FORMAT, 3)


def test_reading_a_description_needs_neither_torch_nor_fairseq() -> None:
    program = "import sys, fairseq_scaling.run; print({'torch', 'fairseq', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
