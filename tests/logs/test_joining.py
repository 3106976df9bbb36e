"""Which records make one run, what counts of several, and what is listed instead of used."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.logs import Reading, RunRecord, read_runs
from tests.logs.samples import FAIRSEQ_0_6, FAIRSEQ_0_9, FAIRSEQ_0_9_JSON, GOLDEN, plugin_log, run_object, score_file

LN2 = math.log(2)
A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def write(folder: Path, **files: str) -> Reading:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return read_runs(folder)


def only(reading: Reading) -> RunRecord:
    assert len(reading.runs) == 1, reading
    return reading.runs[0]


def said(reading: Reading, words: str) -> bool:
    return any(words in str(problem) for problem in reading.problems)


def test_the_run_line_gives_every_field(tmp_path: Path) -> None:
    run = only(write(tmp_path, train__log=plugin_log(run_object(), {100: 3.5})))
    assert (run.stage, run.run_id, run.pretrain_tokens, run.finetune_tokens) == (
        "finetuning",
        "0123456789ab",
        1_234_567_890,
        100_000,
    )
    assert (run.source_lang, run.target_lang, run.seed, run.architecture, run.parameters) == (
        "en",
        "fr",
        1,
        "t5_tiny",
        1_402_240,
    )
    assert str(run.mixture) == "en:0.5,fr:0.5"
    assert run.cross_entropy == pytest.approx(3.5 * LN2)


def test_baseline_has_zero_tokens_and_no_mixture_and_no_complaint(tmp_path: Path) -> None:
    run = run_object(pretrain_tokens=0, mixture={}, alignment=None, pretrain_tokens_by_language={})
    reading = write(tmp_path, train__log=plugin_log(run, {100: 3.5}), scores__json=score_file(run, 12.5))
    assert (only(reading).pretrain_tokens, only(reading).mixture, only(reading).alignment) == (0, None, None)
    assert reading.problems == []


def test_a_rounded_budget_is_not_taken_for_exact(tmp_path: Path) -> None:
    for wrong in ("1.23457e+09", 1.23457e9, True, -5, "12"):
        reading = write(tmp_path, train__log=plugin_log(run_object(pretrain_tokens=wrong), {100: 3.5}))
        assert only(reading).pretrain_tokens is None
        assert said(reading, "no exact value")
        assert said(reading, "lacks pretrain_tokens")


def test_full_precision_goes_before_the_printed_loss(tmp_path: Path) -> None:
    line = {
        "format": 1,
        "run_id": A,
        "subset": "valid",
        "updates": 100,
        "cross_entropy": 2.4262345,
        "target_tokens": 10,
    }
    log = plugin_log(run_object(A), {50: 4.0, 100: 3.5}) + f"x | INFO | SCALING_SCORES {json.dumps(line)}\n"
    run = only(write(tmp_path, train__log=log))
    assert run.cross_entropy == 2.4262345
    assert "cross_entropy" not in run.resolution
    assert run.extra["validations"] == [(50, "valid", 4.0 * LN2), (100, "valid", 2.4262345)]


def test_test_set_goes_before_valid(tmp_path: Path) -> None:
    lines = [
        {"format": 1, "run_id": A, "subset": subset, "updates": 100, "cross_entropy": value, "target_tokens": 10}
        for subset, value in (("valid", 2.0), ("test", 2.5), ("upstream_en", 9.0))
    ]
    log = plugin_log(run_object(A), {}) + "".join(f"SCALING_SCORES {json.dumps(line)}\n" for line in lines)
    run = only(write(tmp_path, train__log=log))
    assert run.cross_entropy == 2.5
    assert run.cross_entropies == {"valid": 2.0, "test": 2.5, "upstream_en": 9.0}


def test_concatenated_runs_are_two(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {100: 3.5}) + plugin_log(run_object(B, seed=2), {100: 2.5})
    reading = write(tmp_path, both__log=log)
    assert {run.run_id: run.cross_entropy for run in reading.runs} == {
        A: pytest.approx(3.5 * LN2),
        B: pytest.approx(2.5 * LN2),
    }


def test_a_restart_is_one_run_and_its_last_record_counts(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {50: 4.0, 100: 3.5}, end=False) + plugin_log(run_object(A), {100: 3.25, 150: 3.0})
    reading = write(tmp_path, train__log=log)
    run = only(reading)
    assert run.extra["validations"] == [
        (50, "valid", pytest.approx(4.0 * LN2)),
        (100, "valid", pytest.approx(3.25 * LN2)),
        (150, "valid", pytest.approx(3.0 * LN2)),
    ]
    assert (run.finished, run.updates) == (True, 150)


def test_interleaved_runs_are_listed_and_give_no_loss(tmp_path: Path) -> None:
    one = plugin_log(run_object(A), {n: 4.0 - n / 1000 for n in range(100, 1000, 100)}).splitlines(True)
    two = plugin_log(run_object(B), {n: 3.0 - n / 1000 for n in range(100, 1000, 100)}).splitlines(True)
    log = "".join(line for pair in zip(one, two, strict=True) for line in pair)
    reading = write(tmp_path, both__log=log)
    assert said(reading, "more than one run")
    assert all(run.cross_entropy is None for run in reading.runs)


def test_interleaved_runs_keep_what_names_its_run(tmp_path: Path) -> None:
    scores = [
        {"format": 1, "run_id": name, "subset": "test", "updates": 900, "cross_entropy": value, "target_tokens": 10}
        for name, value in ((A, 2.5), (B, 1.5))
    ]
    one = plugin_log(run_object(A), dict.fromkeys(range(100, 1000, 100), 4.0)).splitlines(True)
    two = plugin_log(run_object(B), dict.fromkeys(range(100, 1000, 100), 3.0)).splitlines(True)
    one.append(f"SCALING_SCORES {json.dumps(scores[0])}\n")
    two.append(f"SCALING_SCORES {json.dumps(scores[1])}\n")
    reading = write(tmp_path, both__log="".join(line for pair in zip(one, two, strict=True) for line in pair))
    assert {run.run_id: run.cross_entropy for run in reading.runs} == {A: 2.5, B: 1.5}


def test_two_scores_of_one_subset_are_listed_and_neither_is_used(tmp_path: Path) -> None:
    run = run_object(A)
    files = {"train__log": plugin_log(run, {100: 3.5}), "one__json": score_file(run, 12.5)}
    reading = write(tmp_path, **files, two__json=score_file(run, 13.5))
    assert only(reading).scores == {}
    conflict = next(problem for problem in reading.problems if "neither was used" in problem.message)
    assert "12.5" in conflict.message
    assert "13.5" in conflict.message
    assert conflict.file.endswith("two.json")
    assert "one.json" in conflict.message


def test_the_same_score_twice_is_no_conflict(tmp_path: Path) -> None:
    run = run_object(A)
    reading = write(tmp_path, one__json=score_file(run, 12.5), two__json=score_file(run, 12.5))
    assert only(reading).scores["bleu"].value == 12.5
    assert not said(reading, "neither")


def test_test_and_valid_scores_are_no_conflict(tmp_path: Path) -> None:
    run = run_object(A)
    reading = write(tmp_path, one__json=score_file(run, 12.5), two__json=score_file(run, 13.5, subset="valid"))
    assert only(reading).scores["bleu"].value == 12.5
    assert only(reading).extra["scores_by_subset"]["valid"]["bleu"].value == 13.5


def test_two_losses_of_one_update_in_two_files_are_a_conflict(tmp_path: Path) -> None:
    reading = write(
        tmp_path,
        one__log=plugin_log(run_object(A), {50: 4.0, 100: 3.5}),
        two__log=plugin_log(run_object(A), {100: 3.25}),
    )
    assert only(reading).cross_entropy is None
    assert only(reading).extra["validations"] == []
    assert said(reading, "none of the losses of valid was used")


def test_two_settings_under_one_run_id_are_listed(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {50: 4.0, 100: 3.5})
    reading = write(tmp_path, one__log=log, two__log=log.replace("'seed': 1", "'seed': 2"))
    assert said(reading, "settings that differ from those in")
    assert said(reading, "common.seed")


def test_a_copied_log_is_no_conflict(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {50: 4.0, 100: 3.5})
    reading = write(tmp_path, one__log=log, two__log=log)
    assert only(reading).cross_entropy == pytest.approx(3.5 * LN2)
    assert not said(reading, "neither")


def test_run_lines_that_contradict_each_other_are_listed(tmp_path: Path) -> None:
    reading = write(
        tmp_path,
        one__log=plugin_log(run_object(A), {100: 3.5}),
        two__log=plugin_log(run_object(A, pretrain_tokens=7), {100: 3.5}),
    )
    assert only(reading).pretrain_tokens == 1_234_567_890
    assert said(reading, "two runs?")


def test_a_score_file_alone_is_a_run(tmp_path: Path) -> None:
    run = only(write(tmp_path, scores__json=score_file(run_object(A), 12.5)))
    assert (run.pretrain_tokens, run.scores["bleu"].value, run.finished) == (1_234_567_890, 12.5, None)


def test_generate_output_belongs_to_the_stock_run_that_saved_its_checkpoint(tmp_path: Path) -> None:
    train = (GOLDEN / "train-json-bleu.log").read_text()
    config = "{'_name': None, 'common_eval': {'_name': None, 'path': 'checkpoints/bleu/checkpoint_best.pt'}}"
    generate = f"INFO:fairseq_cli.generate:{config}\n"
    generate += (GOLDEN / "generate-sacrebleu-detok.txt").read_text()
    other = (GOLDEN / "train-json-smoothed.log").read_text()
    reading = write(tmp_path, a__log=train, b__log=other, c__txt=generate)
    by_files = {tuple(Path(file).name for file in run.extra["files"]): run for run in reading.runs}
    assert set(by_files) == {("a.log", "c.txt"), ("b.log",)}
    assert by_files["a.log", "c.txt"].scores["bleu"].value == 64.85


def test_a_diverged_run_is_shown_and_has_no_number(tmp_path: Path) -> None:
    for written in ('"nan"', "NaN", '"inf"', "Infinity"):
        log = plugin_log(run_object(A), {100: 3.5, 200: 4.0}).replace('"4"', written)
        reading = write(tmp_path, train__log=log)
        run = only(reading)
        assert run.diverged
        assert run.cross_entropy is not None
        assert not math.isfinite(run.cross_entropy)
        assert said(reading, "diverged")


def test_a_run_that_recovered_did_not_diverge(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {100: 3.5, 200: 4.0}).replace('"3.5"', '"nan"')
    assert not only(write(tmp_path, train__log=log)).diverged


def test_an_unfinished_run_is_listed(tmp_path: Path) -> None:
    reading = write(tmp_path, train__log=plugin_log(run_object(A), {100: 3.5}, end=False))
    assert only(reading).finished is False
    assert said(reading, "did not finish; its log ends at update 100")


def test_updates_printed_with_too_few_digits_are_unknown(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {1_234_567: 3.5}).replace("1234567", "1.23457e+06")
    run = only(write(tmp_path, train__log=log))
    assert run.updates is None
    assert run.extra["validations"] == [(None, "valid", pytest.approx(3.5 * LN2))]
    stamp = "2026-01-01 00:00:01 | INFO | fairseq.checkpoint_utils |"
    saved = f"{stamp} Saved checkpoint c.pt (epoch 1 @ 1234567 updates, score 3)\n"
    assert only(write(tmp_path, train__log=log + saved)).updates == 1_234_567


def test_label_smoothing_without_nll_is_no_cross_entropy(tmp_path: Path) -> None:
    log = plugin_log(run_object(A), {100: 3.5}).replace(
        "'cross_entropy'", "'label_smoothed_cross_entropy', 'label_smoothing': 0.1"
    )
    reading = write(tmp_path, train__log=log)
    assert only(reading).cross_entropy is None
    assert said(reading, "label smoothing")


def test_without_a_configuration_the_perplexity_tells_whether_the_loss_is_plain(tmp_path: Path) -> None:
    line = '{"epoch": 1, "valid_loss": "3.5", "valid_ppl": "%s", "valid_num_updates": "100"}\n'
    assert only(write(tmp_path, train__log=line % "11.31")).cross_entropy == pytest.approx(3.5 * LN2)
    assert only(write(tmp_path, train__log=line % "8.12")).cross_entropy is None


@pytest.mark.parametrize(
    ("text", "bits", "half", "updates", "seed"),
    [
        (FAIRSEQ_0_9, 4.154, 0.0005, 2200, 3),
        (FAIRSEQ_0_6, 6.8834, 0.00005, 600, 1),
        (FAIRSEQ_0_9_JSON, 7.001, 0.0005, 100, 4),
    ],
    ids=["0.9", "0.6", "0.9 json"],
)
def test_older_versions(tmp_path: Path, text: str, bits: float, half: float, updates: int, seed: int) -> None:
    run = only(write(tmp_path, train__log=text))
    assert run.cross_entropy == pytest.approx(bits * LN2)
    assert run.resolution["cross_entropy"] == pytest.approx(half * LN2)
    assert (run.updates, run.seed, run.source_lang, run.target_lang, run.finished) == (updates, seed, "de", "en", True)


@pytest.mark.parametrize(
    ("result", "metric", "value"),
    [
        ("BLEU4 = 27.30, 58.6/33.0/20.9/13.7 (BP=1.000, ratio=1.016, syslen=65597, reflen=64506)", "bleu", 27.30),
        ("BLEU = 0.00 4.3/2.2/0.0/0.0 (BP = 0.045 ratio = 0.244 hyp_len = 47 ref_len = 193)", "bleu", 0.0),
        (
            "BLEU(score=27.5, counts=[1, 2, 3, 4], totals=[2, 4, 6, 8], precisions=[50.0, 50.0, 50.0, 50.0], bp=1.0, "
            "sys_len=10, ref_len=10)",
            "bleu",
            27.5,
        ),
        ("chrF2 = 3.80", "chrf", 3.8),
        ("WER: 112.50", "wer", 112.5),
    ],
)
def test_final_lines_of_several_versions(tmp_path: Path, result: str, metric: str, value: float) -> None:
    for bar in ("", "| "):
        score = only(write(tmp_path, gen__txt=f"{bar}Generate test with beam=5: {result}\n")).scores[metric]
        assert (score.value, score.details["beam"]) == (value, 5)


def test_a_chrf_that_may_be_on_either_scale_is_not_used(tmp_path: Path) -> None:
    reading = write(tmp_path, gen__txt="Generate test with beam=5: chrF2 = 0.53\n")
    assert only(reading).scores == {}
    assert said(reading, "0 to 1")


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_runs(tmp_path / "nothing")


def test_what_is_no_log_is_listed_but_binary_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "checkpoint_last.pt").write_bytes(b"PK\x03\x04" + bytes(5000))
    reading = read_runs(tmp_path)
    assert reading.runs == []
    assert [problem.message for problem in reading.problems] == [
        "1 file holds nothing that fairseq wrote, left out: notes.txt"
    ]
    named = read_runs(tmp_path / "checkpoint_last.pt")
    assert said(named, "left out")


def test_fairseq_validate_adds_its_subset_to_the_stock_run(tmp_path: Path) -> None:
    config = "{'_name': None, 'common_eval': {'_name': None, 'path': 'checkpoints/json/checkpoint_best.pt'}}"
    stamp = "2026-01-01 00:00:01 | INFO |"
    record = '{"test2_loss": "2.5", "test2_nll_loss": "2.25", "test2_ppl": "4.76", "test2_ntokens": 100}'
    reading = write(
        tmp_path,
        train__log=(GOLDEN / "train-json-smoothed.log").read_text(),
        validate__log=f"{stamp} fairseq_cli.validate | {config}\n{stamp} test2 | {record}\n",
    )
    run = only(reading)
    assert run.cross_entropies["test2"] == pytest.approx(2.25 * LN2)
    assert (run.updates, run.finished) == (75, True)


def test_json_of_another_kind_is_no_damaged_score_file(tmp_path: Path) -> None:
    reading = write(
        tmp_path, fits__json='{"format": 1, "run_id": null, "curves": []}', cut__json='{"format": 1, "run_id"'
    )
    assert sorted(problem.message for problem in reading.problems) == [
        "1 file holds nothing that fairseq wrote, left out: fits.json",
        "the score file is cut or damaged: write it again with score-translations",
    ]
