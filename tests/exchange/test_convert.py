"""Weights, settings and vocabulary, there and back."""

from __future__ import annotations

import json
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
from fairseq_scaling.errors import CheckpointError
from fairseq_scaling.exchange.convert import from_hf, to_hf
from fairseq_scaling.exchange.vocabulary import read_symbols

from .samples import OURS, PIECES, TEXT, make_corpus, publish, train_sentencepiece, weights_of

KINDS = ("t5", "t5-v1_1", "mt5", "byt5", "full")


@pytest.fixture(scope="module", params=KINDS)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Return kind, published folder and fairseq checkpoint."""
    folder = tmp_path_factory.mktemp(request.param)
    original = publish(folder / "original", request.param)
    return request.param, original, from_hf(original, folder / "ours" / "model.pt").out


def test_there_and_back_every_tensor_is_the_same_bit_for_bit(
    converted: tuple[str, Path, Path], tmp_path: Path
) -> None:
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
    kind, original, checkpoint = converted
    tokenizer = transformers.AutoTokenizer.from_pretrained(to_hf(checkpoint, tmp_path / "back").out)
    model = "sentencepiece.model"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(checkpoint.parent / model))
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
