"""A SentencePiece model as ``tokenizer.json``, the format of Hugging Face's tokenizers, with ids of one's choice.

Hugging Face's own conversion numbers the tokens as SentencePiece does; a fairseq dictionary has other ids. The steps
of SentencePiece are spelled out here: its rules for characters, runs of spaces to one, a space before the text, and
the model. Three things differ, as they do in Hugging Face's own conversions: the names of special tokens are these
tokens where they stand in a text; the library drops an accent that follows a character which ``nmt_nfkc`` replaces
(models made here have no such rules); and of two equally probable ways to cut a word (``oo o``, ``o oo``) SentencePiece
takes one by the rounding of its sums.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from ..data.dictionary import IS_SENTINEL, IS_TAG, SPECIALS, symbol_of
from ..errors import CheckpointError
from .sentencepiece_file import BPE, BYTE, NORMAL, UNIGRAM, UNKNOWN, USER_DEFINED

_SPACE = "\u2581"


def tokenizer_json(symbols: Sequence[str], model: Any) -> dict[str, Any]:
    """Return the content of ``tokenizer.json``.

    Args:
        symbols: fairseq's symbols in the order of the ids wanted.
        model: whose pieces they are; see ``sentencepiece_file``.

    Raises:
        CheckpointError: the model is neither unigram nor bpe, or marks words at their end.
    """
    trainer = model.trainer_spec
    if trainer.model_type not in (UNIGRAM, BPE) or trainer.treat_whitespace_as_suffix:
        raise CheckpointError(
            "the SentencePiece model is neither unigram nor bpe, or has spaces behind the words: it has no "
            "tokenizer.json\n  take another model: transformers opens no such one"
        )
    tokens = _tokens(symbols, model)
    numbers = {token: number for number, token in enumerate(tokens)}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True,
            }
            for token, number in numbers.items()
            if is_special(token)
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model)},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [numbers["</s>"]], "tokens": ["</s>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": _decoders(model)},
        "model": _unigram(tokens, model) if trainer.model_type == UNIGRAM else _bpe(numbers, model),
    }  # fmt: skip


def tokenizer_config(symbols: Sequence[str]) -> dict[str, Any]:
    """Return the content of ``tokenizer_config.json``: which class reads ``tokenizer.json``, and the special tokens."""
    more = [symbol for symbol in symbols if is_special(symbol) and symbol not in SPECIALS]
    return {
        # The one class, in transformers 4 and 5, that takes tokenizer.json as it is; T5's own expects T5's ids.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "additional_special_tokens": more,
        "clean_up_tokenization_spaces": False,
    }


def is_special(token: str) -> bool:
    """Whether a token is never made from text: fairseq's special symbols, language tags and sentinels."""
    return token in SPECIALS or bool(IS_TAG.fullmatch(token) or IS_SENTINEL.fullmatch(token))


def _tokens(symbols: Sequence[str], model: Any) -> list[str]:
    """Return the symbols, those of the model under the model's own names."""
    known = set(symbols)
    own = {symbol_of(piece.piece, known): piece.piece for piece in model.pieces if piece.type != UNKNOWN}
    return [own.get(symbol, symbol) for symbol in symbols]


def _unigram(tokens: Sequence[str], model: Any) -> dict[str, Any]:
    normal = [piece.score for piece in model.pieces if piece.type == NORMAL] or [0.0]
    # What no text must be cut into has the lowest score there is; a lower one would lower that of unknown characters.
    scores = dict.fromkeys(tokens, min(normal))
    for piece in model.pieces:
        if piece.type == NORMAL:
            scores[piece.piece] = piece.score
        elif piece.type == USER_DEFINED:
            # as in SentencePiece (unigram_model.cc): such a piece wins against all that could stand there
            scores[piece.piece] = len(piece.piece.encode()) * max(normal) - 0.1
    return {
        "type": "Unigram",
        "unk_id": tokens.index("<unk>"),
        "vocab": [[token, scores[token]] for token in tokens],
        "byte_fallback": model.trainer_spec.byte_fallback,
    }


def _bpe(numbers: dict[str, int], model: Any) -> dict[str, Any]:
    made = [piece for piece in model.pieces if piece.type in (NORMAL, USER_DEFINED) and piece.piece in numbers]
    texts = {piece.piece for piece in made}
    merges = [
        [piece.piece[:cut], piece.piece[cut:]]
        for piece in sorted(made, key=lambda piece: -piece.score)
        for cut in range(1, len(piece.piece))
        if piece.piece[:cut] in texts and piece.piece[cut:] in texts
    ]
    return {
        "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": model.trainer_spec.byte_fallback,
        "ignore_merges": False, "vocab": numbers, "merges": merges,
    }  # fmt: skip


def _normalizers(model: Any) -> list[dict[str, Any]]:
    rules = model.normalizer_spec
    steps: list[dict[str, Any]] = []
    if rules.precompiled_charsmap:
        charsmap = base64.b64encode(rules.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if rules.remove_extra_whitespaces:
        steps += [_replace({"Regex": "^ +| +$"}, ""), _replace({"Regex": " +"}, " ")]
    space = _SPACE if rules.escape_whitespaces else " "
    if rules.escape_whitespaces:
        steps.append(_replace({"String": " "}, _SPACE))
    if rules.remove_extra_whitespaces and rules.escape_whitespaces:
        steps.append(_replace({"Regex": f"{_SPACE}+$"}, ""))
    if rules.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": space})
    return steps


def _decoders(model: Any) -> list[dict[str, Any]]:
    rules = model.normalizer_spec
    steps: list[dict[str, Any]] = []
    if rules.escape_whitespaces:
        steps.append(_replace({"String": _SPACE}, " "))
    if any(piece.type == BYTE for piece in model.pieces):
        steps.append({"type": "ByteFallback"})
    steps.append({"type": "Fuse"})
    if rules.add_dummy_prefix:
        # fairseq strips its translations on both sides
        steps.append(_replace({"Regex": "^ +| +$"}, ""))
    return steps


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def token_names(content: dict[str, Any]) -> dict[int, str]:
    """Return id -> token of a ``tokenizer.json``."""
    vocab = content["model"]["vocab"]
    names = (
        {number: token for token, number in vocab.items()}
        if isinstance(vocab, dict)
        else {number: entry[0] for number, entry in enumerate(vocab)}
    )
    return names | {entry["id"]: entry["content"] for entry in content.get("added_tokens") or []}
