"""The corpus's SentencePiece model in the role fairseq calls "bpe": text to pieces and back."""

from __future__ import annotations

import re
from pathlib import Path

_SPACE = "\u2581"
_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")
_PRINTED = {code: " " if chr(code).isspace() else "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 127)}
"""What replaces control characters: a model may put out any byte, but a translation is one line of text."""


class CorpusSentencePiece:
    """Encodes input of fairseq-interactive and decodes hypotheses, with the model that encoded the corpus."""

    def __init__(self, path: Path) -> None:
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        pieces = range(self._processor.get_piece_size())
        no_text = (self._processor.is_control, self._processor.is_unknown, self._processor.is_unused)
        kinds = {self._processor.is_byte(piece) for piece in pieces if not any(kind(piece) for kind in no_text)}
        self._has_bytes, self._only_bytes = True in kinds, kinds == {True}

    def encode(self, text: str) -> str:
        """Return the pieces of ``text``, separated by spaces."""
        return " ".join(self._processor.encode(text, out_type=str))

    def decode(self, pieces: str) -> str:
        """Return the text of ``pieces``; text that was joined before (``--remove-bpe``) stays as it is.

        Pieces that stand for a byte, as those of mT5 and ByT5 do, become the characters they make together.
        """
        if self._only_bytes:
            pieces = pieces.replace(" ", "")
        elif _SPACE in pieces:
            pieces = pieces.replace(" ", "").replace(_SPACE, " ").strip()
        return _BYTES.sub(_characters, pieces) if self._has_bytes else pieces


def _characters(run: re.Match[str]) -> str:
    text = bytes(int(byte, 16) for byte in run[0][3:-1].split("><0x")).decode("utf-8", errors="replace")
    return text.translate(_PRINTED)
