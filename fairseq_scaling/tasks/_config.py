"""The settings that both tasks have, and those of fairseq that they look at."""

# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, MISSING

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
    # For the description of the run and for resuming; fairseq fills them in.
    seed: int = II("common.seed")
    save_dir: str = II("checkpoint.save_dir")
    restore_file: str = II("checkpoint.restore_file")
    continue_once: Optional[str] = II("checkpoint.continue_once")
    finetune_from_model: Optional[str] = II("checkpoint.finetune_from_model")
    reset_dataloader: bool = II("checkpoint.reset_dataloader")
    world_size: int = II("distributed_training.distributed_world_size")
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")
    lr: list[float] = II("optimization.lr")
    clip_norm: float = II("optimization.clip_norm")
    max_update: int = II("optimization.max_update")
    update_freq: list[int] = II("optimization.update_freq")
    batch_size: Optional[int] = II("dataset.batch_size")
    max_tokens: Optional[int] = II("dataset.max_tokens")
    optimizer_settings: Any = II("optimizer")
    lr_scheduler_settings: Any = II("lr_scheduler")


def refuse_bf16(bf16: bool) -> None:
    """Raise SettingError for fairseq's ``--bf16`` where there is no TPU: it would end in an error about devices."""
    # True and no text: in a configuration made by hand it refers to another one, ${common.bf16}.
    if bf16 is True and find_spec("torch_xla") is None:
        raise SettingError(
            "--bf16", bf16, "for fairseq this means a TPU, and torch_xla is not installed", "use --bf16-autocast"
        )
