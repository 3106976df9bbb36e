"""What a mapping adds to stock logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.logs import read_runs
from tests.logs.samples import GOLDEN, plugin_log, run_object

PATTERN = "{mixture}/dp{pretrain_tokens}/ft{finetune_tokens}/seed{seed}/*"
TRAIN, GENERATED = "train-json-smoothed.log", "generate-sacrebleu-detok.txt"


def place(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes((GOLDEN / name).read_bytes())


def test_a_pattern_completes_a_stock_run_and_joins_its_files(tmp_path: Path) -> None:
    place(tmp_path / "en50-fr50" / "dp1.5M" / "ft100k" / "seed7", TRAIN, GENERATED)
    reading = read_runs(tmp_path, PATTERN)
    (run,) = reading.runs
    assert (run.pretrain_tokens, run.finetune_tokens, str(run.mixture)) == (1_500_000, 100_000, "en:0.5,fr:0.5")
    assert (run.alignment, run.scores["bleu"].value, run.cross_entropies.keys()) == (1.0, 64.85, {"valid", "test"})
    assert reading.problems == []


def test_runs_in_two_folders_stay_two_with_one_configuration(tmp_path: Path) -> None:
    for tokens in ("0", "1M"):
        place(tmp_path / "en" / f"dp{tokens}" / "ft1k" / "seed7", TRAIN, GENERATED)
    runs = read_runs(tmp_path, PATTERN).runs
    assert [run.pretrain_tokens for run in runs] == [0, 1_000_000]
    assert len({run.run_id for run in runs}) == 2


def test_a_table_says_the_same_as_a_pattern(tmp_path: Path) -> None:
    place(tmp_path / "runs" / "one", TRAIN)
    table = tmp_path / "mapping.csv"
    table.write_text('path,pretrain_tokens,finetune_tokens,mixture\none/*.log,3M,100k,"en:0.5,fr:0.5"\n')
    (run,) = read_runs(tmp_path / "runs", table).runs
    assert (run.pretrain_tokens, run.finetune_tokens, run.alignment) == (3_000_000, 100_000, 1.0)
    assert run.origin["pretrain_tokens"] == (str(table), 2)


def test_what_the_log_says_counts_and_a_contradiction_is_listed(tmp_path: Path) -> None:
    place(tmp_path / "en" / "dp1M" / "ft1k" / "seed8", TRAIN)
    reading = read_runs(tmp_path, PATTERN)
    assert reading.runs[0].seed == 7
    assert any("seed is 8 here, but 7 counts" in problem.message for problem in reading.problems)


def test_a_mapping_fills_what_a_plugin_run_left_open(tmp_path: Path) -> None:
    folder = tmp_path / "en" / "dp5M" / "ft100k" / "seed1"
    folder.mkdir(parents=True)
    run = run_object(pretrain_tokens=None, mixture={}, alignment=None)
    (folder / "train.log").write_text(plugin_log(run, {100: 3.0}))
    (found,) = read_runs(tmp_path, PATTERN).runs
    assert (found.run_id, found.pretrain_tokens, found.alignment) == ("0123456789ab", 5_000_000, 0.7)


def test_values_that_are_none_are_listed(tmp_path: Path) -> None:
    table = tmp_path / "mapping.csv"
    place(tmp_path / "runs" / "one", TRAIN)
    table.write_text('path,pretrain_tokens,mixture,seed\none/*.log,many,"en:0.5,fr:0.4",x\n')
    reading = read_runs(tmp_path / "runs", table)
    messages = "\n".join(problem.message for problem in reading.problems)
    assert all(word in messages for word in ("many", "sum to 0.9", "seed = x"))
    assert reading.runs[0].pretrain_tokens is None


@pytest.mark.parametrize(
    ("mapping", "word"),
    [("{pretrain_token}/*.log", "pretrain_token"), ("{}/x", "field"), ("dp{pretrain_tokens", "field")],
)
def test_a_malformed_pattern_names_its_field(tmp_path: Path, mapping: str, word: str) -> None:
    place(tmp_path / "one", TRAIN)
    with pytest.raises(SettingError, match=word):
        read_runs(tmp_path, mapping)


def test_a_table_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    place(tmp_path / "one", TRAIN)
    table = tmp_path / "mapping.csv"
    table.write_text("path,tokens\n*.log,3M\n")
    with pytest.raises(SettingError, match="no such column: tokens"):
        read_runs(tmp_path / "one", table)
    with pytest.raises(DataError, match="cannot be read"):
        read_runs(tmp_path / "one", tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["1e999999999", "9" * 100])
def test_an_absurd_number_is_a_problem_not_a_wait(tmp_path: Path, text: str) -> None:
    place(tmp_path / "one", TRAIN)
    table = tmp_path / "mapping.csv"
    table.write_text(f"path,pretrain_tokens\none/*.log,{text}\n")
    assert read_runs(tmp_path / "one", table).runs[0].pretrain_tokens is None
