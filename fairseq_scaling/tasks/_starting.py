"""What a training starts from: a checkpoint that does not fit is refused before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import CheckpointError, SettingError
from ..models._weights import check_weights
from ._checkpoints import LAST

# Of the settings of a T5, those that another model has otherwise; in training dropout may change.
_MODEL = (
    "d_model", "d_kv", "d_ff", "num_heads", "encoder_layers", "decoder_layers", "feed_forward", "output_layer",
    "relative_attention_buckets", "relative_attention_max_distance", "layer_norm_epsilon", "decoder_start",
)  # fmt: skip
_STAGES = {"pretraining": "scaling_pretraining", "finetuning": "scaling_translation"}


def starting_point(cfg: Any) -> tuple[Path | None, bool]:
    """Return the checkpoint that fairseq will load, and whether it goes on with the run in it or takes weights alone.

    Decides as ``fairseq.checkpoint_utils.load_checkpoint`` does.

    Raises:
        SettingError: a file that was asked for is missing (fairseq would begin afresh in silence), or counts of a run
            that goes on would be forgotten.
    """
    last = Path(cfg.save_dir) / LAST
    if cfg.restore_file != LAST:
        found, restores, setting = Path(cfg.restore_file), True, "restore_file"
    elif last.exists():
        found, restores, setting = last, True, "save_dir"
    elif cfg.continue_once:
        found, restores, setting = Path(cfg.continue_once), True, "continue_once"
    elif cfg.finetune_from_model:
        found, restores, setting = Path(cfg.finetune_from_model), False, "finetune_from_model"
    else:
        return None, False
    if not found.is_file():
        raise SettingError(setting, found, "no such file")
    if restores and cfg.reset_dataloader:
        raise SettingError(
            "reset_dataloader", True, f"what the model in {found} has seen would be counted from zero again",
            "leave it out, or begin in an empty --save-dir",
        )  # fmt: skip
    return found, restores


def check_model(
    path: Path, state: Mapping[str, Any], noted: Mapping[str, Any], model: nn.Module, settings: Mapping[str, Any]
) -> None:
    """Raise CheckpointError where a checkpoint holds another model than the one just built; the message names it.

    Args:
        path: of the checkpoint.
        state: its content.
        noted: what a task noted in it.
        model: what its weights are for.
        settings: of that model, ``_name`` being its architecture.
    """
    cfg = state.get("cfg")
    saved = cfg.get("model") if isinstance(cfg, dict) else None
    saved = saved if isinstance(saved, dict) else {}
    names = {name: name for name in _MODEL}
    if noted.get("run"):  # a converted one has no architecture of its own
        names = {"_name": "architecture", **names}
    differences = [
        f"{shown} {saved[name]} there, {settings[name]} here"
        for name, shown in names.items()
        if name in saved and name in settings and str(saved[name]) != str(settings[name])
    ]
    flags = noted.get("flags") or f"--arch {saved.get('_name')}"
    remedy = f"give the same --arch and the same model settings as in pretraining: {flags}"
    if differences:
        raise CheckpointError(f"{path} holds another model: {'; '.join(differences)}\n  {remedy}")
    check_weights(state["model"], model, path, remedy)


def check_stage(path: Path, noted: Mapping[str, Any], stage: str) -> None:
    """Raise CheckpointError unless a checkpoint is of a run of this stage: only then can a run go on from it."""
    run = noted.get("run")
    found = run.get("stage") if isinstance(run, dict) else None
    if found == stage:
        return
    task = _STAGES[stage]
    if found in _STAGES:
        what = f"is a checkpoint of a {found} run ({_STAGES[found]})"
    elif noted:
        what = "was converted: what its model was pretrained on, and how much, is unknown"
    else:
        what = f"is no checkpoint of {task}: what its model has seen is unknown"
    remedy = (
        "a pretraining begins in an empty --save-dir, so that D_p counts everything; scaling_translation finetunes "
        "any T5"
        if stage == "pretraining"
        else "to finetune from it, give it with --finetune-from-model and an empty --save-dir"
    )
    raise CheckpointError(f"{path} {what}, so no {stage} can go on from it\n  {remedy}")
