"""``--bf16-autocast``: forward passes in bfloat16, everything that is kept in float32."""

from pathlib import Path

import pytest
import torch

from tests.tasks.runs import FINETUNING, PRETRAINING, fairseq, records


def test_pretraining_and_finetuning_stay_close_to_float32(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    _, exact = pretrained
    log = fairseq("train", corpus, *PRETRAINING, "--bf16-autocast", "--save-dir", tmp_path)
    (run,) = records(log, "SCALING_RUN")
    assert run["hyperparameters"]["bf16_autocast"] is True

    scores, exact_scores = (
        {record["subset"]: record["cross_entropy"] for record in records(text, "SCALING_SCORES")}
        for text in (log, exact)
    )
    exact_scores = {subset: exact_scores[subset] for subset in scores}  # that run is validated on cc, too
    # A rounding to bfloat16 errs by at most 2^-8 = 0.004, with either sign; a mean is over hundreds of tokens.
    assert scores == pytest.approx(exact_scores, rel=0.01)
    assert scores != exact_scores  # it did compute in bfloat16

    state = torch.load(tmp_path / "checkpoint_last.pt", weights_only=True)
    moments = [value for entry in state["last_optimizer_state"]["state"].values() for value in entry.values()]
    kept = [*state["model"].values(), *(value for value in moments if isinstance(value, torch.Tensor))]
    assert {tensor.dtype for tensor in kept if tensor.is_floating_point()} == {torch.float32}

    finetuned = fairseq(
        "train", corpus, *FINETUNING, "--bf16-autocast", "--finetune-from-model", tmp_path / "checkpoint_last.pt",
        "--save-dir", tmp_path / "finetuned",
    )  # fmt: skip
    losses = [float(record["loss"]) for record in records(finetuned, "train_inner")]
    assert losses[-1] < losses[0]


def test_the_flag_that_fairseq_has_for_tpus_is_refused_without_one(corpus: Path, tmp_path: Path) -> None:
    printed = fairseq("train", corpus, *PRETRAINING, "--bf16", "--save-dir", tmp_path, fails=True)
    assert "--bf16 = True: for fairseq this means a TPU" in printed
    assert "use --bf16-autocast" in printed
    assert "Traceback" not in printed
