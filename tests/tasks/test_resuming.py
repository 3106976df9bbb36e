"""A resumed run is the run it says it is: a setting that differs from the checkpoint is refused, or recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fairseq_scaling.errors import SettingError
from fairseq_scaling.run import Change, RunDescription, Stage
from fairseq_scaling.tasks._resuming import changes_on_resume
from tests.tasks.hostile import save_checkpoint, small_corpus
from tests.tasks.runs import FINETUNING, PRETRAINING, set_up

RUN = RunDescription(
    Stage.PRETRAINING,
    seed=1,
    budgets=(100, 200),
    hyperparameters={"lr": [0.1], "max_update": 10, "update_freq": [2], "world_size": 1, "model": {"dropout": 0.1}},
    versions={"torch": "2.13.0"},
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("pretrained") / "checkpoint1.pt", corpus, PRETRAINING)


@pytest.fixture(scope="module")
def finetuned(corpus: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finetuned") / "checkpoint1.pt"
    return save_checkpoint(path, corpus, FINETUNING, "--finetune-from-model", pretrained)


def resume(path: Path, corpus: Path, task_arguments: Sequence[str], *arguments: object) -> Any:
    """Return the task of a run that is resumed from a checkpoint, as fairseq does it."""
    _, task, _ = set_up(corpus, task_arguments, "--save-dir", path.parent / "nothing here", *arguments)
    state = torch.load(path, weights_only=True)["extra_state"]
    task.set_checkpoint_dict(state[type(task).__name__])
    return task


@pytest.mark.parametrize("arguments", [PRETRAINING, FINETUNING], ids=["pretraining", "finetuning"])
@pytest.mark.parametrize(
    ("option", "value", "before"),
    [
        ("--lr", [0.02], r"\[0.01\]"),
        ("--clip-norm", 1.0, "0.0"),
        ("--seed", 2, "1"),
        ("--update-freq", [2], r"\[1\]"),
        ("--batch-size", 7, "8|None"),
        ("--max-tokens", 5000, "None|400"),
        ("--matmul-precision", "medium", "highest"),
        ("--bf16-autocast", True, "False"),
        ("--dropout", 0.3, "0.1"),
    ],
)
def test_another_setting_is_refused_with_its_value_before_and_now(
    arguments: Sequence[str], option: str, value: Any, before: str, corpus: Path, pretrained: Path, finetuned: Path
) -> None:
    path, start = (pretrained, []) if arguments is PRETRAINING else (finetuned, ["--finetune-from-model", pretrained])
    name = option.removeprefix("--").replace("-", "_")
    with pytest.raises(SettingError, match=rf"{name} = .*: the checkpoint in --save-dir was trained with ({before})"):
        resume(path, corpus, arguments, *start, option, value)


def test_another_schedule_or_optimizer_is_refused(corpus: Path, finetuned: Path, pretrained: Path) -> None:
    for arguments, name in (
        ([*FINETUNING, "--lr-scheduler", "t5_inverse_sqrt"], "lr_scheduler._name = t5_inverse_sqrt"),
        ([*FINETUNING, "--adafactor-clip", "2"], "optimizer.adafactor_clip = 2.0"),
        ([*FINETUNING, "--force-anneal", "3"], "lr_scheduler.force_anneal = 3"),
    ):
        with pytest.raises(SettingError, match=name):
            resume(finetuned, corpus, arguments, "--finetune-from-model", pretrained)


def test_a_larger_max_update_is_taken_and_recorded(corpus: Path, finetuned: Path, pretrained: Path) -> None:
    task = resume(finetuned, corpus, FINETUNING, "--finetune-from-model", pretrained, "--max-update", 40)
    assert task.describe_run().changes == (Change("max_update", 12, 40, 0),)
    assert task.describe_run().run_id != resume(finetuned, corpus, FINETUNING).describe_run().run_id


def test_a_resumed_finetuning_need_not_name_its_start(corpus: Path, finetuned: Path, pretrained: Path) -> None:
    named = resume(finetuned, corpus, FINETUNING, "--finetune-from-model", pretrained).describe_run()
    assert resume(finetuned, corpus, FINETUNING).describe_run() == named
    assert named.pretrain_run_id is not None


def test_another_mixture_is_refused_but_not_another_way_to_write_it(corpus: Path, pretrained: Path) -> None:
    resume(pretrained, corpus, PRETRAINING, "--mixture", "bb:1/2,aa:1/2")
    with pytest.raises(SettingError, match=r"mixture = aa:0.25,bb:0.75: .* trained with aa:0.5,bb:0.5"):
        resume(pretrained, corpus, PRETRAINING, "--mixture", "aa:0.25,bb:0.75")


def test_processes_may_be_shared_otherwise_where_an_update_holds_the_same_batches() -> None:
    settings = RUN.hyperparameters
    two = replace(RUN, hyperparameters={**settings, "world_size": 2, "update_freq": [1]})
    assert [change.setting for change in changes_on_resume(RUN, two, 5)] == ["update_freq", "world_size"]
    with pytest.raises(SettingError, match="world_size = 2"):
        changes_on_resume(RUN, replace(RUN, hyperparameters={**settings, "world_size": 2}), 5)


def test_a_further_budget_more_passes_and_other_versions_are_recorded() -> None:
    now = replace(
        RUN,
        budgets=(100, 200, 400),
        hyperparameters={**RUN.hyperparameters, "repeat": "aa:2"},
        versions={"torch": "2.14.0", "numpy": "2"},
    )
    assert changes_on_resume(RUN, now, 5) == [
        Change("budgets", [100, 200], [100, 200, 400], 5),
        Change("repeat", None, "aa:2", 5),
        Change("versions.torch", "2.13.0", "2.14.0", 5),
    ]


def test_max_update_below_what_was_done_is_refused() -> None:
    less = replace(RUN, hyperparameters={**RUN.hyperparameters, "max_update": 4})
    with pytest.raises(SettingError, match=r"max_update = 4: .* has made 5 updates"):
        changes_on_resume(RUN, less, 5)


def test_settings_that_an_older_description_does_not_say_are_not_compared() -> None:
    older = replace(RUN, hyperparameters={"lr": [0.1]}, budgets=RUN.budgets)
    assert changes_on_resume(older, RUN, 5) == []
