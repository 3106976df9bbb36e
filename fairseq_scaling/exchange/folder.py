"""A Hugging Face model folder: its settings, weights and tokenizer files; and files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, SettingError
from ..whole_files import names_failures
from .sentencepiece_file import SentencePieceModel
from .tokenizer import token_names

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SENTENCEPIECE = "spiece.model"
WRITTEN = (
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    SENTENCEPIECE,
)
_INSTALL = "pip install safetensors, or this package with its extra [exchange]"


class ModelFolder:
    """The files of a model as transformers saves it.

    Raises:
        CheckpointError: there is no such model; the message says what is missing and what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise CheckpointError(f"{path} is no folder: a model as transformers saves it was expected there")
        self.config = self.json("config.json")
        if not self.config:
            raise CheckpointError(
                f"{path} holds no config.json: it is no model folder of transformers\n"
                "  give the folder that holds config.json and model.safetensors"
            )
        self.tokenizer_config = self.json("tokenizer_config.json")

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the folder, nothing where it is missing."""
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise CheckpointError(f"{self.path / name} is no JSON: {error}") from None
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.path / name} holds no JSON object")
        return content

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by name."""
        load_file, _ = safetensors()
        weights: dict[str, Tensor] = {}
        for path in self._weight_files():
            try:
                weights |= load_file(path)
            except Exception as error:
                raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        return weights

    def sentencepiece_path(self) -> Path | None:
        """Return the SentencePiece model of the folder, None where there is none."""
        names = [self.tokenizer_config.get("vocab_file"), SENTENCEPIECE, "sentencepiece.model", "tokenizer.model"]
        found = [self.path / Path(name).name for name in names if isinstance(name, str)]
        return next((path for path in found if path.is_file()), None)

    def is_byte_level(self) -> bool:
        """Whether the tokenizer is ByT5's, which needs no file."""
        return "ByT5" in str(self.tokenizer_config.get("tokenizer_class", self.config.get("tokenizer_class")))

    def token_names(self, model: SentencePieceModel, rows: int) -> dict[int, str]:
        """Return row of the embedding -> token, as far as the tokenizer has names."""
        tokenizer = self.json("tokenizer.json")
        if tokenizer:
            names = token_names(tokenizer)
        else:
            names = dict(enumerate(piece.text for piece in model.pieces))
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
        asked = self.tokenizer_config.get("extra_ids", 100 if self.config.get("model_type") == "t5" else 0)
        count = min(int(asked), rows - first)
        return {first + place: f"<extra_id_{count - 1 - place}>" for place in range(count)}

    def _weight_files(self) -> list[Path]:
        if (self.path / WEIGHTS).is_file():
            return [self.path / WEIGHTS]
        shards = self.json(INDEX).get("weight_map", {})
        files = [self.path / Path(name).name for name in sorted(set(shards.values()))]
        if missing := [path for path in files if not path.is_file()]:
            raise CheckpointError(f"{missing[0]} is missing, which {INDEX} names\n  download the model again")
        if files:
            return files
        pickled = sorted(path.name for path in self.path.glob("*.bin")) + sorted(
            path.name for path in self.path.glob("*.pt*")
        )
        if pickled:
            raise CheckpointError(
                f"{self.path} holds {pickled[0]} but no {WEIGHTS}: a pickle can run any code when it is read, so it is "
                "not\n  with transformers, where you trust the file: T5ForConditionalGeneration.from_pretrained(DIR)"
                ".save_pretrained(OUT) writes safetensors; most published models have them too"
            )
        raise CheckpointError(f"{self.path} holds no {WEIGHTS}\n  download the model's weights too")


def safetensors() -> tuple[Any, Any]:
    """Return load_file and save_file of safetensors.

    Raises:
        CheckpointError: the package is not installed.
    """
    try:
        from safetensors.torch import load_file, save_file
    except ModuleNotFoundError:
        raise CheckpointError(f"the package safetensors is not installed\n  {_INSTALL}") from None
    return load_file, save_file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise SettingError if something is in the way: a file or folder not to be replaced, or one with other files."""
    for path in paths:
        inside = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
        if (inside or path.is_file()) and not overwrite:
            raise SettingError("--out", path, "exists", "give --overwrite to replace it, or another name")
        if foreign := [name for name in inside if name not in WRITTEN]:
            raise SettingError("--out", path, f"holds other files, for example {foreign[0]}", "give another folder")


@contextlib.contextmanager
def replaced(*paths: Path) -> Iterator[list[Path]]:
    """Yield temporary names beside ``paths``; what was written there is renamed when all is done, else removed.

    Raises:
        DataError: the disk is full or read-only.
    """
    parts = [path.with_name(f"{path.name}.part") for path in paths]
    with names_failures(paths[0]), _removed(parts):
        for part in parts:
            _remove(part)
            part.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, path in zip(parts, paths, strict=True):
            old = path.with_name(f"{path.name}.old")
            if path.is_dir():
                os.replace(path, old)
            os.replace(part, path)
            _remove(old)


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


@contextlib.contextmanager
def _removed(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    finally:
        for path in paths:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
