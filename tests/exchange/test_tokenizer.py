"""The numbers that transformers gives to text are those of SentencePiece in the order of the dictionary."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import PreTrainedTokenizerFast

from fairseq_scaling.data.dictionary import SPECIALS
from fairseq_scaling.errors import CheckpointError, DataError
from fairseq_scaling.exchange.sentencepiece_file import CONTROL, byte_model, pieces_of_kind, read_sentencepiece
from fairseq_scaling.exchange.tokenizer import tokenizer_json
from fairseq_scaling.exchange.vocabulary import lay_out, row_order

from .samples import MT5, OURS, T5, TEXT, train_sentencepiece

# Spaces of all kinds, letters the models know and do not know, no accents that stand alone (see the module).
LETTERS = "kaotmisurenpldgvch   \t\u00a0\u3000.,éß中☃ﬁ①\u2581"


def random_texts(number: int) -> list[str]:
    draw = random.Random(5)
    return ["".join(draw.choice(LETTERS) for _ in range(draw.randrange(30))) for _ in range(number)]


@pytest.mark.parametrize(
    "settings",
    [
        OURS,
        OURS | {"model_type": "bpe"},
        T5,
        T5 | {"model_type": "bpe", "vocab_size": 330, "byte_fallback": True},
        MT5,
        OURS | {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
        None,
    ],
    ids=["ours", "ours-bpe", "t5", "bpe-bytes", "mt5", "spaces-kept", "byt5"],
)
def test_any_text_has_the_numbers_of_the_dictionary(settings: dict[str, Any] | None, tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    if settings is None:
        path.write_bytes(byte_model())
    else:
        train_sentencepiece(path, **settings)
    model = read_sentencepiece(path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert [piece.piece for piece in model.pieces] == [processor.id_to_piece(i) for i in range(len(model.pieces))]
    scores = [piece.score for piece in model.pieces]
    assert scores == [processor.get_score(number) for number in range(len(model.pieces))]
    own = [piece.piece for piece in model.pieces if piece.piece not in pieces_of_kind(model, 2, 3, 5)]
    symbols = [*SPECIALS, *own, "<2aa>", "<2bb>"]
    random.Random(1).shuffle(symbols)  # any order will do
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer_json(symbols, model)))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in [*TEXT[::7], *random_texts(400), "", " ", "<unk"]:
        pieces = processor.encode(text)
        expected = [numbers.get(processor.id_to_piece(piece), numbers["<unk>"]) for piece in pieces]
        assert tokenizer(text)["input_ids"] == [*expected, numbers["</s>"]], text
        if numbers["<unk>"] not in expected and "\u2581" not in text:
            decoded = tokenizer.decode(expected)
            assert decoded == processor.decode(pieces)
    assert tokenizer("<2bb>")["input_ids"] == [numbers["<2bb>"], numbers["</s>"]]


def test_bytes_are_numbered_as_in_byt5(tmp_path: Path) -> None:
    (tmp_path / "m.model").write_bytes(byte_model())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    for text in [*TEXT[:5], *random_texts(100)]:
        assert processor.encode(text) == [byte + 3 for byte in text.encode()]
        assert processor.decode(processor.encode(text)) == text


def test_the_order_of_a_t5_is_found_again_from_the_dictionary_alone(tmp_path: Path) -> None:
    model = read_sentencepiece(train_sentencepiece(tmp_path / "m.model", **T5))
    assert pieces_of_kind(model, CONTROL) == {"<pad>", "</s>"}
    names = dict(enumerate([*(piece.piece for piece in model.pieces), "<extra_id_1>", "<extra_id_0>"]))
    layout = lay_out(len(names) + 3, names, pad=0, eos=1, unk=2)
    assert not layout.added
    assert layout.symbols[-4:] == ["<extra_id_1>", "<extra_id_0>", "madeupword0000", "madeupword0001"]
    assert row_order(layout.symbols, model) == layout.rows()
    full = lay_out(len(names), names, pad=0, eos=1, unk=2)
    assert full.added
    assert row_order(full.symbols, model) == [*full.rows(), 0]


def test_a_model_made_here_keeps_the_numbers_of_fairseq(tmp_path: Path) -> None:
    model = read_sentencepiece(train_sentencepiece(tmp_path / "m.model", **OURS))
    symbols = [*SPECIALS, *(piece.piece for piece in model.pieces[1:]), "<2aa>", "<extra_id_0>"]
    assert row_order(symbols, model) == list(range(len(symbols)))
    names = dict(enumerate(symbols))
    assert lay_out(len(symbols), names, pad=1, eos=2, unk=3).symbols == symbols


def test_tokens_that_no_dictionary_can_hold_are_refused() -> None:
    names = {0: "<pad>", 1: "</s>", 2: "<unk>", 3: "two words"}
    with pytest.raises(CheckpointError, match=r"token 3 is 'two words'"):
        lay_out(4, names, 0, 1, 2)
    with pytest.raises(CheckpointError, match=r"'<pad>' stands there twice"):
        lay_out(5, names | {3: "a", 4: "<pad>"}, 0, 1, 2)


def test_models_of_words_and_broken_files_are_refused(tmp_path: Path) -> None:
    path = train_sentencepiece(tmp_path / "m.model", model_type="char", vocab_size=30, hard_vocab_limit=False)
    model = read_sentencepiece(path)
    with pytest.raises(CheckpointError, match="neither unigram nor bpe"):
        tokenizer_json([*SPECIALS, *(piece.piece for piece in model.pieces[3:])], model)
    for content in (b"", b"text", path.read_bytes()[:-3]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no SentencePiece model"):
            read_sentencepiece(path)
