"""The contracts of pretraining, on real runs of ``fairseq-train``."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tasks.runs import (
    PRETRAINING,
    ROOT,
    assert_equal_but_for_rounding,
    assert_same_run,
    fairseq,
    load,
    records,
    same,
    train_on_two_ranks,
)

BLOCK = 34  # tokens that fill 32 positions once corrupted
BUDGETS = (3_000, 5_000, 8_000)


def test_a_checkpoint_lies_at_every_budget_and_the_run_ends_by_itself(pretrained: tuple[Path, str]) -> None:
    folder, log = pretrained
    assert "done training" in log
    for epoch, budget in enumerate(BUDGETS, start=1):
        consumed = load(folder / f"checkpoint{epoch}.pt")["task_state"]["fairseq_scaling"]["consumed"]
        assert 0 <= budget - sum(consumed.values()) < BLOCK
        assert abs(consumed["aa"] - consumed["bb"]) <= BLOCK
    assert not (folder / "checkpoint4.pt").exists()


def test_consumed_tokens_stand_in_every_log_line_as_exact_integers(pretrained: tuple[Path, str]) -> None:
    _, log = pretrained
    inner = records(log, "train_inner")
    totals = [record["pretrain_tokens"] for record in inner]
    assert all(type(total) is int for total in totals)
    assert totals == sorted(set(totals))
    assert all(
        record["pretrain_tokens"] == record["pretrain_tokens_aa"] + record["pretrain_tokens_bb"] for record in inner
    )
    assert totals[0] == 8 * BLOCK  # the first batch
    ends = [record["train_pretrain_tokens"] for record in records(log, "train")]
    assert ends == [budget // BLOCK * BLOCK for budget in BUDGETS]
    assert [record["valid_pretrain_tokens"] for record in records(log, "valid")][-1] == ends[-1]


def test_upstream_loss_is_reported_per_language(pretrained: tuple[Path, str]) -> None:
    _, log = pretrained
    scores = {score["subset"]: score for score in records(log, "SCALING_SCORES")}
    assert set(scores) == {"valid", "valid_aa", "valid_bb", "valid_cc"}
    tokens = {name: score["target_tokens"] for name, score in scores.items()}
    assert tokens["valid"] == tokens["valid_aa"] + tokens["valid_bb"]
    mean = sum(scores[name]["cross_entropy"] * tokens[name] for name in ("valid_aa", "valid_bb")) / tokens["valid"]
    assert scores["valid"]["cross_entropy"] == pytest.approx(mean, rel=1e-12)
    bits = float(records(log, "valid")[-1]["valid_loss"])  # fairseq's own, in base 2 with three decimals
    assert scores["valid"]["cross_entropy"] / 0.6931471805599453 == pytest.approx(bits, abs=6e-4)


def test_a_smaller_budget_is_a_prefix_of_a_larger_one(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    folder, _ = pretrained
    fairseq("train", corpus, *PRETRAINING, "--budgets", "3k", "--save-dir", tmp_path)
    states = [load(folder / "checkpoint1.pt"), load(tmp_path / "checkpoint1.pt")]
    assert same(states[0]["model"], states[1]["model"])


@pytest.mark.parametrize("update", [7, 17])  # inside the first budget, and inside the second
def test_a_run_killed_anywhere_ends_in_the_same_weights(
    update: int, pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    folder, whole = pretrained
    arguments = [*PRETRAINING, "--save-dir", tmp_path, "--save-interval-updates", 5]
    line = [
        str(Path(sys.executable).parent / "fairseq-train"),
        str(corpus),
        "--user-dir",
        str(ROOT / "fairseq_scaling"),
    ]
    with subprocess.Popen(
        [*line, *map(str, arguments)], stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT
    ) as run:
        assert run.stdout is not None
        for printed in run.stdout:
            if f'"num_updates": "{update}"' in printed:  # two updates after a checkpoint
                run.kill()
    assert run.returncode == -signal.SIGKILL
    last = tmp_path / "checkpoint_last.pt"
    last.write_bytes(last.read_bytes()[:-1000])  # as if killed while fairseq was copying it
    log = fairseq("train", corpus, *arguments)
    assert "is damaged: going on from checkpoint_" in log
    assert "resuming after" in log
    assert_same_run(folder / "checkpoint_last.pt", tmp_path / "checkpoint_last.pt")
    assert records(log, "train")[-1]["train_pretrain_tokens"] == records(whole, "train")[-1]["train_pretrain_tokens"]
    assert "begin training epoch" not in fairseq("train", corpus, *arguments)  # a second time there is nothing to do


def test_workers_change_nothing(pretrained: tuple[Path, str], corpus: Path, tmp_path: Path) -> None:
    folder, _ = pretrained
    fairseq("train", corpus, *PRETRAINING, "--save-dir", tmp_path, "--num-workers", 2, "--save-interval-updates", 5)
    assert_same_run(folder / "checkpoint_last.pt", tmp_path / "checkpoint_last.pt")


def test_two_ranks_end_like_one_with_twice_the_batch(corpus: Path, tmp_path: Path) -> None:
    # At the first budget the last update holds a single block: one of the two ranks has none.
    arguments = [*PRETRAINING, "--dropout", 0, "--budgets", f"{97 * BLOCK},5k"]
    one = fairseq("train", corpus, *arguments, "--update-freq", 2, "--save-dir", tmp_path / "one")
    two = train_on_two_ranks(corpus, *arguments, "--save-dir", tmp_path / "two")
    assert records(two, "train_inner")[6]["bsz"] == "1"
    last = [tmp_path / name / "checkpoint_last.pt" for name in ("one", "two")]
    assert_equal_but_for_rounding(*last, (one, two))


def test_checkpoints_hold_nothing_but_data(pretrained: tuple[Path, str]) -> None:
    folder, _ = pretrained
    assert torch.serialization.get_unsafe_globals_in_checkpoint(folder / "checkpoint_last.pt") == []


def test_going_on_with_other_data_is_refused(pretrained: tuple[Path, str], corpus: Path, tmp_path: Path) -> None:
    folder, _ = pretrained
    (midway,) = folder.glob("checkpoint_2_15.pt")
    (tmp_path / "midway").mkdir()
    shutil.copy(midway, tmp_path / "midway" / "checkpoint_last.pt")
    for where, changed, complaint in (
        (folder, ["--mixture", "aa:1"], "mixture"),
        (folder, ["--budgets", "3k,4k,8k"], "budgets"),
        (tmp_path / "midway", ["--budgets", "3k,3.5k,5k,8k"], "budgets"),  # 15 updates are past 3.5k
        (tmp_path / "midway", ["--batch-size", "4"], "batch_size"),
    ):
        printed = fairseq("train", corpus, *PRETRAINING, *changed, "--save-dir", where, fails=True)
        assert re.search(rf"^Error: {complaint} = .*checkpoint in --save-dir", printed, re.MULTILINE)
        assert "Traceback" not in printed


def test_a_run_that_ended_at_max_update_makes_no_further_one_when_started_again(corpus: Path, tmp_path: Path) -> None:
    arguments = [*PRETRAINING, "--max-update", 4, "--save-dir", tmp_path]
    assert len(records(fairseq("train", corpus, *arguments), "train_inner")) == 4
    assert records(fairseq("train", corpus, *arguments), "train_inner") == []


def test_tensorboard_is_silent_and_written_where_it_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    arguments = [*PRETRAINING, "--max-update", 2, "--disable-validation", "--tensorboard-logdir", tmp_path / "board"]
    printed = fairseq("train", corpus, *arguments, "--save-dir", tmp_path)
    assert "install tensorboard" not in printed
    assert list((tmp_path / "board/train_inner").glob("events.out.tfevents.*"))


def test_a_run_that_pauses_at_a_budget_ends_in_the_same_weights(
    pretrained: tuple[Path, str], corpus: Path, tmp_path: Path
) -> None:
    """What scaling-study run --sequential does: an epoch ends at each budget."""
    folder, _ = pretrained
    arguments = [*PRETRAINING, "--save-dir", tmp_path]
    fairseq("train", corpus, *arguments, "--max-epoch", 2)
    assert not (tmp_path / "checkpoint3.pt").exists()
    assert_same_run(folder / "checkpoint2.pt", tmp_path / "checkpoint2.pt")
    fairseq("train", corpus, *arguments)
    assert_same_run(folder / "checkpoint_last.pt", tmp_path / "checkpoint_last.pt")


def test_a_budget_can_be_added_to_a_finished_run(pretrained: tuple[Path, str], corpus: Path, tmp_path: Path) -> None:
    folder, _ = pretrained
    (tmp_path / "checkpoint_last.pt").write_bytes((folder / "checkpoint_last.pt").read_bytes())
    log = fairseq("train", corpus, *PRETRAINING, "--budgets", "3k,5k,8k,10k", "--save-dir", tmp_path)
    assert records(log, "train")[-1]["train_pretrain_tokens"] == 10_000 // BLOCK * BLOCK


def test_impossible_settings_end_before_training_with_a_clear_message(corpus: Path, tmp_path: Path) -> None:
    for changed, complaint in (
        (["--mixture", "aa:0.5,bb:0.6"], r"mixture = aa:1/2,bb:3/5: the shares sum to 1.1"),
        (["--mixture", "aa:0.5,zz:0.5"], r"language = zz: .* aa, bb, cc"),
        (["--budgets", "900M"], r"the largest possible budget is \d+ tokens"),
        (["--skip-remainder-batch"], r"skip_remainder_batch = True: .* leave it out"),
    ):
        printed = fairseq("train", corpus, *PRETRAINING, *changed, "--save-dir", tmp_path, fails=True)
        assert re.search(f"Error: .*{complaint}", printed, re.DOTALL), printed[-2000:]
        assert "Traceback" not in printed
        assert not list(tmp_path.glob("*.pt"))
