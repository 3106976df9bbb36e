"""The contracts of finetuning and generation, on real runs of fairseq's commands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fairseq_scaling.data.corpus import Corpus
from tests import toy
from tests.tasks.runs import FINETUNING, ROOT, assert_equal_but_for_rounding, fairseq, records, train_on_two_ranks


@pytest.fixture(scope="module")
def finetuned(pretrained: tuple[Path, str], corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return folder and log of a run finetuned from the second budget, whose file has a name that says nothing."""
    folder = tmp_path_factory.mktemp("finetuned")
    start = folder / "x.pt"
    shutil.copy(pretrained[0] / "checkpoint2.pt", start)
    subsets = "valid,test,upstream_aa,upstream_cc"
    return folder, fairseq(
        "train", corpus, *FINETUNING, "--finetune-from-model", start, "--valid-subset", subsets, "--save-dir", folder
    )


def test_pretraining_is_known_from_the_checkpoint_itself(
    finetuned: tuple[Path, str], pretrained: tuple[Path, str]
) -> None:
    (run,) = records(finetuned[1], "SCALING_RUN")
    (before,) = records(pretrained[1], "SCALING_RUN")
    assert run["stage"] == "finetuning"
    assert run["pretrain_run_id"] == before["run_id"] != run["run_id"]
    assert run["pretrain_tokens"] == 5000 // 34 * 34 == sum(run["pretrain_tokens_by_language"].values())
    assert run["mixture"] == {"aa": "1/2", "bb": "1/2"}
    assert run["alignment"] == 1.0
    assert run["finetune_tokens"] == 3000
    assert 2900 < run["finetune_tokens_used"] <= 3000
    assert run["seed"] == 1
    assert run["versions"]["torch"] == torch.__version__


def test_a_run_from_nothing_is_the_baseline(corpus: Path, tmp_path: Path) -> None:
    log = fairseq("train", corpus, *FINETUNING, "--max-update", 2, "--save-dir", tmp_path)
    (run,) = records(log, "SCALING_RUN")
    assert run["pretrain_tokens"] == 0
    assert "mixture" not in run
    assert "alignment" not in run
    refused = fairseq(
        "train", corpus, *FINETUNING, "--valid-subset", "valid,upstream_aa", "--save-dir", tmp_path / "b", fails=True
    )
    assert "nothing to forget" in refused
    assert "Traceback" not in refused


def test_cross_entropy_is_that_of_the_model_on_every_subset(finetuned: tuple[Path, str], corpus: Path) -> None:
    scores = {score["subset"]: score for score in records(finetuned[1], "SCALING_SCORES")}
    assert set(scores) == {"valid", "test", "upstream_aa", "upstream_cc"}
    data = Corpus.open(corpus)
    for subset in ("valid", "test"):
        assert scores[subset]["target_tokens"] == data.pair("aa", "bb", subset)[1].tokens
    # Once more by hand: the probability of every reference token, one sentence at a time.
    from fairseq import checkpoint_utils

    import fairseq_scaling.models.t5
    import fairseq_scaling.tasks.scaling_translation  # noqa: F401  --user-dir does this in fairseq's own commands

    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(finetuned[0] / "checkpoint_last.pt")])
    model.eval()
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for source, target in zip(*data.pair("aa", "bb", "test"), strict=True):
            src = torch.from_numpy(np.asarray(source, dtype=np.int64))[None]
            tgt = torch.from_numpy(np.asarray(target, dtype=np.int64))
            previous = torch.cat([tgt[-1:], tgt[:-1]])[None]
            logits, _ = model(src, torch.tensor([src.shape[1]]), previous)
            nats -= float(torch.log_softmax(logits[0].double(), -1)[torch.arange(len(tgt)), tgt].sum())
            tokens += len(tgt)
    assert scores["test"]["cross_entropy"] == pytest.approx(nats / tokens, rel=1e-5)


def test_finetuning_starts_from_the_weights_and_measures_forgetting_on_the_same_blocks(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    start = pretrained[0] / "checkpoint2.pt"
    log = fairseq(
        "train", corpus, *FINETUNING, "--finetune-from-model", start, "--max-update", 1, "--lr", 1e-12, "--dropout", 0,
        "--valid-subset", "valid,upstream_aa", "--save-dir", tmp_path,
    )  # fmt: skip
    before, after = (torch.load(path, weights_only=True)["model"] for path in (start, tmp_path / "checkpoint_last.pt"))
    assert all(torch.allclose(weight, after[name], atol=1e-9) for name, weight in before.items())
    upstream = {score["subset"]: score for score in records(log, "SCALING_SCORES")}["upstream_aa"]
    second = [score for score in records(pretrained[1], "SCALING_SCORES") if score["subset"] == "valid_aa"]
    at_budget = [score for score in second if score["updates"] == 19][-1]  # 5,000 tokens in batches of 8 * 34
    assert upstream["target_tokens"] == at_budget["target_tokens"]
    assert upstream["cross_entropy"] == pytest.approx(at_budget["cross_entropy"], rel=1e-6)


def test_a_finished_run_started_again_makes_no_further_update(finetuned: tuple[Path, str], corpus: Path) -> None:
    """fairseq would make one: a run killed between its last checkpoint and its end would differ from others."""
    folder = finetuned[0]
    before = torch.load(folder / "checkpoint_last.pt", weights_only=True)["model"]
    log = fairseq("train", corpus, *FINETUNING, "--finetune-from-model", folder / "x.pt", "--save-dir", folder)
    assert "train_inner" not in log
    after = torch.load(folder / "checkpoint_last.pt", weights_only=True)["model"]
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_a_folder_of_another_finetuning_is_refused(finetuned: tuple[Path, str], corpus: Path) -> None:
    folder = finetuned[0]
    for changed, complaint in ((["--finetune-tokens", "2k"], "finetune_tokens"), (["--seed", "2"], "seed")):
        start = ["--finetune-from-model", folder / "x.pt"]
        printed = fairseq("train", corpus, *FINETUNING, *start, *changed, "--save-dir", folder, fails=True)
        assert re.search(rf"^Error: {complaint} = .*checkpoint in --save-dir", printed, re.MULTILINE)


def test_every_sentence_of_the_finetuning_set_is_trained_on_in_every_epoch(finetuned: tuple[Path, str]) -> None:
    (run,) = records(finetuned[1], "SCALING_RUN")
    epochs = records(finetuned[1], "train")
    # fairseq logs the mean number of sentences an update; a whole epoch of them is the set.
    updates = np.diff([0, *(int(record["train_num_updates"]) for record in epochs)])
    assert float(epochs[0]["train_bsz"]) * updates[0] == pytest.approx(run["finetune_pairs"], abs=0.06 * updates[0])


def test_a_resumed_run_is_the_undisturbed_run_also_after_the_first_epoch(corpus: Path, tmp_path: Path) -> None:
    arguments = [*FINETUNING, "--save-interval-updates", 11, "--max-update", 20, "--finetune-tokens", "1500"]
    whole = fairseq("train", corpus, *arguments, "--save-dir", tmp_path / "whole")
    assert len(records(whole, "train")) > 3  # several epochs
    (tmp_path / "again").mkdir()
    (saved,) = (tmp_path / "whole").glob("checkpoint_*_11.pt")
    shutil.copy(saved, tmp_path / "again" / "checkpoint_last.pt")
    fairseq("train", corpus, *arguments, "--save-dir", tmp_path / "again")
    models = [
        torch.load(tmp_path / name / "checkpoint_last.pt", weights_only=True)["model"] for name in ("whole", "again")
    ]
    assert all(torch.equal(weight, models[1][name]) for name, weight in models[0].items())


def test_two_ranks_end_like_one_though_one_of_them_runs_out_of_batches(corpus: Path, tmp_path: Path) -> None:
    # Seven batches an epoch, four in an update: in the second update one rank has two, the other only one.
    arguments = [*FINETUNING, "--dropout", 0, "--max-tokens", 270, "--max-update", 4]
    one = fairseq("train", corpus, *arguments, "--update-freq", 4, "--save-dir", tmp_path / "one")
    two = train_on_two_ranks(corpus, *arguments, "--update-freq", 2, "--save-dir", tmp_path / "two")
    last = [tmp_path / name / "checkpoint_last.pt" for name in ("one", "two")]
    assert_equal_but_for_rounding(*last, (one, two))


def test_generation_translates_every_sentence_and_says_which_run_it_is(
    finetuned: tuple[Path, str], corpus: Path
) -> None:
    folder, log = finetuned
    printed = fairseq(
        "generate", corpus, "--task", "scaling_translation", "-s", "aa", "-t", "bb",
        "--path", folder / "checkpoint_last.pt",
        "--gen-subset", "test", "--beam", 2, "--max-len-b", 20, "--max-tokens", 300, "--remove-bpe", "sentencepiece",
    )  # fmt: skip
    ids = sorted(int(line.split("\t")[0][2:]) for line in printed.splitlines() if line.startswith("D-"))
    assert ids == list(range(len(Corpus.open(corpus).pair("aa", "bb", "test")[0])))
    (before,), (after,) = records(log, "SCALING_RUN"), records(printed, "SCALING_RUN")
    # The checkpoint also says what was read until it was written.
    read = {name: after.pop(name) for name in ("finetune_tokens_read", "finetune_passes")}
    assert after == before
    assert read["finetune_passes"] == read["finetune_tokens_read"] // before["finetune_tokens_used"] > 0
    scores = records(log, "SCALING_SCORES")[-1]
    assert {name: scores[name] for name in read} == read
    assert {name: records(log, "train_inner")[-1][name] for name in read} == read
    assert "\u2581" not in "".join(line for line in printed.splitlines() if line.startswith("D-"))


def test_the_prefix_of_training_is_used_in_translation(corpus: Path, tmp_path: Path) -> None:
    prefix = toy.sentences("aa", 1, seed=5)[0]
    fairseq("train", corpus, *FINETUNING, "--max-update", 1, "--source-prefix", prefix, "--save-dir", tmp_path)
    generate = (
        "generate", corpus, "--task", "scaling_translation", "-s", "aa", "-t", "bb", "--max-len-b", 2,
        "--path", tmp_path / "checkpoint_last.pt", "--remove-bpe", "sentencepiece", "--max-tokens", 900,
    )  # fmt: skip
    sources = [line.split("\t")[1] for line in fairseq(*generate).splitlines() if line.startswith("S-")]
    assert len(sources) == 50
    assert all(source.startswith(prefix) for source in sources)
    refused = fairseq(*generate, "--source-prefix", "other", fails=True)
    assert "trained with the source prefix" in refused


def test_interactive_translates_raw_text_without_further_settings(finetuned: tuple[Path, str], corpus: Path) -> None:
    source = Corpus.open(corpus).source_text("aa", "bb", "test").read_text().splitlines()[:3]
    line = [
        str(Path(sys.executable).parent / "fairseq-interactive"),
        str(corpus),
        "--user-dir",
        str(ROOT / "fairseq_scaling"),
    ]
    done = subprocess.run(
        [*line, "--task", "scaling_translation", "-s", "aa", "-t", "bb", "--path", finetuned[0] / "checkpoint_last.pt"],
        input="\n".join(source) + "\n", capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    translations = [entry.split("\t")[2] for entry in done.stdout.splitlines() if entry.startswith("D-")]
    assert len(translations) == 3
    assert "<unk>" not in done.stdout


def test_validate_reports_the_same_cross_entropy_without_the_pretraining_checkpoint(
    finetuned: tuple[Path, str], corpus: Path
) -> None:
    (finetuned[0] / "x.pt").rename(finetuned[0] / "moved.pt")
    printed = fairseq(
        "validate", corpus, "--task", "scaling_translation", "-s", "aa", "-t", "bb", "--valid-subset", "test",
        "--path", finetuned[0] / "checkpoint_last.pt", "--max-tokens", 300, "--log-format", "json",
    )  # fmt: skip
    trained = {score["subset"]: score for score in records(finetuned[1], "SCALING_SCORES")}
    (finetuned[0] / "moved.pt").rename(finetuned[0] / "x.pt")
    (found,) = records(printed, "test")
    assert found["test_cross_entropy"] == pytest.approx(trained["test"]["cross_entropy"], rel=1e-5)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (["-t", "zz"], "language pair = aa-zz"),
        (["--finetune-tokens", "9M"], r"finetune_tokens = 9M: the corpus holds \d+ tokens"),
        (["--finetune-from-model", "/nowhere.pt"], "finetune_from_model = /nowhere.pt: no such file"),
        (["--valid-subset", "nonsense"], "split = nonsense: the pair aa-bb has the splits: test, train, valid"),
    ],
)
def test_impossible_settings_are_named(changed: list[str], complaint: str, corpus: Path, tmp_path: Path) -> None:
    printed = fairseq("train", corpus, *FINETUNING, *changed, "--save-dir", tmp_path, fails=True)
    assert re.search(f"Error: .*{complaint}", printed, re.DOTALL), printed[-1500:]
    assert "Traceback" not in printed


def test_another_model_than_the_checkpoints_is_named(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    start = pretrained[0] / "checkpoint1.pt"
    printed = fairseq(
        "train", corpus, *FINETUNING, "--d-ff", 128, "--finetune-from-model", start, "--save-dir", tmp_path, fails=True
    )
    assert f"Error: {start} holds another model: d_ff 64 there, 128 here" in printed
    assert "Traceback" not in printed


def test_hydra_trains_too(corpus: Path, tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "fairseq-hydra-train")
    settings = [
        f"common.user_dir={ROOT / 'fairseq_scaling'}",
        "+task._name=scaling_pretraining",
        f"+task.data={corpus}",
        "+task.mixture='aa:0.5,bb:0.5'",
        "+task.budgets='3k,5k'",
        "+task.input_length=32",
        "+model._name=t5_tiny",
        "+model.encoder_layers=1",
        "+model.decoder_layers=1",
        "+optimizer._name=t5_adafactor",
        "optimization.lr=[0.01]",
        "dataset.batch_size=8",
        "dataset.num_workers=0",
        f"checkpoint.save_dir={tmp_path / 'out'}",
        f"hydra.run.dir={tmp_path / 'hydra'}",
    ]
    done = subprocess.run([program, *settings], capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    state = torch.load(tmp_path / "out" / "checkpoint2.pt", weights_only=True)
    assert sum(state["task_state"]["fairseq_scaling"]["consumed"].values()) == 5000 // 34 * 34
