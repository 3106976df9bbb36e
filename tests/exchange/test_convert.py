"""Weights, settings and vocabulary, there and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import sentencepiece
import torch
import transformers
from click.testing import CliRunner
from fairseq import checkpoint_utils
from fairseq import models as fairseq_models
from fairseq.data import Dictionary
from safetensors.torch import save_file

from fairseq_scaling.cli.convert import main
from fairseq_scaling.data.dictionary import read_symbols
from fairseq_scaling.errors import CheckpointError, DataError
from fairseq_scaling.exchange.convert import from_hf, to_hf
from fairseq_scaling.exchange.settings import from_config

from .samples import OURS, PIECES, TEXT, make_corpus, publish, train_sentencepiece, weights_of

KINDS = ("t5", "t5-v1_1", "mt5", "byt5", "full")


@pytest.fixture(scope="module", params=KINDS)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Return kind, published folder and fairseq checkpoint."""
    folder = tmp_path_factory.mktemp(request.param)
    original = publish(folder / "original", request.param)
    return request.param, original, from_hf(original, folder / "ours" / "model.pt").out


def test_there_and_back_every_tensor_is_the_same_bit_for_bit(converted: tuple[str, Path, Path], tmp_path: Path) -> None:
    _, original, checkpoint = converted
    back = to_hf(checkpoint, tmp_path / "back").out
    before, after = weights_of(original), weights_of(back)
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    for name in ("config.json", "generation_config.json"):
        assert json.loads((back / name).read_text()) == json.loads((original / name).read_text())


def test_fairseq_opens_it_and_computes_what_transformers_computes(converted: tuple[str, Path, Path]) -> None:
    kind, original, checkpoint = converted
    symbols = read_symbols(checkpoint.parent / "dict.txt")
    dictionary = Dictionary.load(str(checkpoint.parent / "dict.txt"))
    assert dictionary.symbols == symbols
    task = SimpleNamespace(
        source_dictionary=dictionary, target_dictionary=dictionary, load_state_dict=lambda state: None,
        build_model=lambda cfg, from_checkpoint: fairseq_models.build_model(cfg, task, from_checkpoint),
    )  # fmt: skip
    (model,), _ = checkpoint_utils.load_model_ensemble([str(checkpoint)], task=task)
    model.eval()
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(original).eval()
    rows = torch.load(checkpoint, weights_only=True)["task_state"]["fairseq_scaling"]["huggingface"]["rows"]

    generator = torch.Generator().manual_seed(1)
    source = torch.randint(3, len(rows), (3, 12), generator=generator)
    target = torch.randint(3, len(rows), (3, 7), generator=generator)
    source[1, 8:] = 0
    expected = theirs(
        input_ids=source,
        attention_mask=source.ne(0).long(),
        decoder_input_ids=torch.cat((torch.zeros(3, 1, dtype=torch.long), target[:, :-1]), dim=1),
    ).logits
    # fairseq starts with </s>; the checkpoint knows that this model starts with <pad>
    previous = torch.cat((torch.full((3, 1), dictionary.eos()), rows[target[:, :-1]]), dim=1)
    logits = model(rows[source], None, previous)[0]
    # In float32, as in tests/models/test_parity.py.
    torch.testing.assert_close(logits[:, :, rows], expected, rtol=0, atol=1e-4)
    assert logits.shape[-1] == len(rows) + (kind == "full")
    # one token at a time, as fairseq-generate does
    encoder_out, state, steps = model.encoder(rows[source]), {}, []
    for length in range(1, 8):
        steps.append(model.decoder(previous[:, :length], encoder_out, incremental_state=state)[0])
    torch.testing.assert_close(torch.cat(steps, dim=1), logits, rtol=0, atol=1e-4)


def test_encoded_text_has_the_numbers_of_the_models_own_tokenizer(
    converted: tuple[str, Path, Path], tmp_path: Path
) -> None:
    kind, original, checkpoint = converted
    ours = checkpoint.parent
    corpus = make_corpus(tmp_path, ours / "sentencepiece.model", ours / "dict.txt")
    symbols = read_symbols(ours / "dict.txt")
    assert read_symbols(corpus.dictionary_path) == symbols
    assert corpus.manifest["vocabulary"]["size"] == len(symbols)
    rows = torch.load(checkpoint, weights_only=True)["task_state"]["fairseq_scaling"]["huggingface"]["rows"].tolist()
    if kind == "byt5":
        numbers = transformers.ByT5Tokenizer()
    else:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(original / "spiece.model"))
    tokens, _ = corpus.pair("aa", "bb", "test")
    for line, sentence in zip(corpus.source_text("aa", "bb", "test").read_text().splitlines(), tokens, strict=True):
        theirs = numbers(line)["input_ids"] if kind == "byt5" else [*processor.encode(line), 1]
        assert sentence.tolist() == [rows[number] for number in theirs]


def test_special_tokens_keep_their_meaning_and_their_rows(converted: tuple[str, Path, Path]) -> None:
    kind, original, checkpoint = converted
    symbols = read_symbols(checkpoint.parent / "dict.txt")
    model = torch.load(checkpoint, weights_only=True)["model"]
    embedding, before = model["encoder.embed_tokens.weight"], weights_of(original)["shared.weight"]
    places = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    if kind == "mt5":  # its SentencePiece model has them, with a space before the name
        model_file = sentencepiece.SentencePieceProcessor(model_file=str(original / "spiece.model"))
        places |= {f"<extra_id_{number}>": model_file.piece_to_id(f"\u2581<extra_id_{number}>") for number in (0, 99)}
    elif kind != "byt5":  # the first sentinel has the last id
        places |= {"<extra_id_0>": PIECES + 99, "<extra_id_99>": PIECES}
    for symbol, row in places.items():
        assert torch.equal(embedding[symbols.index(symbol)], before[row]), symbol
    assert sum(symbol.startswith("<extra_id_") for symbol in symbols) == (124 if kind == "byt5" else 100)
    # fairseq's <s>: the last row, which has no token, or where there is none a copy of that of <pad>
    assert torch.equal(embedding[0], before[0 if kind == "full" else -1])


def test_tokenizer_written_for_transformers_gives_the_rows_of_the_original(
    converted: tuple[str, Path, Path], tmp_path: Path
) -> None:
    kind, _, checkpoint = converted
    tokenizer = transformers.AutoTokenizer.from_pretrained(to_hf(checkpoint, tmp_path / "back").out)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(checkpoint.parent / "sentencepiece.model"))
    for line in TEXT[::10]:
        assert tokenizer(line)["input_ids"] == [*processor.encode(line), 1]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    if kind in ("t5", "t5-v1_1", "full"):
        assert tokenizer("<extra_id_0>")["input_ids"] == [PIECES + 99, 1]


def test_shards_and_a_bfloat16_model_keep_their_numbers(tmp_path: Path) -> None:
    original = publish(tmp_path / "original", "t5-v1_1")
    weights = {name: tensor.bfloat16() for name, tensor in weights_of(original).items()}
    (original / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, inside in shards.items():
        save_file({name: weights[name] for name in inside}, original / file)
    index = {"weight_map": {name: file for file, inside in shards.items() for name in inside}}
    (original / "model.safetensors.index.json").write_text(json.dumps(index))
    after = weights_of(to_hf(from_hf(original, tmp_path / "ours/x.pt").out, tmp_path / "back").out)
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    (original / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors is missing"):
        from_hf(original, tmp_path / "ours/y.pt", overwrite=True)


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint = from_hf(publish(tmp_path / "original", "t5"), tmp_path / "ours/model.pt").out
    text = (tmp_path / "ours/dict.txt").read_text()
    symbols = text.splitlines(keepends=True)
    (tmp_path / "ours/dict.txt").write_text("".join([symbols[1], symbols[0], *symbols[2:]]))
    with pytest.raises(
        CheckpointError, match="another dictionary: as many symbols, but others or in another order; sha"
    ):
        to_hf(checkpoint, tmp_path / "back")
    (tmp_path / "ours/dict.txt").unlink()
    with pytest.raises(CheckpointError, match=r"no dict\.txt and sentencepiece\.model in .*\n.*--corpus DIR"):
        to_hf(checkpoint, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    other = train_sentencepiece(tmp_path / "other.model", **OURS)
    (tmp_path / "ours/dict.txt").write_text(text.replace(symbols[0], "zzz 1\n"))
    with pytest.raises(DataError, match=r"dict\.txt lacks \d+ of the \d+ pieces of .*\n.*one and the same checkpoint"):
        make_corpus(tmp_path / "corpus", other, tmp_path / "ours/dict.txt")


def spoil(folder: Path, how: str) -> None:
    """Make one thing wrong in a model folder."""
    config = json.loads((folder / "config.json").read_text())
    weights = weights_of(folder)
    if how == "no config":
        (folder / "config.json").unlink()
        return
    if how == "cut":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "no sentencepiece":
        (folder / "spiece.model").unlink()
    elif how == "bad sentencepiece":
        (folder / "spiece.model").write_bytes(b"no model")
    elif how == "embeddings":
        copy = {"encoder.embed_tokens.weight": weights["shared.weight"] + 1}
        save_file(weights | copy, folder / "model.safetensors")
    else:
        setting, _, value = how.partition("=")
        config[setting] = json.loads(value)
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("no config", r"holds no config\.json: .*\n  give the folder"),
        ("cut", r"model\.safetensors cannot be read: "),
        ("no weights", r"holds neither model\.safetensors nor pytorch_model\.bin, but .*\n  download"),
        ("no sentencepiece", r"holds neither spiece\.model nor tokenizer\.json: .*\n.*--sentencepiece FILE"),
        ("bad sentencepiece", r"is no SentencePiece model"),
        ("embeddings", r"encoder\.embed_tokens\.weight is not the same as shared\.weight"),
        ('model_type="umt5"', r"another architecture, umt5\n.*T5, mT5, ByT5"),
        ('model_type="bart"', r"another architecture, bart"),
        ('feed_forward_proj="gated-silu"', r"feed_forward_proj is 'gated-silu', not one of relu"),
        ("tie_word_embeddings=true", r'another output layer\n.*"tie_word_embeddings": false'),
        ("d_kv=8", r"weight decoder\.layers\.0\.attention\.\w has the shape \(.*\), in the model it has \("),
        ("pad_token_id=9999", r"pad_token_id is 9999, which is no row"),
        ("decoder_start_token_id=-1", r"decoder_start_token_id is -1"),
    ],
)
def test_what_cannot_be_converted_is_named_and_nothing_is_written(tmp_path: Path, how: str, complaint: str) -> None:
    original = publish(tmp_path / "original", "t5-v1_1")
    spoil(original, how)
    result = CliRunner().invoke(main, ["from-hf", str(original), "--out", str(tmp_path / "ours/model.pt")])
    assert result.exit_code == 2
    assert re.search(complaint, result.output), result.output
    assert not [path for path in tmp_path.glob("ours/*") if path.is_file()]


def test_checkpoints_that_are_no_t5_are_refused(tmp_path: Path) -> None:
    def refused(content: object) -> str:
        torch.save(content, tmp_path / "model.pt")
        result = CliRunner().invoke(main, ["to-hf", str(tmp_path / "model.pt"), "--out", str(tmp_path / "out")])
        assert result.exit_code == 2
        assert not (tmp_path / "out").exists()
        return result.output

    weights = {"encoder.embed_tokens.weight": torch.zeros(9, 4)}
    output = refused({"cfg": {"model": {"_name": "transformer"}}, "model": weights})
    assert re.search(r"holds a model of the architecture transformer, not a T5\n.*t5_tiny", output)
    assert "is no fairseq checkpoint: it holds no model" in refused({"weights": 1})
    code = refused({"model": {}, "cfg": SimpleNamespace(a=1)})
    assert "holds more than data (types.SimpleNamespace): opening it could run any code, so it is not opened" in code
    impossible = {"_name": "t5_tiny", "d_model": "wide"}
    assert "has impossible settings of the model" in refused({"cfg": {"model": impossible}, "model": weights})
    assert "has the shape" in refused({"cfg": {"model": {"_name": "t5_tiny"}}, "model": weights})
    (tmp_path / "model.pt").write_bytes(b"nothing")
    result = CliRunner().invoke(main, ["to-hf", str(tmp_path / "model.pt"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "cannot be read as a fairseq checkpoint" in result.output


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    original = publish(tmp_path / "original", "t5")
    command = ["from-hf", str(original), "--out", str(tmp_path / "ours/model.pt")]
    first = CliRunner().invoke(main, command)
    assert first.exit_code == 0, first.output
    assert re.search(r"--arch t5 --d-model 24 --d-kv 5 .*--output-layer tied .*--decoder-start '<pad>'", first.output)
    before = (tmp_path / "ours/model.pt").read_bytes()
    second = CliRunner().invoke(main, command)
    assert second.exit_code == 2
    assert "model.pt: exists\n  give --overwrite" in second.output
    assert (tmp_path / "ours/model.pt").read_bytes() == before
    third = CliRunner().invoke(main, [*command, "--overwrite"])
    assert third.exit_code == 0
    (tmp_path / "back").mkdir()
    (tmp_path / "back/notes.txt").write_text("mine")
    to = ["to-hf", str(tmp_path / "ours/model.pt"), "--out", str(tmp_path / "back")]
    assert CliRunner().invoke(main, to).exit_code == 2
    result = CliRunner().invoke(main, [*to, "--overwrite"])
    assert (result.exit_code, "holds other files, for example notes.txt" in result.output) == (2, True)
    (tmp_path / "back/notes.txt").unlink()
    assert CliRunner().invoke(main, to).exit_code == 0
    assert CliRunner().invoke(main, [*to, "--overwrite"]).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "original", "ours"]
    assert len(list((tmp_path / "ours").iterdir())) == 3


def test_a_sentencepiece_model_can_lie_elsewhere(tmp_path: Path) -> None:
    original = publish(tmp_path / "original", "t5")
    (original / "spiece.model").rename(tmp_path / "published.model")
    command = ["from-hf", str(original), "--out", str(tmp_path / "ours/model.pt")]
    result = CliRunner().invoke(main, [*command, "--sentencepiece", str(tmp_path / "published.model")])
    assert result.exit_code == 0, result.output
    found = (tmp_path / "ours/sentencepiece.model").read_bytes()
    assert found == (tmp_path / "published.model").read_bytes()


@pytest.mark.parametrize(
    ("changes", "tied"),
    [
        ({}, True),  # T5 v1.0, as transformers 4 wrote it
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),  # T5 v1.1, as transformers 5 writes it
        ({"model_type": "mt5", "tie_word_embeddings": True, "transformers_version": "5.1.0"}, False),
        ({"model_type": "mt5", "tie_word_embeddings": False}, False),
    ],
)
def test_both_ways_to_say_that_the_output_is_scaled_are_understood(changes: dict[str, object], tied: bool) -> None:
    settings = from_config({"model_type": "t5", **changes}, separate_head=not tied)
    assert settings["output_layer"] == ("tied" if tied else "untied")
