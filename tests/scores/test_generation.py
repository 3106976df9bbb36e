"""Translations out of the output of fairseq-generate."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fairseq_scaling.errors import DataError
from fairseq_scaling.scores.generation import read_generation
from fairseq_scaling.scores.pieces import join_found
from fairseq_scaling.scores.text import read_text
from tests.logs.samples import GOLDEN

COMPLETE = (
    "generate-tokens.txt",
    "generate-sacrebleu-detok.txt",
    "generate-remove-bpe.txt",
    "generate-chrf.txt",
    "generate-nbest.txt",
    "results-path-generate-test.txt",
)


@pytest.mark.parametrize("name", COMPLETE)
def test_the_same_model_gives_the_same_text_whatever_the_flags(name: str) -> None:
    expected = read_generation(GOLDEN / "generate-sacrebleu-detok.txt").hypotheses
    assert read_generation(GOLDEN / name).hypotheses == expected
    assert len(expected) == 12
    assert not any("\u2581" in text for text in expected)


def test_hypotheses_are_in_the_order_of_the_source_text() -> None:
    generation = read_generation(GOLDEN / "generate-sacrebleu-detok.txt")
    assert generation.sources == read_text(GOLDEN / "test.en.txt")
    assert (generation.subset, generation.lines, generation.run) == ("test", "D", None)


def test_pieces_are_joined_as_sentencepiece_does() -> None:
    lines = (GOLDEN / "generate-sacrebleu-detok.txt").read_text().splitlines()
    tokenised = {line.split("\t")[0][2:]: line.split("\t")[2] for line in lines if line.startswith("H-")}
    # fairseq called sentencepiece itself for the D- lines
    detokenised = {line.split("\t")[0][2:]: line.split("\t")[2] for line in lines if line.startswith("D-")}
    joined, _ = join_found(list(tokenised.values()), "sentencepiece")
    assert dict(zip(tokenised, joined, strict=True)) == detokenised


def test_without_d_lines_the_pieces_of_h_lines_are_joined(tmp_path: Path) -> None:
    lines = (GOLDEN / "generate-tokens.txt").read_text().splitlines(True)
    path = tmp_path / "gen.txt"
    path.write_text("".join(line for line in lines if not line.startswith("D-")))
    assert read_generation(path).hypotheses == read_generation(GOLDEN / "generate-tokens.txt").hypotheses


def test_missing_sentences_are_named() -> None:
    message = r"2 of the first 10 sentences are missing: 0, 4\n.*--required-batch-size-multiple 1"
    with pytest.raises(DataError, match=message):
        read_generation(GOLDEN / "generate-missing.txt")


def test_a_wild_number_does_not_make_it_wait(tmp_path: Path) -> None:
    path = tmp_path / "gen.txt"
    path.write_text("D-0\t-1.0\ta\nD-999999999999\t-1.0\tb\n")
    message = r"999999999998 of the first 1000000000000 sentences are missing: 1, 2, .* and 999999999988 more"
    with pytest.raises(DataError, match=message):
        read_generation(path)


def test_a_second_output_in_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gen.txt"
    path.write_bytes((GOLDEN / "generate-sacrebleu-detok.txt").read_bytes() * 2)
    with pytest.raises(DataError, match="is listed twice"):
        read_generation(path)


def test_a_log_line_inside_a_translation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gen.txt"
    path.write_text("D-0\t-1.0\tle cha2026-01-01 00:00:00 | INFO | fairseq | x\nt noir\n")
    with pytest.raises(DataError, match="a log line broke into sentence 0"):
        read_generation(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no translations"),
        ("Generate test with beam=2: BLEU = 1 1/1/1/1 (x)\n", "without --quiet"),
        ("D-0\t-1.0\tle chat", "the last line is cut"),
        ("D-0\t-1.0\n", "the line is cut"),
    ],
)
def test_what_is_no_output_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gen.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_generation(path)


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "ref.txt"
    path.write_bytes("eins\nzwölf\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"ref.txt:2: is not UTF-8 text"):
        read_text(path)


def test_only_line_feeds_end_a_sentence(tmp_path: Path) -> None:
    sentences = ["a\x85b", "c\u2028d", "e\x0bf", "", "g"]
    path = tmp_path / "ref.txt.gz"
    path.write_bytes(gzip.compress(("\n".join(sentences) + "\n").encode()))
    assert read_text(path) == sentences
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert read_text(path) == ["a", "b"]


def test_plugin_output_has_its_run_in_the_log_beside_it() -> None:
    assert read_generation(GOLDEN / "plugin" / "generate.txt").run is None
    assert len(read_generation(GOLDEN / "plugin" / "generate.txt").hypotheses) == 50


def test_a_run_line_in_the_output_is_found(tmp_path: Path) -> None:
    path = tmp_path / "gen.txt"
    log, output = (GOLDEN / "plugin" / f"generate.{end}" for end in ("log", "txt"))
    path.write_bytes(log.read_bytes() + output.read_bytes())
    generation = read_generation(path)
    assert generation.run is not None
    assert generation.run["run_id"] == "886098917233"
    assert generation.checkpoint == "/study/fine/checkpoint_last.pt"
