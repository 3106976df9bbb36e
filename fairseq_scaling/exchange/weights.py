"""The weights of a Hugging Face model folder: found, read without running code, and cleaned of what T5 does not use."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError
from .folder import ModelFolder, check_downloaded
from .settings import CONVERTED

WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"
_AGAIN = "download the model again"
# What else a folder may hold in the place of weights: pattern of names, what it is, what to do.
_OTHER_FORMATS = (
    ("*.gguf", "weights in GGUF, the format of llama.cpp", "take the model that it was made of"),
    (
        "adapter_model.*",
        "a PEFT adapter without the model it belongs to",
        "merge it first: peft, merge_and_unload",
    ),
    (
        "tf_model*.h5",
        "TensorFlow weights",
        "with transformers 4 and TensorFlow: "
        "T5ForConditionalGeneration.from_pretrained(DIR, from_tf=True).save_pretrained(OUT)",
    ),
    (
        "flax_model*.msgpack",
        "Flax weights",
        "with transformers 4 and Flax: "
        "T5ForConditionalGeneration.from_pretrained(DIR, from_flax=True).save_pretrained(OUT)",
    ),
    ("*.ckpt*", "a TensorFlow checkpoint", "take the model that transformers publishes of it"),
    ("rust_model.ot", "weights of rust-bert", "take the model that it was made of"),
    ("*.onnx", "an ONNX graph", "take the model that it was exported from"),
    ("model.*.safetensors", "a variant of the weights", f"rename it to {WEIGHTS}"),
    ("pytorch_model.*.bin", "a variant of the weights", f"rename it to {PICKLED}"),
)
# transformers opens the weights of these as a T5: they stand one level deeper.
_PREFIXES = ("transformer.", "module.")
_BIAS = re.compile(r"(?:en|de)coder\.block\.[1-9]\d*\..*relative_attention_bias\.weight")
# What a weight's name says of the model that has it.
_OTHER_MODELS = (
    (re.compile(r"lora_|\.adapters?\.|base_model\.model\."), "LoRA weights of a PEFT adapter"),
    (
        re.compile(r"\.mlp\.experts\.|\.router\."),
        "Switch Transformers, with experts instead of feed-forward layers",
    ),
    (re.compile(r"LocalSelfAttention|TransientGlobal"), "LongT5, whose encoder attends locally"),
    (re.compile(r"\.SCB$|\.qweight$|\.qzeros$|\.quant_state|\.absmax$"), "quantised weights"),
    (_BIAS, "UMT5, with a position bias in every layer"),
)


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
    for pattern, what, remedy in _OTHER_FORMATS:
        if found := sorted(folder.path.glob(pattern)):
            raise CheckpointError(
                f"{folder.path} holds {what} ({found[0].name}), but neither {WEIGHTS} nor {PICKLED}\n  {remedy}"
            )
    raise CheckpointError(f"{folder.path} holds neither {WEIGHTS} nor {PICKLED}\n  download the model's weights too")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {reason}\n  it is cut short or damaged: {_AGAIN}") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file that ``torch.save`` wrote. Nothing but data is loaded: no code in it is run."""
    zipped = zipfile.is_zipfile(path)
    cut = CheckpointError(f"{path} cannot be read: it is cut short or damaged\n  {_AGAIN}")
    with open(path, "rb") as stream:
        head = stream.read(4)
    if zipped:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:  # torch stores checksums, but never compares them
                raise cut
    elif head.startswith(b"PK"):
        raise cut
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds more than weights: reading it could run any code, so it is not read\n"
            "  where you trust the file, open it with transformers and save it with save_pretrained(OUT): "
            "that writes safetensors"
        ) from None
    except (EOFError, RuntimeError, ValueError, OSError):
        raise cut from None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path} holds no weights by name: it is no {PICKLED} of transformers")
    return {str(name): tensor.detach() for name, tensor in state.items()}


def _check(weights: Mapping[str, Tensor], where: Path) -> None:
    """Raise CheckpointError where names and types show that this is another model than a T5."""
    for pattern, what in _OTHER_MODELS:
        if name := _first(weights, pattern.search):
            raise CheckpointError(f"{where} holds {what}: the weight {name}\n  {CONVERTED}")
    if name := _first(weights, lambda name: not weights[name].is_floating_point()):
        kind = str(weights[name].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{where} holds quantised weights: {name} is of the type {kind}\n  take the model before it was quantised"
        )
    if not any(name.startswith("encoder.block.") for name in weights):
        raise CheckpointError(f"{where} has no weights of a T5 (none begins with encoder.block.)\n  {CONVERTED}")
    if not any(name.startswith("decoder.block.") for name in weights):
        raise CheckpointError(f"{where} holds an encoder alone (T5EncoderModel): it cannot translate\n  {CONVERTED}")


def _first(names: Iterable[str], holds: Callable[[str], Any]) -> str | None:
    return next((name for name in names if holds(name)), None)
