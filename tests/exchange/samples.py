"""Small models with random weights, in folders as T5, mT5 and ByT5 are published."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file

from fairseq_scaling.data.corpus import Corpus
from preprocess.encode import encode
from tests import toy

TEXT = [line for language in ("aa", "bb") for line in toy.sentences(language, 300)]
SIZES = {"d_model": 24, "d_kv": 5, "d_ff": 20, "num_heads": 3, "num_layers": 2, "num_decoder_layers": 1}
"""d_kv is not d_model / num_heads"""
PIECES = 50

T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
MT5 = T5 | {
    "byte_fallback": True,
    "vocab_size": 405,
    "user_defined_symbols": [f"\u2581<extra_id_{number}>" for number in reversed(range(100))],
}
OURS = {"unk_id": 0, "bos_id": -1, "eos_id": -1, "pad_id": -1, "normalization_rule_name": "identity"}


def train_sentencepiece(path: Path, **settings: Any) -> Path:
    """Train a SentencePiece model on the toy text."""
    model = io.BytesIO()
    settings = {"vocab_size": PIECES, "num_threads": 1, "minloglevel": 2} | settings
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXT), model_writer=model, **settings)
    path.write_bytes(model.getvalue())
    return path


def publish(folder: Path, kind: str) -> Path:
    """Write a model folder: ``t5`` (v1.0, tied), ``t5-v1_1`` (untied, gated), ``mt5``, ``byt5`` or ``full``.

    ``full`` is a T5 v1.0 without rows to spare. The configuration is written as transformers 4 wrote it.
    """
    folder.mkdir(parents=True)
    rows = {"mt5": 417, "byt5": 384, "full": PIECES + 100}.get(kind, PIECES + 128)
    gated = kind not in ("t5", "full")
    config = {
        "architectures": ["MT5ForConditionalGeneration" if kind == "mt5" else "T5ForConditionalGeneration"],
        "model_type": "mt5" if kind == "mt5" else "t5",
        "vocab_size": rows,
        **SIZES,
        "relative_attention_num_buckets": 16,
        "relative_attention_max_distance": 50,
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "tie_word_embeddings": not gated,
        "is_encoder_decoder": True,
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-5,
        "initializer_factor": 1.0,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": 0, "max_new_tokens": 9}))
    torch.manual_seed(len(kind))
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**config))
    weights = {name: torch.randn(tensor.shape) * 0.3 for name, tensor in model.state_dict().items()}
    for name in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", *([] if gated else ["lm_head.weight"])):
        del weights[name]  # copies of shared.weight
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if kind == "byt5":
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
        return folder
    train_sentencepiece(folder / "spiece.model", **(MT5 if kind == "mt5" else T5))
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0 if kind == "mt5" else 100}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a model folder."""
    return load_file(folder / "model.safetensors")


def make_corpus(folder: Path, model: Path, dictionary: Path | None, lines: int = 60) -> Corpus:
    """Make a corpus folder of toy sentences with a given model and dictionary."""
    clean = folder / "clean"
    clean.mkdir(parents=True)
    languages: dict[str, dict[str, int]] = {}
    for language in ("aa", "bb"):
        languages[language] = {"train": lines, "valid": 10}
        for number, (split, count) in enumerate({"train": lines, "valid": 10, "test": 10}.items()):
            text = "".join(f"{line}\n" for line in toy.sentences(language, count, seed=number))
            (clean / f"pairs.aa-bb.{split}.{language}.txt").write_text(text)
            if split != "test":
                (clean / f"mono.{language}.{split}.txt").write_text(text)
    manifest = {
        "format": 2, "languages": languages, "pairs": {"aa-bb": {"train": lines, "valid": 10, "test": 10}},
        "test_sets": {}, "text": {}, "files": {}, "sources": [], "filters": {}, "settings": {},
    }  # fmt: skip
    (clean / "clean.json").write_text(json.dumps(manifest))
    return encode(clean, model, folder / "corpus", dictionary=dictionary)


OLD_BIAS = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
LAYOUTS = (
    "bin", "bin of 2019", "bin in shards", "safetensors in shards", "of 2020", "copies of the embedding",
    "embedding of the decoder alone", "float16", "bfloat16", "no model_type", "T5Model", "sequence classification",
    "data parallel", "tokenizer.json alone",
)  # fmt: skip
"""How a T5 has been published, from 2019 to 2026; transformers opens all of them but ``data parallel``."""


def lay_out_anew(folder: Path, layout: str) -> None:
    """Rewrite a model folder of ``publish`` in another layout."""
    weights, config = weights_of(folder), json.loads((folder / "config.json").read_text())
    (folder / "model.safetensors").unlink()
    if layout == "of 2020":
        # As the configuration of t5-small was: the settings of today's architectures are missing.
        for name in ("feed_forward_proj", "tie_word_embeddings", "relative_attention_max_distance"):
            config.pop(name)
        config |= {"n_positions": 512, "output_past": True, "task_specific_params": {"summarization": {"num_beams": 4}}}
        config["architectures"] = ["T5WithLMHeadModel"]
        weights |= {OLD_BIAS: torch.zeros(16, 3)}
    if layout in ("of 2020", "copies of the embedding"):
        names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
        weights = dict.fromkeys(names, weights["shared.weight"]) | weights
    elif layout == "embedding of the decoder alone":
        weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    elif layout in ("float16", "bfloat16"):
        # transformers keeps wo in single precision
        kept = torch.float32 if layout == "float16" else torch.bfloat16
        weights = {
            name: tensor.to(kept if name.endswith("wo.weight") else getattr(torch, layout))
            for name, tensor in weights.items()
        }
        config["torch_dtype"] = layout
    elif layout == "no model_type":
        del config["model_type"]
    elif layout == "T5Model":
        config["architectures"] = ["T5Model"]
    elif layout == "sequence classification":
        config["architectures"] = ["T5ForSequenceClassification"]
        weights = {f"transformer.{name}": tensor for name, tensor in weights.items()}
        weights |= {"classification_head.dense.weight": torch.zeros(24, 24)}
    elif layout == "data parallel":
        weights = {f"module.{name}": tensor for name, tensor in weights.items()}
    elif layout == "tokenizer.json alone":
        transformers.T5Tokenizer.from_pretrained(folder).save_pretrained(folder)
        (folder / "spiece.model").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    save_weights(folder, weights, layout)


def save_weights(folder: Path, weights: dict[str, torch.Tensor], layout: str) -> None:
    """Write the weights, as a pickle unless the layout says safetensors, and in two shards if it says so."""
    safe = "safetensors" in layout
    ending = "safetensors" if safe else "bin"

    def save(part: dict[str, torch.Tensor], name: str) -> None:
        if safe:
            save_file(part, folder / name)
        else:
            torch.save(part, folder / name, _use_new_zipfile_serialization="2019" not in layout)

    if "shards" not in layout:
        save(weights, "model.safetensors" if safe else "pytorch_model.bin")
        return
    names, stem = sorted(weights), "model" if safe else "pytorch_model"
    shards = {f"{stem}-0000{number}-of-00002.{ending}": names[number - 1 :: 2] for number in (1, 2)}
    for name, inside in shards.items():
        save({weight: weights[weight] for weight in inside}, name)
    index = {"metadata": {}, "weight_map": {weight: name for name, inside in shards.items() for weight in inside}}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))
