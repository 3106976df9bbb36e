"""``--matmul-precision``: how float32 matrices are multiplied; all else stays as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fairseq_scaling.models._t5_bfloat16 import has_instructions
from tests.tasks.runs import FINETUNING, PRETRAINING, fairseq, records, set_up


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("task", [PRETRAINING, FINETUNING], ids=["pretraining", "finetuning"])
def test_a_task_sets_what_it_is_given_and_full_precision_otherwise(task: list[str], corpus: Path) -> None:
    set_up(corpus, task, "--matmul-precision", "medium")
    assert torch.get_float32_matmul_precision() == "medium"
    set_up(corpus, task)
    assert torch.get_float32_matmul_precision() == "highest"


def test_training_with_less_precise_products_stays_close(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    _, exact = pretrained
    log = fairseq("train", corpus, *PRETRAINING, "--matmul-precision", "medium", "--save-dir", tmp_path)
    (run,) = records(log, "SCALING_RUN")
    (exact_run,) = records(exact, "SCALING_RUN")
    assert run["hyperparameters"]["matmul_precision"] == "medium"
    assert run["run_id"] != exact_run["run_id"]

    scores, exact_scores = (
        {record["subset"]: record["cross_entropy"] for record in records(text, "SCALING_SCORES")}
        for text in (log, exact)
    )
    exact_scores = {subset: exact_scores[subset] for subset in scores}  # that run is validated on cc, too
    # A rounding to bfloat16 errs by at most 2^-8 = 0.004, with either sign; a mean is over hundreds of tokens.
    assert scores == pytest.approx(exact_scores, rel=0.01)
    if has_instructions():
        assert scores != exact_scores  # products were made in bfloat16; other CPUs may do as they like

    finetuned = fairseq(
        "train", corpus, *FINETUNING, "--matmul-precision", "medium", "--finetune-from-model",
        tmp_path / "checkpoint_last.pt", "--save-dir", tmp_path / "finetuned",
    )  # fmt: skip
    losses = [float(record["loss"]) for record in records(finetuned, "train_inner")]
    assert losses[-1] < losses[0]


def test_an_unknown_precision_is_refused(corpus: Path, tmp_path: Path) -> None:
    log = fairseq("train", corpus, *PRETRAINING, "--matmul-precision", "low", "--save-dir", tmp_path, fails=True)
    assert "--matmul-precision: invalid choice" in log
