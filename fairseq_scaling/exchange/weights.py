"""The weights of a Hugging Face model folder: found, read without running code, and cleaned of what T5 does not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError
from ..tasks.checkpoints import check_whole, read_data
from .folder import ModelFolder, check_downloaded
from .settings import CONVERTED

WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"
_AGAIN = "download the model again"
_SHOWN = 8  # files of a folder without weights
# transformers opens the weights of these as a T5: they stand one level deeper.
_PREFIXES = ("transformer.", "module.")


class ModelWeights(NamedTuple):
    """The weights of a model folder, by transformers' names.

    ``dtypes`` counts how many are stored in each precision, for example ``{"bfloat16": 131}``.
    """

    tensors: dict[str, Tensor]
    dtypes: dict[str, int]


def read_weights(folder: ModelFolder) -> ModelWeights:
    """Return the weights that transformers would open: safetensors before pickles, one file before shards.

    Raises:
        CheckpointError: there are none, or they are of another model; the message names what was found and the remedy.
    """
    paths = _files(folder)
    read = _read_safetensors if paths[0].suffix == ".safetensors" else _read_pickle
    tensors: dict[str, Tensor] = {}
    for path in paths:
        check_downloaded(path)
        tensors |= read(path)
    for prefix in _PREFIXES:
        if not any(name.startswith(("shared.", "encoder.")) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    _check(tensors, folder.path)
    dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
    return ModelWeights(tensors, dict(dtypes))


def check_numbers(weights: Mapping[str, Tensor], where: Path) -> None:
    """Raise CheckpointError, naming the first, where a weight holds NaN or infinity."""
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            what = "NaN" if torch.isnan(tensor).any() else "infinite numbers"
            raise CheckpointError(
                f"{where}: the weight {name} holds {what}\n"
                f"  the training that made it had failed, or the file is damaged: {_AGAIN}, or take an earlier one"
            )


def _files(folder: ModelFolder) -> list[Path]:
    for name in (WEIGHTS, PICKLED):
        if (folder.path / name).is_file():
            return [folder.path / name]
        index = f"{name}.index.json"
        shards = folder.json(index).get("weight_map", {})
        files = [folder.path / Path(shard).name for shard in sorted(set(shards.values()))]
        if missing := [path for path in files if not path.is_file()]:
            raise CheckpointError(f"{missing[0]} is missing, which {index} names\n  {_AGAIN}")
        if files:
            return files
    there = ", ".join(sorted(path.name for path in folder.path.iterdir())[:_SHOWN])
    raise CheckpointError(
        f"{folder.path} holds neither {WEIGHTS} nor {PICKLED}, but {there}\n"
        "  download the model's weights too; where they are of another format (GGUF, ONNX, TensorFlow, Flax), take the "
        "model that they were made of"
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {reason}\n  it is cut short or damaged: {_AGAIN}") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    check_whole(path)
    state = read_data(path, "file of weights")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path} holds no weights by name: it is no {PICKLED} of transformers")
    return {str(name): tensor.detach() for name, tensor in state.items()}


def _check(weights: Mapping[str, Tensor], where: Path) -> None:
    """Raise CheckpointError where names and types show that this is another model than a T5."""
    if name := next((name for name in weights if not weights[name].is_floating_point()), None):
        kind = str(weights[name].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{where} holds quantised weights: {name} is of the type {kind}\n  take the model before it was quantised"
        )
    if not any(name.startswith("encoder.block.") for name in weights):
        raise CheckpointError(f"{where} has no weights of a T5 (none begins with encoder.block.)\n  {CONVERTED}")
    if not any(name.startswith("decoder.block.") for name in weights):
        raise CheckpointError(f"{where} holds an encoder alone (T5EncoderModel): it cannot translate\n  {CONVERTED}")
