"""Alignment files: what is written is read back, and what is no whole one is named, not passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairseq_scaling.alignment_file import Alignment, alignment_object, looks_like_alignment_file
from fairseq_scaling.json_file import write_json
from fairseq_scaling.logs import read_runs
from fairseq_scaling.mixture import Mixture
from tests.logs.samples import GOLDEN

MEASURES = {"alignment": 1.0, "unigram_source": 0.6925, "coverage_3_target": 1 / 3}


def entry(mixture: str, file: Path) -> Alignment:
    return Alignment(Mixture.parse(mixture), "en", "fr", MEASURES, "0123abcd", 500_000, (400, 500), str(file))


def content() -> dict[str, Any]:
    return json.loads(json.dumps(alignment_object([entry("en", Path())], "0123abcd", 500_000)))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "any-name"
    written = [entry("en:1/3,fr:2/3", file), entry("de", file)]
    write_json(file, alignment_object(written, "0123abcd", 500_000))
    reading = read_runs(file)
    assert reading.alignments == written
    assert (reading.runs, reading.problems) == ([], [])


def test_they_are_found_in_a_folder_of_logs_and_are_not_left_out(tmp_path: Path) -> None:
    write_json(tmp_path / "deep.json", content())
    (tmp_path / "log").write_bytes((GOLDEN / "plugin" / "finetuning.log").read_bytes())
    reading = read_runs(tmp_path)
    assert [found.mixture for found in reading.alignments] == [Mixture.parse("en")]
    assert len(reading.runs) == 1
    assert not [problem for problem in reading.problems if "left out" in problem.message or "deep" in str(problem)]


def test_score_files_and_other_json_are_none() -> None:
    assert looks_like_alignment_file(json.dumps(content()).encode("utf-16"))
    for other in (b'{"format": 1, "run_id": null, "scores": {}}', b'{"kind": "alignment"}', b'[{"kind": "alignment"}]'):
        assert not looks_like_alignment_file(other)


def damaged(**changes: Any) -> str:
    return json.dumps({**content(), **changes})


def without(name: str) -> str:
    whole = content()
    del whole["alignments"][0][name]
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (damaged()[:-40], "cut or damaged"),
        (damaged(format=2), "format 2, this version reads 1"),
        (damaged(sample_tokens=None), "lacks something"),
        (damaged(alignments=3), "lacks something"),
        (without("mixture"), "'mixture'"),
        (without("measures"), "'measures'"),
        (damaged(alignments=[{**content()["alignments"][0], "mixture": "en:0.4"}]), "sum to 0.4"),
        (damaged(alignments=[{**content()["alignments"][0], "measures": {"alignment": "NaN"}}]), "no finite number"),
    ],
)
def test_a_file_that_can_not_be_used_is_named_with_a_remedy(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "alignment.json"
    file.write_text(text)
    reading = read_runs(tmp_path)
    (problem,) = reading.problems
    assert problem.file == str(file)
    assert message in problem.message
    assert "scaling-alignment" in problem.message
    assert "\n" not in problem.message
    assert reading.alignments == []
