"""The vocabulary and the corpus folder: fairseq reads what was written, and the same text gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece

from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.errors import DataError, SettingError
from preprocess.clean import clean
from preprocess.encode import encode
from preprocess.folders import file_entries
from preprocess.settings import CleanSettings, Limits, SentencePieceSettings
from preprocess.train_sentencepiece import train_sentencepiece
from tests.preprocess.samples import sentence

SETTINGS = SentencePieceSettings(vocab_size=80, threads=1)


@pytest.fixture
def clean_folder(toy_raw: Path, tmp_path: Path) -> Path:
    clean(toy_raw, tmp_path / "clean", CleanSettings(valid=20, test=30, mono_valid=25))
    return tmp_path / "clean"


def replace(folder: Path, name: str, text: str) -> None:
    """Write a file of a clean folder as if the step had written it so."""
    (folder / name).write_text(text, encoding="utf-8")
    manifest = json.loads((folder / "clean.json").read_text())
    manifest["files"] |= {file: entry for file, entry in file_entries(folder).items() if file == name}
    (folder / "clean.json").write_text(json.dumps(manifest))


@pytest.fixture
def model(clean_folder: Path, tmp_path: Path) -> Path:
    train_sentencepiece(clean_folder, tmp_path / "sentencepiece.model", SETTINGS)
    return tmp_path / "sentencepiece.model"


@pytest.fixture
def corpus(clean_folder: Path, model: Path, tmp_path: Path) -> Corpus:
    return encode(clean_folder, model, tmp_path / "corpus")


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_the_same_text_gives_the_same_model(clean_folder: Path, tmp_path: Path, model_type: str) -> None:
    settings = SentencePieceSettings(vocab_size=80, model_type=model_type)
    for name in ("one", "two"):
        train_sentencepiece(clean_folder, tmp_path / name / "sentencepiece.model", settings)
    first, second = ((tmp_path / name / "sentencepiece.model").read_bytes() for name in ("one", "two"))
    assert first == second
    assert str(tmp_path).encode() not in first


def test_long_lines_are_part_of_the_model(write_raw: Callable[..., Path], tmp_path: Path) -> None:
    """SentencePiece would leave out lines of more than 4,192 bytes; here every Ω is in such a line."""
    lines = [sentence(7 * number)[0] for number in range(100)] + [f"{'word ' * 1000}Ω{number}" for number in range(9)]
    settings = CleanSettings(Limits(mono_max_words=2000, max_characters=9000), mono_valid=1)
    clean(write_raw({"en": lines}, {}), tmp_path / "clean", settings)
    train_sentencepiece(tmp_path / "clean", tmp_path / "m", SentencePieceSettings(50, character_coverage=1, threads=1))
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m"))
    assert not processor.is_unknown(processor.piece_to_id("Ω"))


def test_languages_have_equal_shares_of_the_model(clean_folder: Path, tmp_path: Path) -> None:
    described = train_sentencepiece(clean_folder, tmp_path / "m", SentencePieceSettings(vocab_size=60, sentences=301))
    assert described["sentences"] == {"en": 151, "fr": 151}


def test_a_model_is_not_overwritten_and_a_vocabulary_can_be_too_large(
    clean_folder: Path, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=r"exists\n.*--overwrite"):
        train_sentencepiece(clean_folder, model, SETTINGS)
    with pytest.raises(DataError, match=r"could not make .* of 5000 pieces: the text allows at most") as refused:
        train_sentencepiece(clean_folder, model, SentencePieceSettings(vocab_size=5000), overwrite=True)
    largest = int(str(refused.value).split()[-1])  # what the message says to give
    train_sentencepiece(clean_folder, tmp_path / "largest", SentencePieceSettings(vocab_size=largest))


def test_fairseq_reads_the_same_ids_and_the_same_text(corpus: Corpus) -> None:
    fairseq_data = pytest.importorskip("fairseq.data")
    from fairseq.data.indexed_dataset import MMapIndexedDataset

    dictionary = fairseq_data.Dictionary.load(str(corpus.dictionary_path))
    manifest = corpus.manifest
    assert len(dictionary) == manifest["vocabulary"]["size"] == 4 + 79 + 2 + 100
    assert (dictionary.bos(), dictionary.pad(), dictionary.eos(), dictionary.unk()) == (0, 1, 2, 3)
    # T5's order: the first sentinel has the last id. The tags stand before the sentinels, sorted.
    assert [dictionary[len(dictionary) - 1 - number] for number in (0, 1, 99)] == [
        *("<extra_id_0>", "<extra_id_1>", "<extra_id_99>"),
    ]
    assert [dictionary[4 + 79 + number] for number in (0, 1)] == ["<2en>", "<2fr>"]

    processor = sentencepiece.SentencePieceProcessor(model_file=str(corpus.sentencepiece_path))
    for split in ("train", "valid", "test"):
        for language in ("en", "fr"):
            tokens, _ = corpus.pair(language, "fr" if language == "en" else "en", split)
            theirs = MMapIndexedDataset(tokens.path_prefix)
            text = corpus.source_text(language, "fr" if language == "en" else "en", split).read_text().split("\n")[:-1]
            assert len(theirs) == len(tokens) == len(text)
            for number, line in enumerate(text):
                ids = theirs[number]
                assert ids.tolist() == tokens[number].tolist()
                # What fairseq's own encoder makes of the pieces, its end of sentence included.
                pieces = " ".join(processor.encode(line, out_type=str))
                assert ids.tolist() == dictionary.encode_line(pieces, add_if_not_exist=False).tolist()
                assert dictionary.string(ids, bpe_symbol="sentencepiece") == line


def test_sizes_and_counts_are_those_of_the_files(corpus: Corpus, clean_folder: Path) -> None:
    manifest = corpus.manifest
    counts: dict[int, int] = {}
    for language, splits in manifest["languages"].items():
        for split, size in splits.items():
            tokens = corpus.mono(language, split)
            assert (len(tokens), tokens.tokens) == (size["sentences"], size["tokens"])
            assert len(tokens) == (clean_folder / f"mono.{language}.{split}.txt").read_text().count("\n")
            assert all(sentence[-1] == 2 and 2 not in sentence[:-1] for sentence in tokens)
    sides = [side for language in ("en", "fr") for side in (corpus.mono(language, "train"),)]
    for side in [*sides, *corpus.pair("en", "fr", "train")]:
        for token in side.stream.tolist():
            counts[token] = counts.get(token, 0) + 1
    written = [line.rsplit(" ", 1) for line in corpus.dictionary_path.read_text().split("\n")[:-1]]
    for number, (symbol, count) in enumerate(written, start=4):
        assert int(count) == max(1, counts.get(number, 0)), symbol
    assert manifest["sources"] == [{"source": "test"}]
    assert manifest["filters"]["mono en"]["read"] == 1100
    assert manifest["settings"]["sentencepiece"]["settings"]["vocab_size"] == 80
    corpus.verify()


def test_encoding_with_one_and_two_processes_gives_the_same_bytes(
    corpus: Corpus, clean_folder: Path, model: Path, tmp_path: Path
) -> None:
    again = encode(clean_folder, model, tmp_path / "again", workers=2)
    assert again.fingerprint == corpus.fingerprint
    for path in corpus.path.rglob("*"):
        if path.is_file():
            assert (again.path / path.relative_to(corpus.path)).read_bytes() == path.read_bytes(), path
    assert str(tmp_path) not in (again.path / "corpus.json").read_text()


def test_unknown_characters_become_the_unknown_symbol(clean_folder: Path, model: Path, tmp_path: Path) -> None:
    replace(clean_folder, "mono.en.valid.txt", "the ☃ house\n")
    corpus = encode(clean_folder, model, tmp_path / "corpus")
    assert 3 in corpus.mono("en", "valid")[-1]
    assert corpus.manifest["languages"]["en"]["valid"]["unknown_tokens"] == 1
    assert corpus.manifest["languages"]["en"]["train"]["unknown_tokens"] == 0
    assert corpus.manifest["vocabulary"]["unknown_tokens"] == 1


def test_what_cannot_be_encoded_is_named(clean_folder: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.model is no file\n.*train-sentencepiece"):
        encode(clean_folder, tmp_path / "none.model", tmp_path / "corpus")
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"bad\.model is no SentencePiece model"):
        encode(clean_folder, tmp_path / "bad.model", tmp_path / "corpus")
    (clean_folder / "mono.en.valid.txt").write_text("changed by hand\n")
    with pytest.raises(DataError, match=r"mono\.en\.valid\.txt has \d+ bytes, not \d+\n.*clean --overwrite"):
        encode(clean_folder, model, tmp_path / "corpus")
    replace(clean_folder, "mono.en.valid.txt", "the house\n")
    replace(clean_folder, "mono.fr.valid.txt", "")
    with pytest.raises(DataError, match=r"mono\.fr\.valid\.txt is empty"):
        encode(clean_folder, model, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    (clean_folder / "clean.json").unlink()
    with pytest.raises(DataError, match=r"holds no clean\.json"):
        encode(clean_folder, model, tmp_path / "corpus")


def test_a_model_with_sentinels_of_its_own_is_refused(clean_folder: Path, tmp_path: Path) -> None:
    lines = (clean_folder / "mono.en.train.txt").read_text().split("\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(tmp_path / "own"),
        vocab_size=45,
        user_defined_symbols=["<extra_id_0>"],
        minloglevel=2,
    )
    with pytest.raises(DataError, match="has a piece <extra_id_0>"):
        encode(clean_folder, tmp_path / "own.model", tmp_path / "corpus")


def test_control_symbols_of_a_foreign_model_have_no_piece(clean_folder: Path, tmp_path: Path) -> None:
    lines = (clean_folder / "mono.en.train.txt").read_text().split("\n")
    sentencepiece.SentencePieceTrainer.train(  # with <s> and </s>, as most published models have
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "own"), vocab_size=45, minloglevel=2
    )
    corpus = encode(clean_folder, tmp_path / "own.model", tmp_path / "corpus")
    assert corpus.manifest["vocabulary"]["pieces"] == 42
    assert corpus.manifest["settings"]["sentencepiece"] == {}
    assert json.loads((corpus.path / "corpus.json").read_text())["fingerprint"] == corpus.fingerprint
