"""Settings of fairseq that cannot work are refused before it does anything, by name and with the remedy."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import fairseq_scaling
from fairseq_scaling.errors import SettingError
from fairseq_scaling.tasks.config import check_settings, check_training_settings
from tests.tasks.hostile import small_corpus
from tests.tasks.runs import FINETUNING, PRETRAINING, fairseq, set_up


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


def task_settings(corpus: Path, **changed: Any) -> Any:
    """Return the settings of a task as fairseq-train hands them over."""
    cfg, _, _ = set_up(corpus, FINETUNING, "--save-dir", corpus / "nothing here")
    settings = copy.deepcopy(cfg.task)
    for name, value in changed.items():
        settings[name] = value
    return settings


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("seed", -1, 0),
        ("num_workers", -1, 0),
        ("batch_size", 0, 1),
        ("max_tokens", -5, 1),
        ("max_tokens_valid", 0, 1),
        ("update_freq", [1, 0], 1),
        ("save_interval", 0, 1),
        ("validate_interval", 0, 1),
        ("log_interval", 0, 1),
        ("max_update", -1, 0),
    ],
)
def test_a_number_below_its_least_is_refused(name: str, value: Any, least: int, corpus: Path) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(SettingError, match=f"^{option} = .*: must be at least {least}$"):
        check_settings(task_settings(corpus, **{name: value}))


@pytest.mark.parametrize("name", ["fp16", "memory_efficient_fp16", "amp"])
def test_half_precision_without_a_gpu_is_refused(name: str, corpus: Path) -> None:
    with pytest.raises(SettingError, match="needs a GPU") as refused:
        check_settings(task_settings(corpus, **{name: True, "cpu": True}))
    assert "--bf16-autocast" in str(refused.value)


def test_neither_batch_size_nor_max_tokens_is_refused(corpus: Path) -> None:
    with pytest.raises(SettingError, match=r"--batch-size = None(.*\n.*)*--max-tokens"):
        check_training_settings(task_settings(corpus, batch_size=None, max_tokens=None))
    check_training_settings(task_settings(corpus, batch_size=3, max_tokens=None))


@pytest.mark.parametrize(
    ("arguments", "max_tokens", "complaint"),
    [
        (FINETUNING, 5, "--max-tokens = 5: the longest sentence has 8 tokens"),
        ([*PRETRAINING, "--budgets", "3k"], 30, "--max-tokens = 30: a block has 32 tokens"),
    ],
)
def test_a_batch_that_cannot_hold_the_longest_sentence_is_refused(
    arguments: list[str], max_tokens: int, complaint: str, corpus: Path
) -> None:
    _, task, _ = set_up(corpus, arguments, "--save-dir", corpus / "nothing here")
    task.load_dataset("train")
    with pytest.raises(SettingError, match=complaint):
        task.get_batch_iterator(task.datasets["train"], max_tokens=max_tokens, max_sentences=8)


def test_max_tokens_valid_is_named_where_the_validation_set_has_longer_sentences(corpus: Path) -> None:
    _, task, _ = set_up(corpus, FINETUNING, "--save-dir", corpus / "nothing here", "--max-tokens-valid", 5)
    task.load_dataset("train")
    train, task.datasets["train"] = task.datasets["train"], None  # the same pairs, as a validation set
    with pytest.raises(SettingError, match="--max-tokens-valid = 5: the longest sentence has 8 tokens"):
        task.get_batch_iterator(train, max_tokens=5)


def test_what_is_refused_ends_with_exit_code_2_and_no_traceback(corpus: Path, tmp_path: Path) -> None:
    for changed, complaint in (
        (["--fp16", "--cpu"], "Error: --fp16 = True: half precision needs a GPU"),
        (["--mixture", "aa:2"], "Error: mixture = aa:2: the shares sum to 2"),
    ):
        program = [str(Path(sys.executable).parent / "fairseq-train"), str(corpus), "--user-dir", "fairseq_scaling"]
        done = subprocess.run(
            [*program, *PRETRAINING, *changed, "--save-dir", str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert complaint in done.stderr


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ("common.seed=-1", "Error: --seed = -1: must be at least 0"),
        ("common.fp16=true", "Error: --fp16 = True: half precision needs a GPU"),
        ("dataset.batch_size=null", "Error: --batch-size = None: nothing says how large a batch is"),
    ],
)
def test_hydra_refuses_what_fairseq_train_refuses(changed: str, complaint: str, corpus: Path, tmp_path: Path) -> None:
    """It loads the plug-in later than the other commands: their check comes too early for it."""
    settings = [
        f"common.user_dir={Path(fairseq_scaling.__file__).parent}", "common.cpu=true",
        "+task._name=scaling_pretraining", f"+task.data={corpus}", "+task.mixture='aa:0.5,bb:0.5'",
        "+task.budgets='3k'", "+task.input_length=32", "+model._name=t5_tiny", "+optimizer._name=t5_adafactor",
        "dataset.batch_size=8", f"checkpoint.save_dir={tmp_path / 'out'}", f"hydra.run.dir={tmp_path / 'hydra'}",
    ]  # fmt: skip
    program = str(Path(sys.executable).parent / "fairseq-hydra-train")
    done = subprocess.run([program, *settings, changed], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


def test_budgets_that_the_run_will_not_reach_are_named(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    for changed, missed in (
        (["--budgets", "300,600,900", "--max-update", 2], "with --max-update 2 it does not reach the budgets 600, 900"),
        (["--budgets", "300,600,900", "--max-epoch", 2], "with --max-epoch 2 it does not reach the budgets 900"),
        (["--budgets", "300,600,900"], ""),
    ):
        _, task, _ = set_up(corpus, PRETRAINING, "--save-dir", corpus / "nothing here", *changed)
        task.load_dataset("train")
        task.get_batch_iterator(task.datasets["train"], max_sentences=8)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            task.begin_epoch(1, None)
        assert (missed in caplog.text) if missed else not caplog.text
    task.consumed = {"aa": 340, "bb": 306}  # ended by hand, or by --stop-time-hours
    assert task.shortfall(ended=True) == "after 646 tokens it does not reach the budgets 900, which have no checkpoint"


def test_a_finetuning_that_cannot_read_its_set_says_so(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, task, _ = set_up(corpus, FINETUNING, "--save-dir", corpus / "nothing here", "--max-update", 3)
    task.load_dataset("train")
    task.get_batch_iterator(task.datasets["train"], max_tokens=160)  # 20 pairs of 8 and 8 tokens
    with caplog.at_level(logging.WARNING):
        task.begin_epoch(1, None)
    assert f"with --max-update 3 it reads 960 of the {task.finetune_tokens_used} tokens" in caplog.text
    assert task.shortfall(ended=True) is not None
    task.tokens_read = task.finetune_tokens_used
    assert task.shortfall(ended=True) is None
    assert task.counts() == {"finetune_tokens_read": task.finetune_tokens_used, "finetune_passes": 1}


def test_settings_of_other_tasks_are_not_looked_at(corpus: Path) -> None:
    """The plug-in may be loaded beside a stock task, whose settings are fairseq's own."""
    printed = fairseq("train", corpus, "--task", "translation", "--arch", "transformer_tiny", "--seed", -1, fails=True)
    assert "must be at least 0" not in printed


def test_patches_are_made_once() -> None:
    from fairseq import checkpoint_utils

    from fairseq_scaling.tasks._fairseq import install

    before = (checkpoint_utils.load_checkpoint_to_cpu, sys.excepthook)
    install()
    assert before == (checkpoint_utils.load_checkpoint_to_cpu, sys.excepthook)
    assert torch.get_float32_matmul_precision() == "highest"
