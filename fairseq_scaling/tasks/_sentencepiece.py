"""The corpus's SentencePiece model in the role fairseq calls "bpe": text to pieces and back."""

from __future__ import annotations

from pathlib import Path

_SPACE = "\u2581"


class CorpusSentencePiece:
    """Encodes input of fairseq-interactive and decodes hypotheses, with the model that encoded the corpus."""

    def __init__(self, path: Path) -> None:
        import sentencepiece

        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(self, text: str) -> str:
        """Return the pieces of ``text``, separated by spaces."""
        return " ".join(self._processor.encode(text, out_type=str))

    def decode(self, pieces: str) -> str:
        """Return the text of ``pieces``; text that was joined before (``--remove-bpe``) stays as it is."""
        return pieces.replace(" ", "").replace(_SPACE, " ").strip() if _SPACE in pieces else pieces
