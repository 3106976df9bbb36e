"""The inner loops of T5 with hand-written gradients: fewer passes over memory than autograd would make.

Each function equals a line of plain PyTorch, given in its docstring; tests compare both, gradients included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_LITTLE = 1 << 24
"""Multiplications of a batched product that are not worth a kernel in bfloat16."""


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return ``weight * x / sqrt(mean(x^2) + epsilon)`` over the last dimension, computed in float32.

    Args:
        x: [..., size]; the result has its shape and type.
        weight: [size].
    """
    if x.dtype == torch.float32 and weight.dtype == torch.float32:
        return _RMSNorm.apply(x, weight, epsilon)
    x32 = x.float()
    return weight * (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + epsilon)).type_as(x)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``x weight^T``.

    For products in bfloat16 (``torch.set_float32_matmul_precision("medium")``) oneDNN makes a kernel for every number
    of rows, which takes time and about a megabyte that it never gives back. There one of a few numbers of rows is
    multiplied so, and the few that are left in float32.

    Args:
        x: [..., size].
        weight: [features, size].

    Returns:
        [..., features].
    """
    if _is_plain(x) and _is_medium() and not torch.is_autocast_enabled("cpu"):
        rows = x.numel() // x.size(-1)
        regular = _regular_rows(rows)
        if regular < rows:
            return _SplitLinear.apply(x, weight, regular)
    return F.linear(x, weight)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, dropout: float) -> Tensor:
    """Return ``softmax(q k^T + bias, where mask: -inf) v``, without scaling by sqrt(size), as in T5.

    On CPUs PyTorch's fused attention falls back to unfused parts as soon as the bias has a gradient;
    the version here is faster there. Elsewhere PyTorch's is used.

    Args:
        q: [batch, heads, queries, size].
        k, v: [batch, heads, keys, size].
        bias: [heads, queries, keys] or None.
        mask: True where a key is padding, [batch, keys], or None.
        dropout: probability to drop an attention weight.

    Returns:
        [batch, queries, heads * size].
    """
    if _is_plain(q):
        keep = _keep_mask((*q.shape[:3], k.size(2)), dropout) if dropout else None
        return _Attention.apply(q, k, v, bias, mask, keep)
    added = bias[None].to(q.dtype) if bias is not None else None
    if mask is not None:
        blocked = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(mask, torch.finfo(q.dtype).min)[:, None, None, :]
        added = blocked if added is None else added + blocked
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout, scale=1.0)
    return mixed.transpose(1, 2).flatten(2)


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Return what ``F.dropout`` does, with other random numbers; on CPUs in a fraction of its time.

    The probability is rounded to a multiple of 2^-16; the random numbers follow from PyTorch's generator.
    """
    if not training or not probability:
        return x
    if _is_plain(x):
        return x * _keep_mask(x.shape, probability)
    return F.dropout(x, probability)


def add_dropout(x: Tensor, y: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``x + dropout(y, probability, training)``."""
    if training and probability and _is_plain(x) and _is_plain(y):
        return _AddDropout.apply(x, y, _keep_mask(y.shape, probability))
    return x + dropout(y, probability, training)


def relu_dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``dropout(x.relu(), probability, training)``; ``x`` is overwritten."""
    if training and probability and _is_plain(x):
        return _ReluDropout.apply(x, _keep_mask(x.shape, probability), _scale(probability))
    return dropout(x.relu_(), probability, training)


def linear_cross_entropy(features: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of ``softmax(features weight^T)``, as a loss and as an exact value.

    Equals ``F.cross_entropy(features @ weight.T, targets, reduction="sum")``, but neither logits nor their
    gradient ever exist for all tokens at once: both are made and used up a few tokens at a time.

    Args:
        features: [tokens, size].
        weight: [vocabulary, size].
        targets: [tokens].

    Returns:
        The loss in nats with its gradient (float32, scalar), and the same summed in float64, without gradient.
    """
    if features.device.type == "cpu" and features.dtype == torch.float32 and not torch.is_autocast_enabled("cpu"):
        return _LinearCrossEntropy.apply(features, weight, targets)
    losses = F.cross_entropy(F.linear(features, weight).float(), targets, reduction="none")
    return losses.sum(), losses.detach().double().sum()


def _is_plain(x: Tensor) -> bool:
    """Return whether the kernels here are the faster ones for a tensor."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def _keep_mask(shape: Sequence[int], probability: float) -> Tensor:
    """Return 0 with that probability and else the number that keeps the mean at 1, for every place of ``shape``."""
    size = math.prod(shape)
    # numpy draws twice as fast as PyTorch, which seeds it here; 64 bits serve four elements.
    seed = int(torch.empty((), dtype=torch.int64).random_())
    drawn = np.random.SFC64(seed).random_raw((size + 3) // 4).view(np.int16)[:size]
    kept = drawn >= _dropped(probability) - (1 << 15)
    return torch.from_numpy(np.multiply(kept, np.float32(_scale(probability)))).view(*shape)


def _dropped(probability: float) -> int:
    """Return how many of 2^16 numbers drop an element."""
    return round(probability * (1 << 16))


def _scale(probability: float) -> float:
    return (1 << 16) / ((1 << 16) - _dropped(probability))


def _is_medium() -> bool:
    """Return whether float32 matrices may be multiplied in bfloat16."""
    return torch.get_float32_matmul_precision() == "medium"


@contextmanager
def _in_float32() -> Iterator[None]:
    """Multiply matrices in float32 here, whatever precision was asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _regular_rows(rows: int) -> int:
    """Return the largest number up to ``rows`` that is one of at most 8 between a power of two and the next."""
    return rows - rows % max(16, 1 << max(0, rows.bit_length() - 4))


def _bmm(x: Tensor, y: Tensor) -> Tensor:
    """Return ``torch.bmm(x, y)``, in float32 whatever precision was asked for, unless it is much work on matrices whose
    sides are multiples of 16: those of pretraining are, those of sentences would need a kernel for nearly every batch.
    """
    regular = (x.size(1) | x.size(2) | y.size(2)) % 16 == 0
    if (regular and x.numel() * y.size(2) >= _LITTLE) or not _is_medium():
        return torch.bmm(x, y)
    with _in_float32():
        return torch.bmm(x, y)


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
        with _in_float32():
            return grad_x, grad_weight.addmm_(grad[regular:].t(), x[regular:]), None


def _split_mm(x: Tensor, y: Tensor, regular: int) -> Tensor:
    """Return x y for ``x`` [..., size], its rows from ``regular`` on in float32."""
    result = x.new_empty(*x.shape[:-1], y.size(1))
    x, rows = x.flatten(0, -2), result.flatten(0, -2)
    torch.mm(x[:regular], y, out=rows[:regular])
    with _in_float32():
        torch.mm(x[regular:], y, out=rows[regular:])
    return result


class _AddDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        return torch.addcmul(x, y, keep)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (keep,) = ctx.saved_tensors
        return grad, grad * keep, None


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        x.relu_().mul_(keep)
        ctx.mark_dirty(x)
        # What is above zero was let through by both: the mask need not be kept.
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, result, 0).mul_(ctx.scale), None, None


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.size(-1)).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, inverse, weight)
        return (x * inverse).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, inverse, weight = ctx.saved_tensors
        # The gradient of PyTorch's layer norm, one pass over memory, is this one for a mean of 0, but for what the
        # mean itself depends on.
        grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, [x.size(-1)], torch.zeros_like(inverse), inverse, weight, None, [True, True, False]
        )
        of_mean = (grad @ weight).div_(x.size(-1)).unsqueeze_(-1).mul_(inverse)
        return grad_x.add_(of_mean), grad_weight, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, keep: Tensor | None
    ) -> Tensor:
        batch, heads, queries, size = q.shape
        q, k, v = q.reshape(-1, queries, size), k.reshape(batch * heads, -1, size), v.reshape(batch * heads, -1, size)
        scores = _bmm(q, k.transpose(1, 2)).view(batch, heads, queries, -1)
        if bias is not None:
            scores += bias
        if mask is not None:
            scores.masked_fill_(mask[:, None, None, :], torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, -1, out=scores).view(batch * heads, queries, -1)
        kept = weights if keep is None else weights * keep.view_as(weights)
        mixed = _bmm(kept, v)
        ctx.save_for_backward(q, k, v, weights, *(() if keep is None else (kept, mixed)))
        return mixed.view(batch, heads, queries, size).transpose(1, 2).flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, *dropped = ctx.saved_tensors
        kept, mixed = dropped or (weights, None)
        batch, queries, size = grad.size(0), q.size(1), q.size(2)
        grad = grad.unflatten(-1, (-1, size)).transpose(1, 2).reshape(-1, queries, size)
        heads = (batch, grad.size(0) // batch)
        grad_v = _bmm(kept.transpose(1, 2), grad)
        grad_scores = _bmm(grad, v.transpose(1, 2))
        if mixed is None:
            torch._softmax_backward_data(grad_scores, weights, -1, weights.dtype, grad_input=grad_scores)
        else:
            # What softmax's gradient subtracts, the sum over keys of weights and their gradient, is grad . mixed.
            along = (grad * mixed).sum(-1, keepdim=True)
            grad_scores.mul_(kept).addcmul_(weights, along, value=-1)
        grad_q = _bmm(grad_scores, k)
        grad_k = _bmm(grad_scores.transpose(1, 2), q)
        grad_bias = grad_scores.unflatten(0, heads).sum(0) if ctx.needs_input_grad[3] else None
        return grad_q.unflatten(0, heads), grad_k.unflatten(0, heads), grad_v.unflatten(0, heads), grad_bias, None, None


class _LinearCrossEntropy(torch.autograd.Function):
    # logits of that many bytes at a time: small enough to stay in a core's cache between the passes over them
    CHUNK_BYTES = 2 << 20

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        need_features, need_weight = ctx.needs_input_grad[:2]
        grad_features = torch.empty_like(features) if need_features else None
        grad_weight = torch.zeros_like(weight) if need_weight else None
        rows = max(16, _LinearCrossEntropy.CHUNK_BYTES // (4 * weight.size(0)))
        buffer = features.new_empty(min(rows, features.size(0)), weight.size(0))
        total = torch.zeros((), dtype=torch.float64)
        for start in range(0, features.size(0), rows):
            chunk, target = features[start : start + rows], targets[start : start + rows, None]
            # the rest has another number of rows in every batch
            with nullcontext() if chunk.size(0) == rows else _in_float32():
                logits = torch.mm(chunk, weight.t(), out=buffer[: chunk.size(0)])
                total -= logits.gather(1, target).sum(dtype=torch.float64)
                largest = logits.amax(1)
                probabilities = torch.softmax(logits, 1, out=logits)
                # log of the sum of exponentials, from the largest probability: exact, without another pass of exp
                total += (largest - probabilities.amax(1).log_()).sum(dtype=torch.float64)
                if need_features or need_weight:
                    probabilities.scatter_add_(1, target, probabilities.new_full((1, 1), -1.0).expand_as(target))
                if grad_features is not None:
                    torch.mm(probabilities, weight, out=grad_features[start : start + rows])
                if grad_weight is not None:
                    grad_weight.addmm_(probabilities.t(), chunk)
        ctx.save_for_backward(grad_features, grad_weight)
        ctx.mark_non_differentiable(total)
        return total.to(features.dtype), total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, Tensor | None, None]:
        grad_features, grad_weight = ctx.saved_tensors
        if grad.item() != 1.0:
            grad_features = grad_features * grad if grad_features is not None else None
            grad_weight = grad_weight * grad if grad_weight is not None else None
        return grad_features, grad_weight, None
