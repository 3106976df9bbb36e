"""A Hugging Face model folder: its settings, weights and tokenizer files; and files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .settings import T5, model_kind
from .tokenizer import token_names

SENTENCEPIECE = "spiece.model"
WRITTEN = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    SENTENCEPIECE,
)


class ModelFolder:
    """The files of a model as transformers saves it (CheckpointError, with the remedy, where there is none)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise CheckpointError(f"{path} is no folder: a model as transformers saves it was expected there")
        self.config = self.json("config.json")
        if adapter := self.json("adapter_config.json"):
            base = adapter.get("base_model_name_or_path", "another model")
            raise CheckpointError(
                f"{path} holds a PEFT adapter ({adapter.get('peft_type', 'LoRA')}) of {base}, not a whole model\n"
                "  merge it into the model with peft (merge_and_unload), save the result and convert that"
            )
        if not self.config:
            raise CheckpointError(
                f"{path} holds no config.json: it is no model folder of transformers\n"
                "  give the folder that holds config.json and model.safetensors"
            )
        self.tokenizer_config = self.json("tokenizer_config.json")

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the folder, nothing where it is missing."""
        path = self.path / name
        if not path.is_file():
            return {}
        check_downloaded(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{path} is no JSON: {error}\n  download it again") from None
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.path / name} holds no JSON object")
        return content

    def sentencepiece_path(self) -> Path | None:
        """Return the SentencePiece model of the folder, None where there is none."""
        names = [self.tokenizer_config.get("vocab_file"), SENTENCEPIECE, "sentencepiece.model", "tokenizer.model"]
        found = [self.path / Path(name).name for name in names if isinstance(name, str)]
        path = next((path for path in found if path.is_file()), None)
        if path is not None:
            check_downloaded(path)
        return path

    def is_byte_level(self) -> bool:
        """Whether the tokenizer is ByT5's, which needs no file."""
        return "ByT5" in str(self.tokenizer_config.get("tokenizer_class", self.config.get("tokenizer_class")))

    def token_names(self, model: Any, rows: int) -> dict[int, str]:
        """Return row of the embedding -> token, as far as the tokenizer has names."""
        tokenizer = self.json("tokenizer.json")
        if tokenizer:
            names = token_names(tokenizer)
        else:
            names = dict(enumerate(piece.piece for piece in model.pieces))
            names |= self._sentinels(names, rows)
            names |= {number: token for token, number in self.json("added_tokens.json").items()}
            added = self.tokenizer_config.get("added_tokens_decoder") or {}
            names |= {int(number): entry["content"] for number, entry in added.items()}
        if max(names) >= rows:
            raise CheckpointError(
                f"{self.path}: the tokenizer has {max(names) + 1} tokens, the embedding {rows} rows\n"
                "  the tokenizer belongs to another model"
            )
        return names

    def _sentinels(self, names: Mapping[int, str], rows: int) -> dict[int, str]:
        """Return the sentinels that T5's tokenizer adds to its SentencePiece model: the first has the last id."""
        if any("<extra_id_" in name for name in names.values()) and not self.is_byte_level():
            return {}
        first = len(names)
        if self.is_byte_level():
            # Rows that no ByT5 was ever trained on; the last one stays without a name, for fairseq's <s>.
            return {row: f"<extra_id_{row - first + 1}>" for row in range(first, rows - 1)}
        asked = self.tokenizer_config.get("extra_ids", 100 if model_kind(self.config) == T5 else 0)
        count = min(int(asked), rows - first)
        return {first + place: f"<extra_id_{count - 1 - place}>" for place in range(count)}


def check_downloaded(path: Path) -> None:
    """Raise CheckpointError where something else was downloaded in the place of a file: a pointer, or a web page."""
    with open(path, "rb") as stream:
        head = stream.read(64).lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a git-lfs pointer, not the file itself\n  git lfs pull, in its folder")
    if head.startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{path} is a web page, not the file itself\n  download the file again")
    if not head:
        raise CheckpointError(f"{path} is empty\n  download it again")


@contextlib.contextmanager
def saving(path: Path) -> Iterator[None]:
    """Raise CheckpointError where torch or safetensors cannot write; they have errors of their own for a full disk."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: cannot be written: {reason}\n  is there room on the disk?") from None
