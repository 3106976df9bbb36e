"""Adafactor as T5 uses it (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, with an external learning rate).

fairseq's own Adafactor overwrites the learning rate with the scaled one of the last parameter it stepped;
``torch.optim.Adafactor`` is right but never steps faster than 1/sqrt(t), which T5 does not know, and
factors small matrices that T5 does not factor.
"""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II
from torch import Tensor

from ..errors import SettingError


@dataclass
class T5AdafactorConfig(FairseqDataclass):
    """Settings of ``--optimizer t5_adafactor``; the defaults are T5's."""

    adafactor_decay: float = field(
        default=0.8, metadata={"help": "second moments are averaged with weight 1 - t^-decay at update t"}
    )
    adafactor_clip: float = field(
        default=1.0, metadata={"help": "largest root mean square of a parameter's update, before it is scaled"}
    )
    adafactor_epsilon1: float = field(default=1e-30, metadata={"help": "added to squared gradients"})
    adafactor_epsilon2: float = field(
        default=1e-3, metadata={"help": "least scale of a parameter, so that zeros can leave zero"}
    )
    adafactor_factored_size: int = field(
        default=128, metadata={"help": "matrices with a side shorter than this keep a second moment per entry"}
    )
    weight_decay: float = field(default=0.0, metadata={"help": "decoupled weight decay, times the learning rate"})
    lr: list[float] = II("optimization.lr")


class Adafactor(torch.optim.Optimizer):
    """Steps of ``lr * max(RMS(parameter), epsilon2)`` along the gradient over its factored second moment.

    Args:
        params: parameters or groups of them.
        lr: learning rate, relative to the scale of each parameter.
        decay: update t weighs the past second moment with 1 - t^-decay.
        clip: an update with a larger root mean square is scaled down to it.
        epsilon1: added to squared gradients.
        epsilon2: least scale of a parameter.
        factored_size: the second moment is factored into rows and columns if both are at least this many.
        weight_decay: every update also subtracts ``lr * weight_decay * parameter``.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        decay: float = 0.8,
        clip: float = 1.0,
        epsilon1: float = 1e-30,
        epsilon2: float = 1e-3,
        factored_size: int = 128,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value, good in (
            ("lr", lr, lr >= 0),
            ("adafactor-decay", decay, 0 <= decay <= 1),
            ("adafactor-clip", clip, clip > 0),
            ("weight-decay", weight_decay, weight_decay >= 0),
        ):
            if not good:
                raise SettingError(f"--{name}", value, "is out of range")
        settings = {"decay": decay, "clip": clip, "epsilon1": epsilon1, "epsilon2": epsilon2}
        settings |= {"factored_size": factored_size, "weight_decay": weight_decay}
        super().__init__(params, {"lr": lr, **settings})

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], float]] = None) -> Optional[float]:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _step(parameter, parameter.grad.float(), self.state[parameter], group)
        return loss


@register_optimizer("t5_adafactor", dataclass=T5AdafactorConfig)
class T5Adafactor(FairseqOptimizer):
    """:class:`Adafactor` for fairseq; the learning rate is what the schedule says."""

    def __init__(self, cfg: T5AdafactorConfig, params: Any) -> None:
        super().__init__(cfg)
        self._optimizer = Adafactor(params, **self.optimizer_config)

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """Return the settings of this run, which override those found in a checkpoint."""
        cfg = self.cfg
        return {
            "lr": float(next(iter(cfg.lr)) if isinstance(cfg.lr, Collection) else cfg.lr),
            "decay": cfg.adafactor_decay,
            "clip": cfg.adafactor_clip,
            "epsilon1": cfg.adafactor_epsilon1,
            "epsilon2": cfg.adafactor_epsilon2,
            "factored_size": cfg.adafactor_factored_size,
            "weight_decay": cfg.weight_decay,
        }


def _step(parameter: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    # Tensor arithmetic only: reading a number would make a GPU wait for it, once per parameter.
    factored = parameter.dim() == 2 and min(parameter.shape) >= group["factored_size"]
    if not state:
        state["step"] = 0
        if factored:
            state["rows"], state["columns"] = grad.new_zeros(grad.size(0)), grad.new_zeros(grad.size(1))
        else:
            state["entries"] = torch.zeros_like(grad)
    state["step"] += 1
    new = state["step"] ** -group["decay"]
    squared = grad * grad
    if factored:
        state["rows"].lerp_(squared.mean(1).add_(group["epsilon1"]), new)
        state["columns"].lerp_(squared.mean(0).add_(group["epsilon1"]), new)
        relative = state["rows"] / state["rows"].mean()
        update = torch.mul(grad, relative.rsqrt_().unsqueeze_(1), out=squared).mul_(state["columns"].rsqrt())
    else:
        state["entries"].lerp_(squared.add_(group["epsilon1"]), new)
        update = torch.rsqrt(state["entries"], out=squared).mul_(grad)
    excess = _root_mean_square(update).div_(group["clip"]).clamp_(min=1.0)
    scale = _root_mean_square(parameter.float()).clamp_(min=group["epsilon2"])
    if group["weight_decay"]:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(update.mul_(scale.div_(excess).mul_(-group["lr"])))


def _root_mean_square(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x).div_(max(x.numel(), 1) ** 0.5)
