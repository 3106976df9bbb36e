"""A fairseq checkpoint of a T5: read, and made from weights and settings without a training run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from ..data.dictionary import check_signature, signature
from ..errors import CheckpointError, SettingError
from ..models.t5 import PRESETS, T5Config, T5Model, complete
from ..models.weights import check_weights as compare_weights
from ..tasks.checkpoints import check_whole, described
from ..tasks.checkpoints import read_checkpoint as read_state
from .folder import saving
from .settings import train_flags


@dataclass(frozen=True)
class FairseqCheckpoint:
    """What a conversion needs of a checkpoint.

    Attributes:
        weights: by fairseq_scaling's names.
        settings: of the model, complete, under the names of ``T5Config``.
        data: the corpus folder it was trained on, as the run named it; None where there was none.
        task_state: what the task said of the run; empty for a stock fairseq task.
    """

    path: Path
    weights: dict[str, Tensor]
    settings: dict[str, Any]
    data: Path | None
    task_state: dict[str, Any]

    def check(self, symbols: list[str], where: Path) -> None:
        """Raise CheckpointError unless the model was made with this dictionary."""
        saved = self.task_state.get("dictionary")
        if saved is not None:
            check_signature(saved, symbols, self.path)
        rows = len(self.weights["encoder.embed_tokens.weight"])
        if rows != len(symbols):
            raise CheckpointError(
                f"{self.path} has {rows} rows in its embedding, the dictionary in {where} has {len(symbols)} symbols\n"
                "  give the folder with the model's own dict.txt and sentencepiece.model: --corpus"
            )


def read_checkpoint(path: Path) -> FairseqCheckpoint:
    """Return what is in a checkpoint.

    Raises:
        CheckpointError: there is none, it cannot be read without running code, or it holds another model than a T5.
    """
    state = read_state(path)
    check_whole(path)
    cfg = state.get("cfg")
    cfg = cfg if isinstance(cfg, dict) else {}
    model = cfg.get("model")
    model = model if isinstance(model, dict) else {}
    name = model.get("_name")
    if name not in PRESETS:
        raise CheckpointError(
            f"{path} holds a model of the architecture {name}, not a T5\n"
            f"  what can be converted are the architectures {', '.join(PRESETS)}"
        )
    task = cfg.get("task")
    data = task.get("data") if isinstance(task, dict) else None
    checkpoint = FairseqCheckpoint(
        path=path,
        weights=state["model"],
        settings=_settings(model, path),
        data=Path(data) if isinstance(data, str) else None,
        task_state=described(state),
    )
    rows = len(state["model"].get("encoder.embed_tokens.weight", ()))
    check_weights(checkpoint.weights, checkpoint.settings, rows, path)
    return checkpoint


def complete_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of a model, those not given as its architecture says."""
    cfg = OmegaConf.structured(T5Config)
    cfg._name = settings.get("_name") or "t5"
    for name, value in settings.items():
        if name in T5Config.__dataclass_fields__ and name != "_name":
            cfg[name] = value
    complete(cfg)
    container: Any = OmegaConf.to_container(cfg, enum_to_str=True)
    return {str(name): value for name, value in container.items()}


def _settings(model: dict[str, Any], path: Path) -> dict[str, Any]:
    try:
        return complete_settings(model)
    except (OmegaConfBaseException, SettingError) as error:
        raise CheckpointError(f"{path} has impossible settings of the model: {str(error).splitlines()[0]}") from None


def check_weights(weights: dict[str, Tensor], settings: dict[str, Any], rows: int, where: Path) -> None:
    """Raise CheckpointError unless names and shapes are those of a T5 with these settings and a vocabulary of ``rows``.

    The model is built without memory for its weights.
    """
    names = [f"w{number}" for number in range(max(rows, 5))]
    dictionary = make_dictionary(["<s>", "<pad>", "</s>", "<unk>", *names[4:rows]])
    cfg = OmegaConf.structured(T5Config)
    for name, value in settings.items():
        cfg[name] = value
    cfg.decoder_start = "</s>"
    with torch.device("meta"):
        model = T5Model.build_model(cfg, SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary))
    compare_weights(weights, model, where, "settings and weights are not of the same model")


def write_checkpoint(
    path: Path,
    weights: dict[str, Tensor],
    settings: dict[str, Any],
    symbols: list[str],
    origin: dict[str, Any],
) -> None:
    """Write a checkpoint that fairseq's commands open. It says nothing of pretraining data: ``run`` is None.

    Args:
        origin: what only the way back to Hugging Face needs; data that ``weights_only=True`` can load.
    """
    cfg: Any = OmegaConf.to_container(OmegaConf.structured(FairseqConfig), enum_to_str=True)
    cfg |= {"model": settings, "task": {"_name": "scaling_translation"}, "criterion": {"_name": "t5_cross_entropy"}}
    # A tied embedding is one parameter, under two names.
    parameters = sum({tensor.data_ptr(): tensor.numel() for tensor in weights.values()}.values())
    task_state = {
        "run": None,
        "dictionary": signature(symbols),
        "parameters": parameters,
        "decoder_start": settings["decoder_start"],
        "flags": shlex.join(train_flags(settings)),
        "huggingface": origin,
    }
    state = {
        "args": None,
        "cfg": cfg,
        "model": weights,
        "criterion": None,
        "optimizer_history": [
            {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0},
        ],
        "last_optimizer_state": None,
        "task_state": {"fairseq_scaling": task_state},
        "extra_state": {"epoch": 0, "val_loss": None, "train_iterator": {"epoch": 1}},
    }
    with saving(path):
        torch.save(state, path)


def make_dictionary(symbols: list[str]) -> Dictionary:
    """Return fairseq's dictionary of these symbols, the four special ones first."""
    dictionary = Dictionary()
    for symbol in symbols[len(dictionary) :]:
        dictionary.add_symbol(symbol)
    return dictionary
