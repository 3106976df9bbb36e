"""The settings that both tasks have, and those of fairseq that they read, check and describe."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

import math
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Optional

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, MISSING, OmegaConf

from ..errors import SettingError

MATMUL_PRECISIONS = ("highest", "high", "medium")


@dataclass
class ScalingTaskConfig(FairseqDataclass):
    data: str = field(default=MISSING, metadata={"help": "corpus folder, as scaling-preprocess encode writes it"})
    bf16_autocast: bool = field(
        default=False,
        metadata={
            "help": "compute forward passes in bfloat16 where that is safe; weights, gradients and optimizer stay in "
            "float32 (fairseq's own --bf16 is for TPUs)"
        },
    )
    matmul_precision: ChoiceEnum(MATMUL_PRECISIONS) = field(  # type: ignore[valid-type]
        default="highest",
        metadata={
            "help": "how float32 matrices are multiplied, as torch.set_float32_matmul_precision says it: highest in "
            "float32; high in TF32 where a GPU has it; medium also in bfloat16 where a CPU has instructions for it "
            "(AMX), and rounds to it what feed-forward layers with ReLU compute, gradients too; sums, weights "
            "and the optimizer stay in float32"
        },
    )
    start_name: str = field(
        default="",
        metadata={
            "help": "what logs and reports call the model of --start-from, or of --finetune-from-model if that "
            "checkpoint does not say what its model was pretrained on  [default: its file's name]"
        },
    )
    # Settings of fairseq, for the description of the run and for checks; fairseq fills them in.
    seed: int = II("common.seed")
    cpu: bool = II("common.cpu")
    fp16: bool = II("common.fp16")
    memory_efficient_fp16: bool = II("common.memory_efficient_fp16")
    bf16: bool = II("common.bf16")
    amp: bool = II("common.amp")
    log_interval: int = II("common.log_interval")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    continue_once: Optional[str] = II("checkpoint.continue_once")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    reset_dataloader: bool = II("checkpoint.reset_dataloader")
    reset_optimizer: bool = II("checkpoint.reset_optimizer")
    reset_lr_scheduler: bool = II("checkpoint.reset_lr_scheduler")
    optimizer_overrides: str = II("checkpoint.optimizer_overrides")
    save_interval: int = II("checkpoint.save_interval")
    world_size: int = II("distributed_training.distributed_world_size")
    lr: list[float] = II("optimization.lr")
    clip_norm: float = II("optimization.clip_norm")
    max_update: int = II("optimization.max_update")
    max_epoch: int = II("optimization.max_epoch")
    update_freq: list[int] = II("optimization.update_freq")
    batch_size: Optional[int] = II("dataset.batch_size")
    batch_size_valid: Optional[int] = II("dataset.batch_size_valid")
    max_tokens: Optional[int] = II("dataset.max_tokens")
    max_tokens_valid: Optional[int] = II("dataset.max_tokens_valid")
    num_workers: int = II("dataset.num_workers")
    validate_interval: int = II("dataset.validate_interval")
    optimizer_settings: Any = II("optimizer")
    lr_scheduler_settings: Any = II("lr_scheduler")


# Least values of settings that fairseq does not check; None, where it is possible, means no limit.
_LEAST = {
    "seed": 0, "num_workers": 0, "log_interval": 1, "save_interval": 1, "validate_interval": 1, "batch_size": 1,
    "batch_size_valid": 1, "max_tokens": 1, "max_tokens_valid": 1, "max_update": 0, "max_epoch": 0, "clip_norm": 0,
    "update_freq": 1,
}  # fmt: skip


def check_settings(cfg: Any) -> None:
    """Raise SettingError where a setting of fairseq's is impossible, or not possible on this machine."""
    for name, least in _LEAST.items():
        value = cfg[name]
        values = [] if value is None else [value] if isinstance(value, int | float) else list(value)
        if any(number < least for number in values):
            raise SettingError(option(name), value, f"must be at least {least}")
    refuse_bf16(cfg.bf16)
    for name in ("fp16", "memory_efficient_fp16", "amp"):
        if cfg[name] and (cfg.cpu or not torch.cuda.is_available()):
            raise SettingError(
                option(name), True, "half precision needs a GPU, and this run has none",
                "leave it out; on CPUs --bf16-autocast or --matmul-precision medium save time",
            )  # fmt: skip


def check_training_settings(cfg: Any) -> None:
    """Raise SettingError where a training does not say how large its batches are."""
    if cfg.batch_size is None and cfg.max_tokens is None:
        raise SettingError(
            "--batch-size", None, "nothing says how large a batch is", "give --batch-size, --max-tokens or both"
        )


def option(name: str) -> str:
    """Return the option of the command line that sets ``name``."""
    return f"--{name.replace('_', '-')}"


def refuse_bf16(bf16: bool) -> None:
    """Raise SettingError for fairseq's ``--bf16`` where there is no TPU: it would end in an error about devices."""
    # In a configuration made by hand it is a reference to another setting, ${common.bf16}.
    if bf16 is True and find_spec("torch_xla") is None:
        raise SettingError(
            "--bf16", bf16, "for fairseq this means a TPU, and torch_xla is not installed", "use --bf16-autocast"
        )


def settings_of(part: Any) -> dict[str, Any]:
    """Return a part of fairseq's configuration as a plain dictionary, ``_name`` first."""
    if part is None or isinstance(part, str):
        return {"_name": part}
    container: Any = OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else vars(part)
    return {str(name): plain(value) for name, value in container.items()}


def plain(value: Any) -> Any:
    """Return a setting as JSON can hold it (hydra hands over containers of its own)."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    try:
        return [plain(item) for item in value]
    except TypeError:
        return str(value)
