"""T5's products in bfloat16 on CPUs: ``--matmul-precision medium``.

For products in bfloat16 oneDNN makes a kernel for every number of rows, which takes time and about a megabyte that it
never gives back. Here one of a few numbers of rows is multiplied so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._t5_random import keep_bits, kept_scale


def is_medium() -> bool:
    """Return whether float32 matrices may be multiplied in bfloat16."""
    return torch.get_float32_matmul_precision() == "medium"


@cache
def has_instructions() -> bool:
    """Return whether this CPU multiplies in bfloat16 itself; where it does not, oneDNN would imitate that."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


@contextmanager
def in_float32() -> Iterator[None]:
    """Multiply matrices in float32 here, whatever precision was asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``x weight^T``, a regular number of rows in bfloat16, and the few that are left in float32.

    Args:
        x: [..., size], float32.
        weight: [features, size].

    Returns:
        [..., features], float32.
    """
    rows = x.numel() // x.size(-1)
    regular = rows - rows % regular_step(rows)
    return _SplitLinear.apply(x, weight, regular) if regular < rows else F.linear(x, weight)


def relu_feed_forward(x: Tensor, wi: Tensor, wo: Tensor, dropout: float) -> Tensor:
    """Return ``dropout(relu(x wi^T)) wo^T``.

    The hidden layer, which is the largest, and its gradient are bfloat16, too, and so are the results before they are
    given back: half the memory to go through. Rounding copies ``x``, and fills it up to a regular number of rows.

    Args:
        x: [..., size], float32.
        wi: [hidden, size].
        wo: [size, hidden].
        dropout: probability.

    Returns:
        [..., size], float32.
    """
    return _ReluFeedForward.apply(x, wi, wo, dropout)


def regular_step(rows: int) -> int:
    """Return what numbers of rows near ``rows`` are multiples of: there are 8 between a power of two and the next."""
    return max(16, 1 << max(0, rows.bit_length() - 4))


class _SplitLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, regular: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.regular = regular
        return _split_mm(x, weight.t(), regular)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (x, weight), regular = ctx.saved_tensors, ctx.regular
        grad_x = _split_mm(grad, weight, regular) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        x, grad = x.flatten(0, -2), grad.flatten(0, -2)
        grad_weight = torch.mm(grad[:regular].t(), x[:regular])
        with in_float32():
            return grad_x, grad_weight.addmm_(grad[regular:].t(), x[regular:]), None


def _split_mm(x: Tensor, y: Tensor, regular: int) -> Tensor:
    """Return x y for ``x`` [..., size], its rows from ``regular`` on in float32."""
    result = x.new_empty(*x.shape[:-1], y.size(1))
    x, rows = x.flatten(0, -2), result.flatten(0, -2)
    torch.mm(x[:regular], y, out=rows[:regular])
    with in_float32():
        torch.mm(x[regular:], y, out=rows[regular:])
    return result


class _ReluFeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wi: Tensor, wo: Tensor, dropout: float) -> Tensor:
        rounded, wi = _rounded(x), wi.bfloat16()
        # Dropout's scale goes into a weight: bfloat16 would change it by a tenth of a percent.
        ctx.scale = kept_scale(dropout)
        wo = (wo * ctx.scale).bfloat16()
        hidden = torch.mm(rounded, wi.t()).relu_()
        if dropout:
            hidden.view(torch.int16).bitwise_and_(keep_bits(hidden.shape, dropout))
        ctx.save_for_backward(rounded, hidden, wi, wo)
        return _restored(torch.mm(hidden, wo.t()), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, hidden, wi, wo = ctx.saved_tensors
        rounded = _rounded(grad)
        grad_hidden = torch.mm(rounded, wo)
        # What is above zero was let through by both, relu and dropout.
        torch.ops.aten.threshold_backward.grad_input(grad_hidden, hidden, 0, grad_input=grad_hidden)
        grad_wo = torch.mm(rounded.t(), hidden).float().mul_(ctx.scale)
        return _restored(torch.mm(grad_hidden, wi), grad), torch.mm(grad_hidden.t(), x).float(), grad_wo, None


def _rounded(x: Tensor) -> Tensor:
    """Return ``x`` [..., size] as [regular number of rows, size] in bfloat16, with zeros below."""
    rows = x.numel() // x.size(-1)
    result = x.new_empty(rows + -rows % regular_step(rows), x.size(-1), dtype=torch.bfloat16)
    result[:rows].view(x.shape).copy_(x)
    result[rows:].zero_()
    return result


def _restored(x: Tensor, like: Tensor) -> Tensor:
    """Return the rows that ``like`` [..., size] has, in float32 and in its shape."""
    return x[: like.numel() // like.size(-1)].view(like.shape).float()
