"""What the tasks do around a step, as far as it concerns GPUs; see also tests/models/test_gpu_path.py."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from fairseq import optim, utils
from fairseq.logging import metrics

from tests.tasks.runs import FINETUNING, PRETRAINING, set_up


@pytest.mark.parametrize("arguments", [PRETRAINING, FINETUNING])
def test_a_step_and_its_counting_never_wait_for_the_gpu(
    arguments: list[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the device ``meta`` tensors have no numbers: to ask for one is an error."""
    # There is no autocast for this device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    cfg, task, model = set_up(corpus, arguments, "--save-dir", tmp_path)
    task.load_dataset("train")
    criterion, model = task.build_criterion(cfg.criterion), model.to("meta")
    optimizer = optim.build_optimizer(cfg.optimizer, list(model.parameters()))
    dataset = task.dataset("train")
    batch = dataset.collater([dataset[index] for index in range(4)])
    with metrics.aggregate("train"):
        for update in range(2):
            sample = utils.apply_to_sample(lambda tensor: tensor.to("meta"), batch)
            loss, size, output = task.train_step(sample, model, criterion, optimizer, update)
            optimizer.multiply_grads(1 / size)
            task.optimizer_step(optimizer, model, update)
            task.reduce_metrics([output], criterion)
    assert loss.is_meta
    read = batch["read"] if arguments is FINETUNING else sum(batch["consumed"].values())
    assert read > 0
    assert 2 * read in task.counts().values()


def test_computing_activations_again_is_the_same_run(corpus: Path, tmp_path: Path) -> None:
    described = []
    for switch in (False, True):
        _, task, model = set_up(corpus, PRETRAINING, "--save-dir", tmp_path, "--checkpoint-activations", switch)
        assert model.encoder.checkpoint_activations is model.decoder.checkpoint_activations is switch
        described.append(task.describe_run())
    assert described[0] == described[1]
