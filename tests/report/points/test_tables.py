"""Tables: what is read, what is refused, and that every refusal names file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairseq_scaling.problems import ProblemKind
from fairseq_scaling.report.points.sheets import SheetProblem
from fairseq_scaling.report.points.tables import RowProblem, is_known_table, read_table

HEADER = "curve,metric,pretrain_tokens,value"


def table(tmp_path: Path, text: str, name: str = "scores.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_four_required_columns_are_enough(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, f"{HEADER}\nen-fr,BLEU,250000,12.5\n"))
    assert read.problems == []
    (point,) = read.points
    assert (point.curve, point.metric, point.pretrain_tokens, point.value) == ("en-fr", "bleu", 250_000, 12.5)
    assert (point.held_out, point.seed, point.lower_is_better) == (False, None, False)
    assert (point.file, point.line) == (str(tmp_path / "scores.csv"), 2)


def test_optional_columns_are_read(tmp_path: Path) -> None:
    header = HEADER + ",held_out,seed,mixture,finetune_tokens,source_lang,target_lang"
    row = 'c,cross_entropy,1e6,2.5,1,7,"en:0.5,fr:0.5",0.2M,en,fr'
    (point,) = read_table(table(tmp_path, f"{header}\n{row}\n")).points
    assert point.held_out
    assert (point.seed, point.finetune_tokens) == (7, 200_000)
    assert point.mixture == "en:0.5,fr:0.5"
    assert point.lower_is_better
    assert point.task == "en-fr"


@pytest.mark.parametrize(
    ("written", "tokens"),
    [("250000", 250_000), ("2.5e5", 250_000), ("0.25M", 250_000), ("7700779.0", 7_700_779), ("0", 0)],
)
def test_tokens_are_read_as_people_write_them(tmp_path: Path, written: str, tokens: float) -> None:
    (point,) = read_table(table(tmp_path, f"{HEADER}\nc,bleu,{written},1\n")).points
    assert point.pretrain_tokens == tokens


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c,bleu,many,1", RowProblem.NOT_AN_AMOUNT),
        ("c,bleu,,1", RowProblem.EMPTY),
        ("c,bleu,-5,1", RowProblem.BELOW_ZERO),
        ("c,bleu,0.25,1", RowProblem.BELOW_ONE),
        ("c,bleu,1e6,high", RowProblem.NOT_A_NUMBER),
        ("c,bleu,1e6,nan", RowProblem.NOT_FINITE),
        ("c,bleu,1e6,", RowProblem.NO_VALUE),
        ("c,bleu,1e6", SheetProblem.OTHER_WIDTH),
        (",bleu,1e6,1", RowProblem.EMPTY),
        ("c,,1e6,1", RowProblem.EMPTY),
        ("c,speed,1e6,1", RowProblem.NO_DIRECTION),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_stay(tmp_path: Path, row: str, said: ProblemKind) -> None:
    read = read_table(table(tmp_path, f"{HEADER}\nc,bleu,1e6,1\n{row}\nc,bleu,2e6,2\n"))
    assert [point.line for point in read.points] == [2, 4]
    (problem,) = read.problems
    assert (problem.kind, problem.line) == (said, 3)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("held_out", "maybe", "held_out is neither 0 nor 1; it is 'maybe'"),
        ("seed", "1.5", "seed is not a whole number; it is 1.5"),
        ("mixture", "en:0.5", "sum to 0.5"),
        ("finetune_tokens", "lots", "finetune_tokens is not a number of tokens; it is 'lots'"),
        ("lower_is_better", "1", "of bleu higher is better"),
    ],
)
def test_a_bad_optional_cell_is_named(tmp_path: Path, column: str, value: str, said: str) -> None:
    read = read_table(table(tmp_path, f"{HEADER},{column}\nc,bleu,1e6,1,{value}\n"))
    assert read.points == []
    assert said in read.problems[0].message


def test_another_metric_says_which_way_is_better(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, f"{HEADER},lower_is_better\nc,Latency,1e6,1,1\nc,speed,1e6,1,0\n"))
    assert [(point.metric, point.lower_is_better) for point in read.points] == [
        ("Latency", True),
        ("speed", False),
    ]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, "curve,metric,value\nc,bleu,1\n"))
    assert read.points == []
    assert read.problems[0].line == 1
    assert "pretrain_tokens" in read.problems[0].message


def test_a_misspelt_column_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, f"{HEADER},helf_out\nc,bleu,1e6,1,1\n"))
    assert len(read.points) == 1
    assert "helf_out" in read.problems[0].message


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, separator: str) -> None:
    text = "\ufeff" + f"{HEADER}\r\nc,bleu,1e6,1\r\n\r\n".replace(",", separator)
    path = table(tmp_path, text)
    assert is_known_table(path)
    read = read_table(path)
    assert len(read.points) == 1
    assert read.problems == []


def test_a_file_that_is_no_text_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(b"\xff\xfe\x00\x81" * 50)
    read = read_table(path)
    assert read.points == []
    assert "UTF-8" in read.problems[0].message


def test_a_cell_may_span_lines_and_later_lines_keep_their_numbers(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, f'{HEADER}\n"two\nlines",bleu,1e6,1\nc,bleu,x,1\n'))
    assert read.points[0].curve == "two\nlines"
    assert read.problems[0].line == 4


def test_what_tells_runs_apart_is_read_back(tmp_path: Path) -> None:
    header = HEADER + ",seed,pretrain_seed,parameters,corpus,run_id"
    read = read_table(table(tmp_path, f"{header}\nc,bleu,1e6,2.5,1,2,1648256,20608893bece,ff30de8cb8b8\n"))
    assert read.problems == []
    (point,) = read.points
    assert (point.seed, point.pretrain_seed, point.parameters) == (1, 2, 1_648_256)
    assert (point.corpus, point.run_id) == ("20608893bece", "ff30de8cb8b8")
