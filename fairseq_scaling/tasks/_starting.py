"""What a training starts from: a checkpoint that does not fit is refused before any of it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ..errors import CheckpointError, SettingError
from ..fingerprint import fingerprint
from ..models.presets import SETTINGS
from ..models.weights import check_weights
from ..run import Stage, Start
from ._run import saved_description
from .checkpoints import LAST, described, read_checkpoint

_TASKS = {Stage.PRETRAINING: "scaling_pretraining", Stage.FINETUNING: "scaling_translation"}


class StartingPoint(NamedTuple):
    """A checkpoint that is about to be loaded.

    Attributes:
        path: of the checkpoint.
        setting: that names it.
        resumes: the run in it is resumed; else its weights alone are taken.
    """

    path: Path
    setting: str
    resumes: bool


def starting_point(cfg: Any) -> StartingPoint | None:
    """Return the checkpoint that a training begins with, None if it begins with new weights.

    Decides as ``fairseq.checkpoint_utils.load_checkpoint`` does; ``--start-from`` comes last.

    Raises:
        SettingError: a file that was asked for is missing (fairseq would begin afresh in silence), or a run is to be
            resumed without a part of its state.
    """
    last = Path(cfg.save_dir) / LAST
    asked = [
        ("restore_file", cfg.restore_file if cfg.restore_file != LAST else None, True),
        ("save_dir", last if last.exists() else None, True),
        ("continue_once", cfg.continue_once, True),
        ("finetune_from_model", cfg.finetune_from_model, False),
        ("start_from", getattr(cfg, "start_from", None), False),
    ]
    setting, file, resumes = next((one for one in asked if one[1]), ("", None, False))
    if file is None:
        return None
    found = Path(file)
    if not found.is_file():
        raise SettingError(setting, found, "no such file")
    if resumes:
        _check_whole_state(cfg, found)
    return StartingPoint(found, setting, resumes)


def _check_whole_state(cfg: Any, found: Path) -> None:
    """Refuse to resume a run without its counts, optimizer or schedule: it would be another run than its log says."""
    lost = {
        "reset_dataloader": f"what the model in {found} has seen would be counted from zero again",
        "reset_optimizer": f"the run in {found} would be resumed with an optimizer that has forgotten its gradients",
        "reset_lr_scheduler": f"the learning rate of the run in {found} would begin again",
        "optimizer_overrides": f"the run in {found} would be resumed with other settings than its description says",
    }
    for name, problem in lost.items():
        value = getattr(cfg, name)
        if value not in (False, "{}"):
            raise SettingError(name, value, problem, "leave it out, or begin in an empty --save-dir")


def read_start(path: Path, name: str, setting: str) -> Start:
    """Return what a run records of the model that it starts from.

    Args:
        path: its checkpoint.
        name: what logs and reports call it; empty for the name of the file.
        setting: that names the file, for the message.

    Raises:
        SettingError: there is no such file.
        CheckpointError: it cannot be read, or its model was finetuned.
    """
    if not path.is_file():
        raise SettingError(setting, path, "no such file")
    noted = described(read_checkpoint(path))
    run, start = saved_description(noted), Start(name or path.name, fingerprint(path)[:12])
    if run is None:
        return start
    if run.stage != Stage.PRETRAINING:
        raise CheckpointError(
            f"{path} is a checkpoint of a {run.stage} run; a {Stage.PRETRAINING} starts from a pretrained model\n"
            "  give the checkpoint that it was finetuned from"
        )
    return replace(start, pretrain_tokens=sum(noted["consumed"].values()), mixture=run.mixture, run_id=run.run_id)


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
    names = {name: name for name in SETTINGS}
    if noted.get("run"):  # a converted model has no architecture of its own
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


def check_stage(path: Path, noted: Mapping[str, Any], stage: Stage) -> None:
    """Raise CheckpointError unless a checkpoint is of a run of this stage: only such a run can be resumed."""
    run = saved_description(noted)
    if run is not None and run.stage == stage:
        return
    if run is not None:
        what = f"is a checkpoint of a {run.stage} run ({_TASKS[run.stage]})"
    elif noted:
        what = "was converted: what its model was pretrained on, and how much, is unknown"
    else:
        what = f"is no checkpoint of {_TASKS[stage]}: what its model has seen is unknown"
    option = "--start-from" if stage == Stage.PRETRAINING else "--finetune-from-model"
    raise CheckpointError(
        f"{path} {what}, so no {stage} can be resumed from it\n"
        f"  to start from its weights, give it with {option} and an empty --save-dir"
    )
