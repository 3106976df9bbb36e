"""What is inside a SentencePiece model file: the Python package shows neither normalisation nor all kinds of pieces.

The file is a protocol buffer (``sentencepiece_model.proto`` of SentencePiece); the few fields needed are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2
_VARINT, _EIGHT_BYTES, _TEXT, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    """One piece: its text, its score, and which of the kinds above it is."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """The pieces in the order of their ids, and how text is prepared for them."""

    pieces: tuple[Piece, ...]
    model_type: int
    byte_fallback: bool
    whitespace_as_suffix: bool
    charsmap: bytes
    """SentencePiece's compiled normalisation rules; empty: text stays as it is"""
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool

    def texts(self, *kinds: int) -> set[str]:
        """Return the pieces of these kinds."""
        return {piece.text for piece in self.pieces if piece.kind in kinds}


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Return what is in a model file.

    Raises:
        DataError: no such file, or no such model.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file: a SentencePiece model was expected there")
    try:
        model = _parse(path.read_bytes())
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no SentencePiece model: {error}") from None
    if not model.pieces:
        raise DataError(f"{path} is no SentencePiece model: it has no pieces")
    return model


def byte_model() -> bytes:
    """Return a SentencePiece model that cuts text as ByT5 does: a token per byte, whose id is the byte's value + 3.

    All characters are unknown to it, and unknown characters fall back to their bytes. SentencePiece wants one piece
    that is none of these; it is never used.
    """
    pieces = [("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)]
    pieces += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    pieces += [("<extra_id_0>", UNUSED)]
    written = b"".join(
        _text(1, _text(1, text.encode()) + _varint(2 << 3 | _FOUR_BYTES) + struct.pack("<f", 0.0) + _number(3, kind))
        for text, kind in pieces
    )
    minus_one = (1 << 64) - 1
    ids = _number(40, 2) + _number(41, minus_one) + _number(42, 1) + _number(43, 0)  # unk, bos, eos, pad
    trainer = _number(3, UNIGRAM) + _number(35, 1) + ids
    normalizer = _text(1, b"identity") + _number(3, 0) + _number(4, 0) + _number(5, 0)
    return written + _text(2, trainer) + _text(3, normalizer)


def _parse(content: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(content):
        if number in (1, 2, 3) and not isinstance(value, bytes):
            raise ValueError("its fields are not those of a SentencePiece model")
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            score = struct.unpack("<f", _bytes(piece, 2) or bytes(4))[0]
            pieces.append(Piece(_bytes(piece, 1).decode(), score, _int(piece, 3, NORMAL)))
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    return SentencePieceModel(
        pieces=tuple(pieces),
        model_type=_int(trainer, 3, UNIGRAM),
        byte_fallback=bool(_int(trainer, 35, 0)),
        whitespace_as_suffix=bool(_int(trainer, 24, 0)),
        charsmap=_bytes(normalizer, 2),
        add_dummy_prefix=bool(_int(normalizer, 3, 1)),
        remove_extra_whitespaces=bool(_int(normalizer, 4, 1)),
        escape_whitespaces=bool(_int(normalizer, 5, 1)),
    )


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field; numbers of fixed width come as their bytes."""
    place = 0
    while place < len(content):
        key, place = _read_varint(content, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(content, place)
            yield key >> 3, value
            continue
        if kind == _TEXT:
            size, place = _read_varint(content, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"byte {place} begins no field")
        if place + size > len(content):
            raise ValueError("it is cut short")
        yield key >> 3, content[place : place + size]
        place += size


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number has no end")


def _int(fields: dict[int, int | bytes], number: int, default: int) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


def _bytes(fields: dict[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is no text")
    return value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _TEXT) + _varint(len(value)) + value
