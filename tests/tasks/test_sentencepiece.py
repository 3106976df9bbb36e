"""What fairseq's commands make of pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairseq_scaling.exchange.sentencepiece_file import byte_model
from fairseq_scaling.tasks._sentencepiece import CorpusSentencePiece
from tests.exchange.samples import MT5, OURS, TEXT, train_sentencepiece

_UNKNOWN_LETTERS = "né, 中文 ☃"


@pytest.mark.parametrize("kind", ["ours", "mt5", "byt5"])
def test_pieces_become_their_text_again_joined_before_or_not(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    if kind == "byt5":
        path.write_bytes(byte_model())
    else:
        train_sentencepiece(path, **(OURS if kind == "ours" else MT5))
    bpe = CorpusSentencePiece(path)
    for text in (*TEXT[:5], *([] if kind == "ours" else [_UNKNOWN_LETTERS, f"{TEXT[0]} {_UNKNOWN_LETTERS}"])):
        pieces = bpe.encode(text)
        joined = pieces.replace(" ", "").replace("\u2581", " ").strip()  # fairseq's --remove-bpe sentencepiece
        assert bpe.decode(pieces) == bpe.decode(joined) == text


def test_names_of_bytes_stay_text_where_the_model_has_no_such_pieces(tmp_path: Path) -> None:
    bpe = CorpusSentencePiece(train_sentencepiece(tmp_path / "m.model", **OURS))
    assert bpe.decode("ka<0x41>") == "ka<0x41>"


@pytest.mark.parametrize("kind", ["mt5", "byt5"])
def test_a_translation_stays_one_line_of_text_whatever_bytes_a_model_puts_out(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    if kind == "byt5":
        path.write_bytes(byte_model())
    else:
        train_sentencepiece(path, **MT5)
    pieces = "<0x00><0x0A><0x41><0x0D><0x09><0x7F><0x1F><0xFF><0x42>"
    assert CorpusSentencePiece(path).decode(pieces) == "\ufffd A  \ufffd \ufffdB"
