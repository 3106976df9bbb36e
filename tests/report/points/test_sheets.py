"""Table files: separators, encodings, titles, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairseq_scaling.report.points.sheets import SheetProblem, read_sheet


def write(tmp_path: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "tokens,bleu\n1000,5.5\n2000,6.5\n",
        "tokens;bleu\n1000;5.5\n2000;6.5\n",
        "tokens\tbleu\n1000\t5.5\n2000\t6.5\n",
        "tokens, bleu\r\n1000, 5.5\r\n\r\n2000, 6.5\r\n,\r\n",
        "# a comment, with a comma\ntokens,bleu\n1000,5.5\n2000,6.5\n",
        "Results of November,\n,\ntokens,bleu\n1000,5.5\n2000,6.5\n",
        '"tokens","bleu"\n"1000","5.5"\n"2000","6.5"\n',
    ],
)
def test_separators_titles_comments_and_empty_rows(tmp_path: Path, text: str) -> None:
    sheet = read_sheet(write(tmp_path, text))
    named = [sheet.columns.index(name) for name in ("tokens", "bleu")]
    assert [[row.cells[i] for i in named] for row in sheet.rows] == [["1000", "5.5"], ["2000", "6.5"]]
    assert sheet.problems == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    sheet = read_sheet(write(tmp_path, "Gr\u00f6\u00dfe;BLEU\n1000;5,5\n", encoding=encoding))
    assert sheet.columns == ["Gr\u00f6\u00dfe", "BLEU"]


def test_trailing_separators_do_not_shift_the_columns(tmp_path: Path) -> None:
    assert read_sheet(write(tmp_path, "tokens,bleu\n1000,5.5,,\n")).rows[0].cells == ("1000", "5.5")


RECORDS = [{"tokens": 1000, "eval": {"bleu": 5.5}}, {"tokens": 2000, "eval": {"bleu": None}, "model": "x"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", json.dumps(RECORDS)),
        ("t.jsonl", "".join(json.dumps(record) + "\n" for record in RECORDS)),
        ("t.json", json.dumps({"tokens": [1000, 2000], "eval/bleu": [5.5, None], "model": ["", "x"]})),
        (
            "t.json",
            '{"tokens": {"0": 1000, "1": 2000}, "eval/bleu": {"0": 5.5, "1": null}, "model": {"0": "", "1": "x"}}',
        ),
    ],
)  # fmt: skip
def test_json_of_records_lines_and_columns(tmp_path: Path, name: str, text: str) -> None:
    sheet = read_sheet(write(tmp_path, text, name))
    assert sheet.columns == ["tokens", "eval/bleu", "model"]
    assert [row.cells for row in sheet.rows] == [("1000", "5.5", ""), ("2000", "", "x")]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("t.xlsx", b"PK\x03\x04\x14\x00\x06\x00", SheetProblem.NOT_TEXT),
        ("t.csv", b"\x00\x81\x00\x81" * 50, SheetProblem.NOT_TEXT),
        ("t.json", b"{", SheetProblem.NOT_JSON),
        ("t.csv", b"tokens,bleu\n", SheetProblem.NO_TABLE),
        ("t.csv", b"", SheetProblem.NO_TABLE),
        ("t.csv", b"one column\n1\n2\n", SheetProblem.NO_TABLE),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, content: bytes, kind: SheetProblem) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert [problem.kind for problem in read_sheet(path).problems] == [kind]


def test_of_a_long_file_the_beginning_can_be_read_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "tokens,bleu\n" + "1000,5.5\n" * 1000)
    assert 0 < len(read_sheet(path, limit=100).rows) < 12
    assert read_sheet(path, limit=100).problems == []
