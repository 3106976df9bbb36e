"""Adafactor as T5 uses it (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235, with an external learning rate).

fairseq's own Adafactor overwrites the learning rate with the scaled one of the last parameter it stepped;
``torch.optim.Adafactor`` is right but never steps faster than 1/sqrt(t), which T5 does not know, and
factors small matrices that T5 does not factor.
"""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II
from torch import Tensor

from ..errors import SettingError

_TOGETHER = {"cpu": 1 << 18, "elsewhere": 1 << 26}
"""Entries of parameters that are stepped at once: what stays in a core's cache; on a GPU few kernels, and 256 MiB."""


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
            alike: dict[Any, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    _advance(state, parameter, group["factored_size"])
                    alike.setdefault((state["step"], "rows" in state, parameter.device), []).append(parameter)
            for parameters in alike.values():
                for some in _portions(parameters):
                    _step(some, [self.state[parameter] for parameter in some], group)
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


def _advance(state: dict[str, Any], parameter: Tensor, factored_size: int) -> None:
    """Count an update in the state of a parameter; before the first one the state is empty."""
    if not state:
        state["step"] = 0
        zeros = partial(torch.zeros, dtype=torch.float32, device=parameter.device)
        if parameter.dim() == 2 and min(parameter.shape) >= factored_size:
            state["rows"], state["columns"] = zeros(parameter.size(0)), zeros(parameter.size(1))
        else:
            state["entries"] = zeros(parameter.shape)
    state["step"] += 1


def _portions(parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield what is stepped at once; a parameter with more entries than that is stepped alone."""
    most = _TOGETHER["cpu" if parameters[0].device.type == "cpu" else "elsewhere"]
    some: list[Tensor] = []
    entries = 0
    for parameter in parameters:
        if some and entries + parameter.numel() > most:
            yield some
            some, entries = [], 0
        some.append(parameter)
        entries += parameter.numel()
    if some:
        yield some


def _step(parameters: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
    """Step parameters that are all factored or all not, and have made equally many updates."""
    # Tensor arithmetic only: reading a number would make a GPU wait for it. Where a function of torch takes a whole
    # list, a GPU starts a kernel or two for all of it.
    grads = [parameter.grad.float() for parameter in parameters if parameter.grad is not None]
    new = states[0]["step"] ** -group["decay"]
    updates = torch._foreach_mul(grads, grads)
    if "rows" in states[0]:
        rows, columns = ([state[name] for state in states] for name in ("rows", "columns"))
        for moments, axis in ((rows, 1), (columns, 0)):
            means = [squared.mean(axis) for squared in updates]
            torch._foreach_add_(means, group["epsilon1"])
            torch._foreach_lerp_(moments, means, new)
        relative = [row / row.mean() for row in rows]
        torch._foreach_rsqrt_(relative)
        for grad, row, column, update in zip(grads, relative, torch._foreach_rsqrt(columns), updates, strict=True):
            torch.mul(grad, row.unsqueeze_(1), out=update).mul_(column)
    else:
        entries = [state["entries"] for state in states]
        torch._foreach_add_(updates, group["epsilon1"])
        torch._foreach_lerp_(entries, updates, new)
        updates = torch._foreach_rsqrt(entries)
        torch._foreach_mul_(updates, grads)
    excesses = _root_mean_squares(updates)
    torch._foreach_div_(excesses, group["clip"])
    torch._foreach_clamp_min_(excesses, 1.0)
    scales = _root_mean_squares([parameter.float() for parameter in parameters])
    torch._foreach_clamp_min_(scales, group["epsilon2"])
    torch._foreach_div_(scales, excesses)
    torch._foreach_mul_(scales, -group["lr"])
    if group["weight_decay"]:
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
    for update, scale in zip(updates, scales, strict=True):
        update.mul_(scale)
    torch._foreach_add_(parameters, updates)


def _root_mean_squares(tensors: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    norms = list(torch._foreach_norm(tensors))
    torch._foreach_div_(norms, [max(tensor.numel(), 1) ** 0.5 for tensor in tensors])
    return norms
