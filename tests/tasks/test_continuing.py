"""Pretraining that continues a model, and text that is read more than once."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from fairseq_scaling.errors import CheckpointError, SettingError
from fairseq_scaling.exchange.convert import from_hf
from fairseq_scaling.run import Start, read_description
from tests.exchange.samples import make_corpus, publish
from tests.tasks.hostile import save_checkpoint, small_corpus
from tests.tasks.runs import FINETUNING, PRETRAINING, fairseq, records, set_up


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def pretrained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("pretrained") / "checkpoint1.pt", corpus, PRETRAINING)


class Published:
    """A T5 as transformers saves it, its checkpoint, and a corpus in its vocabulary."""

    def __init__(self, folder: Path) -> None:
        self.original = publish(folder / "original", "t5")
        self.start = folder / "ours/small.pt"
        converted = from_hf(self.original, self.start)
        self.flags = [*converted.flags, "--dropout", "0"]
        vocabulary = [self.start.parent / name for name in ("sentencepiece.model", "dict.txt")]
        self.corpus = make_corpus(folder, *vocabulary).path
        self.rows = torch.load(self.start, weights_only=True)["task_state"]["fairseq_scaling"]["huggingface"]["rows"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("published"))


def test_the_first_update_is_that_of_transformers_t5_on_the_same_batch(published: Published, tmp_path: Path) -> None:
    """Plain gradient descent, so that the change of the weights is the gradient that transformers computes."""
    learning = ["--optimizer", "sgd", "--lr", "1.0", "--lr-scheduler", "fixed", "--max-update", "1"]
    place = PRETRAINING.index("--constant-updates")  # of T5's own schedule
    other = [*PRETRAINING[:place], *PRETRAINING[place + 2 :]]
    arguments = [*other, *published.flags, *learning, "--budgets", "1k", "--start-from", str(published.start)]
    log = fairseq("train", published.corpus, *arguments, "--save-dir", tmp_path, "--disable-validation")
    with torch.serialization.safe_globals([Namespace]):  # fairseq's sgd has its settings in one
        after = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)["model"]

    _, task, _ = set_up(published.corpus, arguments, "--save-dir", tmp_path / "nothing here")
    task.load_dataset("train")
    batch = task.datasets["train"].collater(range(8))
    theirs = transformers.T5ForConditionalGeneration.from_pretrained(published.original, dropout_rate=0.0).train()
    numbers = torch.full((len(task.dictionary),), -1)
    numbers[published.rows] = torch.arange(len(published.rows))
    source, target = numbers[batch["net_input"]["src_tokens"]], numbers[batch["target"]]
    assert source.min() >= 0
    output = theirs(input_ids=source, labels=target)
    output.loss.backward()
    first = records(log, "train_inner")[0]
    # fairseq prints bits with three decimals
    assert float(first["loss"]) * 0.6931471805599453 == pytest.approx(output.loss.item(), abs=4e-4)
    before, gradient = theirs.shared.weight.detach(), theirs.shared.weight.grad
    assert gradient is not None
    # float32 sums of some hundred products: a ten-thousandth of the largest entry
    tolerance = 1e-4 * gradient.abs().max().item()
    ours = after["encoder.embed_tokens.weight"][published.rows]
    torch.testing.assert_close(ours, before - gradient, rtol=0, atol=tolerance)
    assert (ours - before).abs().max() > 100 * tolerance
    head = theirs.decoder.block[0].layer[2].DenseReluDense.wo.weight
    assert head.grad is not None
    torch.testing.assert_close(
        after["decoder.layers.0.feed_forward.wo"], head.detach() - head.grad, rtol=0,
        atol=1e-4 * head.grad.abs().max().item(),
    )  # fmt: skip

    (run,) = records(log, "SCALING_RUN")
    described, unusable = read_description(run)
    assert not unusable
    assert described is not None
    assert described.start is not None
    assert (described.start.name, len(described.start.checksum)) == ("small.pt", 12)
    # The sample's weights are random numbers.
    assert "was not trained on span corruption with these sentinels" in log
    assert "this run will end early: with --max-update 1 it does not reach the budgets 1k" in log


def test_a_continuation_that_repeats_its_text_is_resumed_bit_for_bit_and_counts_what_is_new(
    published: Published, tmp_path: Path
) -> None:
    with_repetition = ["--budgets", "1k,5k", "--repeat", "bb:9", "--start-from", published.start, "--batch-size", 16]
    arguments = [*PRETRAINING, *published.flags, "--mixture", "bb:1", *with_repetition, "--dropout", "0.1"]
    whole = fairseq(
        "train", published.corpus, *arguments, "--save-dir", tmp_path / "whole", "--save-interval-updates", 5,
        "--disable-validation",
    )  # fmt: skip
    (tmp_path / "again").mkdir()
    (midway,) = (tmp_path / "whole").glob("checkpoint_2_5.pt")
    shutil.copy(midway, tmp_path / "again/checkpoint_last.pt")
    log = fairseq("train", published.corpus, *arguments, "--save-dir", tmp_path / "again", "--disable-validation")
    states = [torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True) for name in ("whole", "again")]
    assert all(torch.equal(weight, states[1]["model"][name]) for name, weight in states[0]["model"].items())
    noted = [state["task_state"]["fairseq_scaling"] for state in states]
    assert noted[0] == noted[1]
    block = noted[0]["run"]["hyperparameters"]["block_length"]
    assert noted[0]["consumed"] == {"bb": 5_000 // block * block}
    last = records(log, "train_inner")[-1]
    assert last["pretrain_tokens"] == last["pretrain_tokens_bb"] == noted[0]["consumed"]["bb"]
    assert last["pretrain_unique_tokens_bb"] == noted[0]["unique"]["bb"] < last["pretrain_tokens_bb"] / 2
    assert noted[0]["run"]["start"]["name"] == "small.pt"
    assert records(whole, "SCALING_RUN")[0]["run_id"] == records(log, "SCALING_RUN")[0]["run_id"]


def test_a_start_of_this_project_is_recorded_with_its_own_pretraining(
    corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    _, task, model = set_up(corpus, PRETRAINING, "--start-from", pretrained, "--save-dir", tmp_path)
    described = task.describe_run()
    before = torch.load(pretrained, weights_only=True)
    run = before["task_state"]["fairseq_scaling"]["run"]
    assert described.start == Start("checkpoint1.pt", described.start.checksum, 0, task.mixture, run["run_id"])
    assert described.run_id != run["run_id"]
    assert task.consumed == {"aa": 0, "bb": 0}
    assert all(torch.equal(weight, before["model"][name]) for name, weight in model.state_dict().items())


def test_a_start_is_named_and_runs_of_one_start_are_one_run_whatever_its_file_is_called(
    corpus: Path, pretrained: Path, tmp_path: Path
) -> None:
    shutil.copy(pretrained, tmp_path / "moved.pt")
    runs = []
    for path, named in ((pretrained, ["--start-name", "mine"]), (tmp_path / "moved.pt", [])):
        _, task, _ = set_up(corpus, PRETRAINING, "--start-from", path, "--save-dir", tmp_path / "out", *named)
        runs.append(task.describe_run())
    assert [run.start.name for run in runs] == ["mine", "moved.pt"]
    assert runs[0].run_id == runs[1].run_id


def test_starts_that_do_not_fit_are_refused(corpus: Path, pretrained: Path, tmp_path: Path) -> None:
    def refused(kind: type[Exception], where: Path, start: Path, complaint: str) -> None:
        with pytest.raises(kind, match=complaint):
            set_up(where, PRETRAINING, "--start-from", start, "--save-dir", tmp_path / "out")

    refused(SettingError, corpus, tmp_path / "nowhere.pt", "start_from = .*nowhere.pt: no such file")
    other = small_corpus(tmp_path / "other", pieces=30)
    refused(CheckpointError, other, pretrained, "made with another dictionary")
    finetuned = save_checkpoint(tmp_path / "finetuned/x.pt", corpus, FINETUNING)
    refused(CheckpointError, corpus, finetuned, "is a checkpoint of a finetuning run; a pretraining starts from")


def test_a_resumed_continuation_needs_its_start_no_more(corpus: Path, pretrained: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    shutil.copy(pretrained, start)
    continued = save_checkpoint(tmp_path / "run/x.pt", corpus, PRETRAINING, "--start-from", start)
    shutil.copy(continued, tmp_path / "run/checkpoint_last.pt")
    start.unlink()
    _, task, _ = set_up(corpus, PRETRAINING, "--start-from", start, "--save-dir", tmp_path / "run")
    state: dict[str, Any] = torch.load(continued, weights_only=True)["extra_state"]
    task.set_checkpoint_dict(state["ScalingPretrainingTask"])
    assert task.describe_run().start.name == "start.pt"
    _, task, _ = set_up(corpus, PRETRAINING, "--save-dir", tmp_path / "run")
    with pytest.raises(SettingError, match="start = None: the checkpoint in --save-dir was trained with"):
        task.set_checkpoint_dict(state["ScalingPretrainingTask"])


def test_a_finetuning_of_a_continuation_says_what_the_start_was(corpus: Path, pretrained: Path, tmp_path: Path) -> None:
    continued = save_checkpoint(tmp_path / "x.pt", corpus, PRETRAINING, "--start-from", pretrained)
    _, task, _ = set_up(corpus, FINETUNING, "--finetune-from-model", continued, "--save-dir", tmp_path / "out")
    described = task.describe_run()
    assert (described.pretrain_tokens, described.start.name) == (0, "checkpoint1.pt")
    assert read_description(described.to_json())[0] == described
