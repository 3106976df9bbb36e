"""T5's learning-rate schedule: ``base / sqrt(max(n, k))`` (Raffel et al. 2020, section 3.1.3, k = 10^4)."""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.optim.lr_scheduler import FairseqLRScheduler, register_lr_scheduler
from omegaconf import II

from ..errors import SettingError


@dataclass
class T5InverseSquareRootConfig(FairseqDataclass):
    """Settings of ``--lr-scheduler t5_inverse_sqrt``; ``--lr`` is the base, 1.0 in T5."""

    constant_updates: int = field(
        default=10_000, metadata={"help": "k in lr = base / sqrt(max(n, k)): constant for the first k updates"}
    )
    warmup_updates: int = field(
        default=0, metadata={"help": "grow linearly to the schedule's value over this many updates (T5: none)"}
    )
    lr: list[float] = II("optimization.lr")


@register_lr_scheduler("t5_inverse_sqrt", dataclass=T5InverseSquareRootConfig)
class T5InverseSquareRootSchedule(FairseqLRScheduler):
    """Learning rate ``base / sqrt(max(n, k))`` for the update that follows ``n`` finished ones.

    With ``--warmup-updates w`` it is multiplied by ``min(1, (n + 1) / w)``.

    Raises:
        SettingError: a setting is negative, or there is not exactly one ``--lr``.
    """

    def __init__(self, cfg: T5InverseSquareRootConfig, optimizer: Any) -> None:
        super().__init__(cfg, optimizer)
        rates = list(cfg.lr) if isinstance(cfg.lr, Collection) else [cfg.lr]
        if len(rates) != 1:
            raise SettingError("--lr", rates, "t5_inverse_sqrt takes exactly one base rate")
        if cfg.constant_updates < 1:
            raise SettingError("--constant-updates", cfg.constant_updates, "must be at least 1")
        if cfg.warmup_updates < 0:
            raise SettingError("--warmup-updates", cfg.warmup_updates, "must not be negative")
        self.base = float(rates[0])
        self.step_update(0)

    def rate(self, num_updates: int) -> float:
        """Return the learning rate after ``num_updates`` finished updates."""
        rate = self.base / math.sqrt(max(num_updates, self.cfg.constant_updates))
        if num_updates < self.cfg.warmup_updates:
            rate *= (num_updates + 1) / self.cfg.warmup_updates
        return rate

    def step(self, epoch: int, val_loss: Optional[float] = None) -> float:
        """Called at the end of an epoch: the rate does not depend on it."""
        super().step(epoch, val_loss)
        return self.optimizer.get_lr()

    def step_update(self, num_updates: int) -> float:
        """Set and return the rate for the next update."""
        self.lr = self.rate(num_updates)
        self.optimizer.set_lr(self.lr)
        return self.lr
