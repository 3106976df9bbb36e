"""Adafactor (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235) as T5 uses it: with a learning rate given."""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Dict, List

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II


@dataclass
class T5AdafactorConfig(FairseqDataclass):
    """Settings of ``--optimizer t5_adafactor``; the step is ``lr * max(RMS(parameter), epsilon2)``."""

    adafactor_decay: float = field(
        default=-0.8, metadata={"help": "second moments decay by 1 - t^decay at update t (paper and T5: -0.8)"}
    )
    adafactor_clip: float = field(
        default=1.0, metadata={"help": "largest root mean square of a matrix's update before scaling"}
    )
    adafactor_epsilon2: float = field(
        default=1e-3, metadata={"help": "least root mean square of a parameter, so that zeros can leave zero"}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay"})
    lr: List[float] = II("optimization.lr")


@register_optimizer("t5_adafactor", dataclass=T5AdafactorConfig)
class T5Adafactor(FairseqOptimizer):
    """Adafactor with an external learning rate and steps in proportion to each matrix's own scale."""

    def __init__(self, cfg: T5AdafactorConfig, params: Any) -> None:
        super().__init__(cfg)
        self._optimizer = torch.optim.Adafactor(params, **self.optimizer_config)

    @property
    def optimizer_config(self) -> Dict[str, Any]:
        """Return what overrides the settings found in a checkpoint."""
        cfg = self.cfg
        return {
            "lr": cfg.lr[0] if isinstance(cfg.lr, Collection) else cfg.lr,
            "beta2_decay": cfg.adafactor_decay,
            "eps": (None, cfg.adafactor_epsilon2),
            "d": cfg.adafactor_clip,
            "weight_decay": cfg.weight_decay,
        }
