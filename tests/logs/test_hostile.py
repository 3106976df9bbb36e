"""Damaged logs and odd files, one by one; test_fuzzing.py draws many more."""

from __future__ import annotations

import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.logs import read_runs
from fairseq_scaling.scores.generation import read_generation
from tests.logs.fuzzing import CHANGING, KEEPING, SAMPLES, cut_then_other, interleave
from tests.logs.samples import FAIRSEQ_0_9, GOLDEN, plugin_log, run_object


def test_a_damaged_record_is_listed_with_its_line(tmp_path: Path) -> None:
    lines = plugin_log(run_object(), {100: 4.0, 200: 3.5}).splitlines(True)
    at = next(number for number, line in enumerate(lines) if '"valid_num_updates": "200"' in line)
    lines[at] = lines[at][:90] + "\n"
    path = tmp_path / "train.log"
    path.write_text("".join(lines))
    reading = read_runs(path)
    assert any(problem.line == at + 1 and "damaged" in problem.message for problem in reading.problems)
    assert reading.runs[0].extra["validations"] == [(100, "valid", pytest.approx(4 * math.log(2)))]


@pytest.mark.parametrize("length", range(1, 60, 3))
def test_the_last_number_of_a_cut_line_is_not_believed(tmp_path: Path, length: int) -> None:
    whole = "| epoch 001 | valid on 'valid' subset | loss 6.438 | nll_loss 5.233 | ppl 37.61 | num_updates 1100"
    path = tmp_path / "train.log"
    path.write_text(whole[:-length])
    assert all(run.cross_entropy is None for run in read_runs(path).runs)


def test_two_records_in_one_line_are_not_merged(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    stamp = "2026-01-01 00:00:01 | INFO | valid | "
    record = "epoch 001 | valid on 'valid' subset | loss 6.4 | nll_loss 5.2 | ppl 36.76 | num_updates 1"
    path.write_text(f"{stamp}{record[:-16]}{stamp}{record}00\n")
    (run,) = read_runs(path).runs
    assert run.extra["validations"] == [(100, "valid", pytest.approx(5.2 * math.log(2)))]


def test_a_record_patched_from_two_is_recognised_by_its_perplexity(tmp_path: Path) -> None:
    log = plugin_log(run_object(), {100: 4.0, 200: 3.5, 300: 3.25}).replace(
        '"valid_loss": "3.25"', '"valid_loss": "3.75"'
    )
    path = tmp_path / "train.log"
    path.write_text(log)
    reading = read_runs(path)
    assert [updates for updates, _, _ in reading.runs[0].extra["validations"]] == [100, 200]
    assert any("perplexity" in problem.message for problem in reading.problems)


def test_a_folder_that_holds_itself_and_odd_files_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train log é.log").write_text(plugin_log(run_object(), {100: 4.0}))
    (tmp_path / "run" / "loop").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.log").write_text("")
    reading = read_runs([tmp_path, tmp_path / "run"])
    assert len(reading.runs) == 1
    assert {Path(problem.file).name for problem in reading.problems} >= {"broken", "pipe"}


def test_a_gigantic_line_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"a" * (17 << 20))
    assert "longer than 16 MiB" in read_runs(path).problems[0].message


@pytest.mark.parametrize("kind", ["cut", "delete", "flip", "cut then other", "interleave"])
def test_damaged_output_of_generate_is_whole_or_refused(kind: str, tmp_path: Path) -> None:
    name = "generate-sacrebleu-detok.txt"
    expected = read_generation(GOLDEN / name).hypotheses
    content, path = SAMPLES[name], tmp_path / "gen.txt"
    refused = 0
    for case in range(20):
        draw = random.Random(f"generate {kind} {case}")
        if kind == "cut then other":
            damaged = cut_then_other(content, content, draw)
        elif kind == "interleave":
            damaged = interleave(content, SAMPLES["generate.log"], draw)
        else:
            damaged = {**KEEPING, **CHANGING}[kind](content, draw)
        path.write_bytes(damaged)
        try:
            found = read_generation(path).hypotheses
        except DataError:
            refused += 1
            continue
        if kind in ("cut", "interleave"):
            assert found == expected
    assert refused or kind in ("flip", "interleave")


def test_a_number_too_large_for_a_float_is_damaged_and_not_infinite(tmp_path: Path) -> None:
    log = plugin_log(run_object(), {100: 4.0})
    scores = (
        '{"format": 1, "run_id": "0123456789ab", "subset": "test", "updates": 100, "cross_entropy": 8.03e971698216}'
    )
    (tmp_path / "log").write_text(
        f"{log}2026-01-01 00:00:01 | INFO | fairseq_scaling.tasks | SCALING_SCORES {scores}\n"
    )
    reading = read_runs(tmp_path / "log")
    assert not reading.runs[0].diverged
    assert "test" not in reading.runs[0].cross_entropies
    assert any("SCALING_SCORES line is cut or damaged" in problem.message for problem in reading.problems)


@pytest.mark.parametrize("place", [0, 100, 1500])
def test_a_log_with_zero_bytes_in_its_head_is_read(tmp_path: Path, place: int) -> None:
    log = plugin_log(run_object(), {100: 4.0}).encode()
    (tmp_path / "log").write_bytes(log[:place] + bytes(5000) + log[place:])
    reading = read_runs(tmp_path)
    assert [run.cross_entropy for run in reading.runs] == [pytest.approx(4 * math.log(2))]


@pytest.mark.parametrize("content", [b"PK\x03\x04\x00\x00\x08\x08" * 99, np.arange(3, 3000, dtype="<u2").tobytes()])
def test_binary_files_of_a_folder_are_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read_runs(tmp_path).problems == []
    assert "holds nothing" in read_runs(tmp_path / "file").problems[0].message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised_though_half_of_it_is_foreign(tmp_path: Path, encoding: str) -> None:
    text = (GOLDEN / "generate-tokens.txt").read_text()
    (tmp_path / "gen.txt").write_bytes(text.encode(encoding))
    assert read_runs(tmp_path).runs[0].scores["bleu"].value == 76.26


def test_scores_that_were_printed_and_not_written_count(tmp_path: Path) -> None:
    (tmp_path / "scores.txt").write_bytes(SAMPLES["scores printed 0"])
    assert [run.scores["bleu"].value for run in read_runs(tmp_path).runs] == [12.25]
    (tmp_path / "scores.txt").write_bytes(SAMPLES["scores printed 0"].partition(b"SCALING")[0])
    assert [problem.message for problem in read_runs(tmp_path).problems] == [
        "1 file holds nothing that fairseq wrote, left out: scores.txt"
    ]
    (tmp_path / "scores.txt").write_bytes(SAMPLES["scores shown 0"])
    assert read_runs(tmp_path).problems == []


def test_a_configuration_behind_a_cut_line_begins_another_program(tmp_path: Path) -> None:
    log = plugin_log(run_object(), {100: 4.0}, end=False).encode()
    (tmp_path / "log").write_bytes(log[: log.rindex(b"valid_loss")] + FAIRSEQ_0_9.encode())
    one, two = read_runs(tmp_path / "log").runs
    assert {one.source_lang, two.source_lang} == {"de", "en"}
    assert {run.source_lang: len(run.extra["validations"]) for run in (one, two)} == {"de": 2, "en": 0}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["stock", "scaling run", "record"], "of another task"),
        (["stock", "record", "scaling run", "record"], "another run had not ended"),
        (["generate", "record"], "prints no such records"),
        (["stock", "record", "bare record"], "others have none"),
    ],
)
def test_records_of_two_programs_in_one_file_are_told_apart(tmp_path: Path, lines: list[str], reason: str) -> None:
    stamp = "2026-01-01 00:00:01 | INFO | "
    task = "{'_name': 'translation', 'source_lang': 'de', 'target_lang': 'en'}"
    config = f"{stamp}fairseq_cli.%s | {{'_name': None, 'common': {{'seed': 1}}, 'task': {task}}}"
    forms = {
        "stock": config % "train",
        "generate": config % "generate",
        "scaling run": f"{stamp}fairseq_scaling.tasks | SCALING_RUN {json.dumps(run_object())}",
        "record": f'{stamp}valid | {{"epoch": 1, "valid_loss": "4", "valid_ppl": "16", "valid_num_updates": "%d"}}',
        "bare record": '{"epoch": 1, "valid_loss": "4", "valid_ppl": "16", "valid_num_updates": "%d"}',
    }
    text = [forms[line] % number if "record" in line else forms[line] for number, line in enumerate(lines)]
    (tmp_path / "log").write_text("\n".join(text) + "\n")
    reading = read_runs(tmp_path / "log")
    assert any("more than one run" in problem.message and reason in problem.message for problem in reading.problems)


def test_sources_that_are_other_sentences_than_the_translations_are_none(tmp_path: Path) -> None:
    (tmp_path / "gen.txt").write_text("S-0\tone\nH-0\t-0.1\tun\nS-7\tseven\nH-1\t-0.2\tdeux\n")
    generation = read_generation(tmp_path / "gen.txt")
    assert (generation.hypotheses, generation.sources) == (["un", "deux"], None)


@pytest.mark.filterwarnings("error")
def test_a_damaged_configuration_makes_no_warning(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(plugin_log(run_object(), {100: 4.0}).replace("'seed': 1", "'seed': [1, 2or 3]"))
    assert len(read_runs(tmp_path / "log").runs) == 1
