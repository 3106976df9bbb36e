"""``--fp16``, which only GPUs may be asked for: fairseq's trainer runs it on a CPU where the test asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fairseq.data import iterators
from fairseq.logging import metrics
from fairseq.trainer import Trainer

from fairseq_scaling.tasks import _fairseq
from tests.tasks.runs import PRETRAINING, set_up


def settings_of_training(cfg: Any) -> Any:
    """Return the settings that fairseq-train has after the checks of the task, but for those that want a GPU."""
    cfg.common.fp16 = True
    seen: list[Any] = []
    main = SimpleNamespace(__module__="fairseq_cli.train")
    _fairseq._checked(lambda settings, *_: seen.append(settings))(cfg, main)
    return seen[0]


def trained(corpus: Path, folder: Path, scale: float) -> tuple[Trainer, list[tuple[int, int, int]]]:
    """Train up to the first budget.

    Returns:
        The trainer, and for each batch: its tokens, the updates made until then, the tokens counted until then.
    """
    cfg, task, model = set_up(corpus, PRETRAINING, "--save-dir", folder)
    cfg.common.cpu, cfg.common.fp16_init_scale = True, scale
    cfg = settings_of_training(cfg)
    task.load_dataset("train")
    trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
    epoch = trainer.get_train_iterator(epoch=1)
    batches = []
    with metrics.aggregate("train"):
        for samples in iterators.GroupedIterator(epoch.next_epoch_itr(), 1):
            tokens = sum(samples[0]["consumed"].values())
            trainer.train_step(samples)
            batches.append((tokens, trainer.get_num_updates(), task.counts()["pretrain_tokens"]))
    return trainer, batches


@pytest.fixture(autouse=True)
def _without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fairseq, "check_settings", lambda cfg: None)  # it refuses --fp16 without a GPU
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *_, **__: self)  # fairseq, after an overflow


def test_adafactor_steps_each_parameter_by_its_own_scale(corpus: Path, tmp_path: Path) -> None:
    """By default fairseq makes one vector of all parameters, and stops with an error: Adafactor cannot step that."""
    trainer, batches = trained(corpus, tmp_path, scale=128)
    shapes = [parameter.shape for parameter in trainer.optimizer.fp32_params]
    assert shapes == [parameter.shape for parameter in trainer.model.parameters()]
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float16}
    assert [updates for _, updates, _ in batches] == list(range(1, len(batches) + 1))
    assert batches[-1][2] == sum(tokens for tokens, _, _ in batches) > 2800  # the budget is 3k


def test_batches_that_overflow_make_no_update_and_are_not_counted(corpus: Path, tmp_path: Path) -> None:
    trainer, batches = trained(corpus, tmp_path, scale=2.0**14)
    before, expected, skipped = 0, 0, 0
    for tokens, updates, counted in batches:
        skipped += updates == before
        expected += tokens * (updates - before)
        assert counted == expected
        before = updates
    assert 0 < skipped < len(batches)
    assert trainer.optimizer.scaler.loss_scale == 2.0 ** (14 - skipped)
