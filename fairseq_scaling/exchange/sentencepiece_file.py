"""SentencePiece model files, read and written with the protocol buffer that the sentencepiece package ships.

Its ``SentencePieceProcessor`` shows neither the rules of normalisation nor all kinds of pieces.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ..data.dictionary import IS_SENTINEL, SPACE
from ..errors import CheckpointError, DataError

# Kinds of pieces and types of models, as sentencepiece_model.proto numbers them.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2
_IS_BYTE = re.compile("<0x[0-9A-F]{2}>")
_GIVE = "give the SentencePiece model of the published model with --sentencepiece FILE"


def read_sentencepiece(path: Path) -> Any:
    """Return the ``ModelProto`` in a model file: its pieces, how it was trained, and how it prepares text.

    Raises:
        DataError: there is no such file, or it holds no such model.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file: a SentencePiece model was expected there")
    try:
        model = _protocol().ModelProto.FromString(path.read_bytes())
    except DecodeError:
        raise DataError(f"{path} is no SentencePiece model, or it is cut short") from None
    if not model.pieces:
        raise DataError(f"{path} is no SentencePiece model: it has no pieces")
    return model


def pieces_of_kind(model: Any, *kinds: int) -> set[str]:
    """Return the pieces of these kinds."""
    return {piece.piece for piece in model.pieces if piece.type in kinds}


def byte_model() -> bytes:
    """Return a SentencePiece model that cuts text as ByT5 does: a token per byte, whose id is the byte's value + 3.

    All characters are unknown to it, and unknown characters fall back to their bytes. SentencePiece wants one piece
    that is none of these; it is never used.
    """
    pieces = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN)]
    pieces += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    pieces += [("<extra_id_0>", 0.0, UNUSED)]
    model = _model(pieces, byte_fallback=True)
    normalizer = model.normalizer_spec
    normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = normalizer.escape_whitespaces = False
    return bytes(model.SerializeToString())


def model_of_tokenizer(tokenizer: Mapping[str, Any], where: Path) -> bytes:
    """Return the SentencePiece model that a ``tokenizer.json`` was made of; transformers 5 saves no other file.

    Its pieces are numbered as the tokens; sentinels and special tokens, which no text contains, are control pieces.

    Args:
        tokenizer: the content of ``tokenizer.json``.
        where: its path, for messages.

    Raises:
        CheckpointError: it is no unigram model, or text is prepared in a way that SentencePiece does not have.
    """
    model = tokenizer.get("model") or {}
    kind = model.get("type", "Unigram" if isinstance(model.get("vocab"), list) else "BPE")
    if kind != "Unigram":
        raise CheckpointError(f"{where}: a tokenizer of the type {kind}, not the unigram model of T5\n  {_GIVE}")
    steps = _flat(tokenizer.get("normalizer"), "normalizers")
    charsmap = b""
    for step in steps:
        if step["type"] == "Precompiled":
            charsmap = base64.b64decode(step["precompiled_charsmap"])
        elif step["type"] not in ("Replace", "Strip", "Prepend", "Sequence"):
            raise CheckpointError(f"{where}: the normalizer {step['type']} has no equal in SentencePiece\n  {_GIVE}")
    special = {entry["content"] for entry in tokenizer.get("added_tokens") or [] if entry.get("special")}
    unknown = model.get("unk_id")
    # transformers 5 does not write down that mT5's model falls back to bytes, but keeps its pieces of bytes.
    byte_fallback = sum(_IS_BYTE.fullmatch(token) is not None for token, _ in model["vocab"]) == 256
    pieces = []
    for number, (token, score) in enumerate(model["vocab"]):
        if number == unknown:
            piece = UNKNOWN
        elif token in special or IS_SENTINEL.fullmatch(token.removeprefix(SPACE)):
            piece = CONTROL
        elif byte_fallback and _IS_BYTE.fullmatch(token):
            piece = BYTE
        else:
            piece = NORMAL
        pieces.append((token, score, piece))
    made = _model(pieces, byte_fallback)
    made.normalizer_spec.precompiled_charsmap = charsmap
    return bytes(made.SerializeToString())


def _model(pieces: list[tuple[str, float, int]], byte_fallback: bool) -> Any:
    model = _protocol().ModelProto()
    for text, score, kind in pieces:
        model.pieces.add(piece=text, score=score, type=kind)
    trainer = model.trainer_spec
    trainer.model_type, trainer.byte_fallback = UNIGRAM, byte_fallback
    numbers = {text: number for number, (text, _, _) in enumerate(pieces)}
    trainer.unk_id = next(number for number, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN)
    trainer.unk_piece = pieces[trainer.unk_id][0]
    trainer.bos_id, trainer.eos_id, trainer.pad_id = (numbers.get(name, -1) for name in ("<s>", "</s>", "<pad>"))
    model.normalizer_spec.name = "identity"
    return model


def _flat(step: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    """Return the steps of a sequence of sequences, one after the other."""
    if not step:
        return []
    return [step] + [part for inner in step.get(name) or [] for part in _flat(inner, name)]


def _protocol() -> Any:
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2
