"""Both ways: a Hugging Face model folder to a fairseq checkpoint with its vocabulary, and back."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..data.dictionary import DICTIONARY_FILE, SENTENCEPIECE_FILE, read_symbols
from ..errors import CheckpointError, DataError
from ..json_file import write_json
from ..models.huggingface import COPIES, from_huggingface, ignored_weights, to_huggingface
from ..whole_files import check_free, replaced
from .checkpoint import FairseqCheckpoint, check_weights, complete_settings, read_checkpoint, write_checkpoint
from .folder import SENTENCEPIECE, WRITTEN, ModelFolder, saving
from .sentencepiece_file import UNKNOWN, byte_model, model_of_tokenizer, read_sentencepiece
from .settings import from_config, generation_config, to_config, train_flags
from .tokenizer import tokenizer_config, tokenizer_json
from .vocabulary import Layout, lay_out, row_order, write_symbols
from .weights import WEIGHTS, check_numbers, read_weights

_EMBEDDINGS = ("shared.weight", "lm_head.weight")


@dataclass(frozen=True)
class Converted:
    """What a conversion has written.

    Attributes:
        out: the checkpoint, or the folder.
        settings: of the model, under the names of ``T5Config``.
        flags: of fairseq-train, that build the model.
        rows: of the embedding, in fairseq.
        spare: of them without a token.
        dtypes: precision -> number of weights stored in it.
        ignored: weights of the folder that T5 does not use; transformers leaves them out too.
        notes: what else should be known of the conversion.
    """

    out: Path
    settings: dict[str, Any]
    flags: list[str]
    rows: int
    spare: int
    dtypes: Mapping[str, int] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    notes: Sequence[str] = ()


def from_hf(folder: Path, out: Path, sentencepiece: Path | None = None, overwrite: bool = False) -> Converted:
    """Write the fairseq checkpoint ``out``, and ``dict.txt`` and ``sentencepiece.model`` beside it.

    Args:
        folder: the model as transformers saves it: safetensors or ``pytorch_model.bin``, whole or in shards.
        sentencepiece: its SentencePiece model, where the folder has neither that nor a ``tokenizer.json``.

    Raises:
        CheckpointError: it is not a T5, mT5 or ByT5, files are missing or damaged, or weights are not numbers; nothing
            is written.
        SettingError: ``out``, or a file that is written beside it, exists.
    """
    paths = [out, out.parent / DICTIONARY_FILE, out.parent / SENTENCEPIECE_FILE]
    for path in paths:
        check_free(path, (), overwrite)
    source = ModelFolder(folder)
    from_config(source.config, separate_head=False)  # names another architecture before gigabytes are read
    model_bytes = _sentencepiece_of(source, sentencepiece)
    notes: list[str] = []
    with replaced(*paths) as parts:
        parts[2].write_bytes(model_bytes)
        model = read_sentencepiece(parts[2])
        found = read_weights(source)
        check_numbers(found.tensors, folder)
        weights, copies = _without_copies(found.tensors, folder)
        settings = from_config(source.config, separate_head="lm_head.weight" in weights)
        layout, start = _layout(source, model, len(weights["shared.weight"]))
        settings = complete_settings(settings | {"decoder_start": start})
        tied = settings["output_layer"] == "tied"
        if not tied and "lm_head.weight" not in weights:
            weights["lm_head.weight"] = weights["shared.weight"]
            if "lm_head.weight" not in copies:
                notes.append("the model has no output layer: the embedding takes its place, as in transformers 5")
        order = torch.tensor(layout.sources)
        weights |= {name: weights[name][order] for name in _EMBEDDINGS if name in weights}
        ours = from_huggingface(weights, tied=tied)
        check_weights(ours, settings, len(layout.symbols), folder)
        origin = {
            "config": source.config,
            "generation_config": source.json("generation_config.json"),
            "rows": torch.tensor(layout.rows()),
            "copies": copies,
            "names": sorted(found.tensors),
        }
        write_checkpoint(parts[0], ours, settings, layout.symbols, origin)
        write_symbols(parts[1], layout.symbols)
    spare = sum(symbol.startswith("madeupword") for symbol in layout.symbols)
    ignored = ignored_weights(found.tensors)
    flags = train_flags(settings)
    return Converted(out, settings, flags, len(layout.symbols), spare, found.dtypes, ignored, notes)


def to_hf(checkpoint: Path, out: Path, corpus: Path | None = None, overwrite: bool = False) -> Converted:
    """Write the folder ``out``, which transformers opens: model, tokenizer and settings of generation.

    Args:
        checkpoint: of a T5 of this project, from any of its tasks or from ``from_hf``.
        corpus: a folder with the model's ``dict.txt`` and ``sentencepiece.model``. By default the checkpoint's own
            folder if they are there, else the corpus that it says it was trained on.

    Raises:
        CheckpointError: it is not a T5, or the dictionary is another; nothing is written.
        SettingError: ``out`` is not empty.
    """
    check_free(out, WRITTEN, overwrite)
    source = read_checkpoint(checkpoint)
    vocabulary = _vocabulary_of(source, corpus)
    symbols = read_symbols(vocabulary / DICTIONARY_FILE)
    source.check(symbols, vocabulary)
    model_file = vocabulary / SENTENCEPIECE_FILE
    model = read_sentencepiece(model_file)
    origin = source.task_state.get("huggingface")
    rows = origin["rows"].tolist() if origin else row_order(symbols, model)
    weights = to_huggingface(source.weights)
    order = torch.tensor(rows)
    weights |= {name: weights[name][order] for name in _EMBEDDINGS if name in weights}
    if origin:
        weights |= {name: weights["shared.weight"].clone() for name in origin["copies"]}
        weights = {name: tensor for name, tensor in weights.items() if name in origin["names"]}
    tokens = [symbols[number] for number in rows]
    config, generation = _configs(source, tokens, weights["shared.weight"])
    with replaced(out) as (part,):
        part.mkdir()
        write_json(part / "config.json", config)
        if generation:
            write_json(part / "generation_config.json", generation)
        write_json(part / "tokenizer.json", tokenizer_json(tokens, model))
        write_json(part / "tokenizer_config.json", tokenizer_config(tokens))
        shutil.copyfile(model_file, part / SENTENCEPIECE)
        whole = {name: tensor.contiguous() for name, tensor in weights.items()}
        with saving(out):
            save_file(whole, part / WEIGHTS, metadata={"format": "pt"})
    spare = sum(symbol.startswith("madeupword") for symbol in tokens)
    return Converted(out, source.settings, train_flags(source.settings), len(symbols), spare)


def _without_copies(weights: dict[str, Tensor], folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights with the embedding under one name, and the names under which it stood besides."""
    # Of a weight with several names safetensors keeps one, not always the same.
    name = next((name for name in ("shared.weight", *COPIES) if name in weights), None)
    shared = weights[name] if name else None
    if shared is None:
        raise CheckpointError(f"{folder} has no weight shared.weight; is it a T5, mT5 or ByT5?")
    for name in COPIES:
        if not torch.equal(weights.get(name, shared), shared):
            raise CheckpointError(f"{folder}: {name} is not the same as shared.weight; T5 has one embedding")
    copies = [name for name in (*COPIES, "lm_head.weight") if name in weights and torch.equal(weights[name], shared)]
    return {name: tensor for name, tensor in weights.items() if name not in copies} | {"shared.weight": shared}, copies


def _sentencepiece_of(source: ModelFolder, given: Path | None) -> bytes:
    """Return the SentencePiece model of a folder: its file, ByT5's, or the one that ``tokenizer.json`` was made of."""
    path = given or source.sentencepiece_path()
    if path is not None:
        read_sentencepiece(path)  # names a file that is no such model
        return path.read_bytes()
    if source.is_byte_level():
        return byte_model()
    if tokenizer := source.json("tokenizer.json"):
        return model_of_tokenizer(tokenizer, source.path / "tokenizer.json")
    raise DataError(
        f"{source.path} holds neither {SENTENCEPIECE} nor tokenizer.json: without them no text can be encoded\n"
        "  take the one of the published model and give it with --sentencepiece FILE"
    )


def _layout(source: ModelFolder, model: Any, rows: int) -> tuple[Layout, str]:
    """Return the vocabulary, and the symbol that a translation starts with."""
    config = source.config
    names = source.token_names(model, rows)
    pad, eos = config.get("pad_token_id", 0), config.get("eos_token_id", 1)
    eos = eos[0] if isinstance(eos, list) else eos
    unknown = next((piece.piece for piece in model.pieces if piece.type == UNKNOWN), "<unk>")
    unk = next((row for row, name in names.items() if name == unknown), None)
    for name, row in (("pad_token_id", pad), ("eos_token_id", eos), (f"the token {unknown}", unk)):
        if not isinstance(row, int) or not 0 <= row < rows:
            raise CheckpointError(f"{source.path}: {name} is {row}, which is no row of the embedding (0 to {rows - 1})")
    assert unk is not None
    layout = lay_out(rows, names, pad, eos, unk)
    start = config.get("decoder_start_token_id")
    if start is None:  # transformers 5 writes it into the other file
        start = source.json("generation_config.json").get("decoder_start_token_id")
    start = pad if start is None else start
    if not 0 <= start < rows:
        raise CheckpointError(f"config.json: decoder_start_token_id is {start}, which is no row of the embedding")
    return layout, layout.symbols[layout.rows()[start]]


def _vocabulary_of(source: FairseqCheckpoint, given: Path | None) -> Path:
    """Return the folder with the checkpoint's ``dict.txt`` and ``sentencepiece.model``."""
    folders = [given] if given is not None else [source.path.parent, *([source.data] if source.data else [])]
    for folder in folders:
        if (folder / DICTIONARY_FILE).is_file() and (folder / SENTENCEPIECE_FILE).is_file():
            return folder
    raise CheckpointError(
        f"no {DICTIONARY_FILE} and {SENTENCEPIECE_FILE} in {' or '.join(map(str, folders))}\n"
        "  give the corpus folder that the model was trained on: --corpus DIR"
    )


def _configs(source: FairseqCheckpoint, tokens: list[str], embedding: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ``config.json`` and ``generation_config.json``: those it came with, else made from the settings."""
    origin = source.task_state.get("huggingface")
    if origin:
        return origin["config"], origin["generation_config"]
    pad, eos = tokens.index("<pad>"), tokens.index("</s>")
    start = tokens.index(source.settings["decoder_start"])
    dtype = str(embedding.dtype).removeprefix("torch.")
    config = to_config(source.settings, len(tokens), pad, eos, start, dtype)
    return config, generation_config(pad, eos, start)
