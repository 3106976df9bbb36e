"""The inner loops of T5 with hand-written gradients: fewer passes over memory than autograd would make.

Each function equals a line of plain PyTorch, given in its docstring; tests compare both, gradients included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _t5_bfloat16 as bfloat16
from ._t5_random import keep_factors, kept_scale

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
    """Return ``x weight^T``, [..., features].

    Args:
        x: [..., size].
        weight: [features, size].
    """
    return bfloat16.linear(x, weight) if _is_medium(x) else F.linear(x, weight)


def relu_feed_forward(x: Tensor, wi: Tensor, wo: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``dropout(relu(x wi^T), probability, training) wo^T``, [..., size].

    Args:
        x: [..., size].
        wi: [hidden, size].
        wo: [size, hidden].
    """
    if _is_medium(x) and bfloat16.has_instructions():
        return bfloat16.relu_feed_forward(x, wi, wo, probability if training else 0.0)
    return linear(relu_dropout(linear(x, wi), probability, training), wo)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None, dropout: float) -> Tensor:
    """Return ``softmax(q k^T + bias, where mask: -inf) v``, without scaling by sqrt(size), as in T5.

    On CPUs PyTorch's fused attention falls back to unfused parts as soon as the bias has a gradient; the version here
    is faster there. Elsewhere PyTorch's is used: on NVIDIA GPUs its memory-efficient kernel takes such a bias.

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
        keep = keep_factors((*q.shape[:3], k.size(2)), dropout) if dropout else None
        return _Attention.apply(q, k, v, bias, mask, keep)
    added = bias[None].to(q.dtype) if bias is not None else None
    if mask is not None:
        blocked = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(mask, torch.finfo(q.dtype).min)[:, None, None, :]
        added = blocked if added is None else added + blocked
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=added, dropout_p=dropout, scale=1.0)
    return mixed.transpose(1, 2).flatten(2)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Return the queries, keys or values that lie side by side in ``x``, each [batch, heads, length, size].

    On CPUs they are copied into the order that the batched products of attention want. Elsewhere they are views: fused
    attention takes these as they are, and one copy puts their gradients together.

    Args:
        x: [batch, length, parts * heads * size].
    """
    split = x.unflatten(-1, (parts, heads, -1))
    if _on_cpu(x):
        return split.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
    return tuple(part.transpose(1, 2) for part in split.unbind(2))


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Return what ``F.dropout`` does, with other random numbers; on CPUs in a fraction of its time.

    The random numbers follow from PyTorch's generator, see ``_t5_random``.
    """
    if not training or not probability:
        return x
    if _is_plain(x):
        return x * keep_factors(x.shape, probability)
    return F.dropout(x, probability)


def add_dropout(x: Tensor, y: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``x + dropout(y, probability, training)``."""
    if training and probability and _is_plain(x) and _is_plain(y):
        return _AddDropout.apply(x, y, keep_factors(y.shape, probability))
    return x + dropout(y, probability, training)


def relu_dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Return ``dropout(x.relu(), probability, training)``; ``x`` is overwritten."""
    if training and probability and _is_plain(x):
        return _ReluDropout.apply(x, keep_factors(x.shape, probability), kept_scale(probability))
    return dropout(x.relu_(), probability, training)


def linear_cross_entropy(
    features: Tensor, weight: Tensor, targets: Tensor, ignored: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy of ``softmax(features weight^T)``, as a loss and as an exact value.

    Equals ``F.cross_entropy(features @ weight.T, targets, ignore_index=ignored, reduction="sum")``, but neither logits
    nor their gradient ever exist for all tokens at once: both are made and used up a few tokens at a time (except in
    fp16). Nothing in it waits for a GPU.

    Args:
        features: [tokens, size].
        weight: [vocabulary, size].
        targets: [tokens].
        ignored: the target of tokens that do not count; None: all count.

    Returns:
        The loss in nats with its gradient (float32, scalar), and the same summed in float64, without gradient.
    """
    device = features.device.type
    casts = torch.is_autocast_enabled(device)
    if device == "cpu" and features.dtype == torch.float32 and not casts:
        assert ignored is None, "on CPUs these tokens are left out before"
        return _LinearCrossEntropy.apply(features, weight, targets)
    if features.dtype == torch.float16 or (casts and torch.get_autocast_dtype(device) == torch.float16):
        # In 16 bits gradients need the loss scale before they are rounded: autograd multiplies by it first.
        left_out = -100 if ignored is None else ignored
        logits = F.linear(features, weight).float()
        losses = F.cross_entropy(logits, targets, ignore_index=left_out, reduction="none")
        return losses.sum(), losses.detach().double().sum()
    dtype = torch.get_autocast_dtype(device) if casts else features.dtype
    return _ChunkedCrossEntropy.apply(features, weight, targets, ignored, dtype)


def _on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu"


def _is_plain(x: Tensor) -> bool:
    """Return whether the kernels here are the faster ones for a tensor."""
    return _on_cpu(x) and x.dtype == torch.float32


def _is_medium(x: Tensor) -> bool:
    """Return whether products of a tensor are to be made in bfloat16."""
    return _is_plain(x) and bfloat16.is_medium() and not torch.is_autocast_enabled("cpu")


def _bmm(x: Tensor, y: Tensor) -> Tensor:
    """Return ``torch.bmm(x, y)``, in float32 whatever precision was asked for, unless it is much work on matrices whose
    sides are multiples of 16: those of pretraining are, those of sentences would need a kernel for nearly every batch.
    """
    regular = (x.size(1) | x.size(2) | y.size(2)) % 16 == 0
    if (regular and x.numel() * y.size(2) >= _LITTLE) or not bfloat16.is_medium():
        return torch.bmm(x, y)
    with bfloat16.in_float32():
        return torch.bmm(x, y)


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


def _chunks(number: int, most: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, whether that many rows come often) of consecutive chunks of ``number`` rows."""
    unit = 64 if most >= 64 else 16
    most, start = most - most % unit, 0
    while start < number:
        rows = min(most, number - start)
        # what is less than a unit is another number in every batch
        rows = rows - rows % unit or rows
        yield start, start + rows, rows % unit == 0
        start += rows


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
        for start, end, regular in _chunks(features.size(0), rows):
            chunk, target = features[start:end], targets[start:end, None]
            with nullcontext() if regular else bfloat16.in_float32():
                logits = torch.mm(chunk, weight.t(), out=buffer[: end - start])
                total -= logits.gather(1, target).sum(dtype=torch.float64)
                largest = logits.amax(1)
                probabilities = torch.softmax(logits, 1, out=logits)
                # log of the sum of exponentials, from the largest probability: exact, without another pass of exp
                total += (largest - probabilities.amax(1).log_()).sum(dtype=torch.float64)
                if need_features or need_weight:
                    probabilities.scatter_add_(1, target, probabilities.new_full((1, 1), -1.0).expand_as(target))
                if grad_features is not None:
                    torch.mm(probabilities, weight, out=grad_features[start:end])
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


class _ChunkedCrossEntropy(torch.autograd.Function):
    """For GPUs, and for products in bfloat16: gradients are computed with the loss, so that no logits are kept."""

    # Logits of that many bytes at a time: large products for a GPU, and little beside the model.
    CHUNK_BYTES = 256 << 20

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, ignored: int | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        need_features, need_weight = ctx.needs_input_grad[:2]
        x, w = features.to(dtype), weight.to(dtype)
        grad_features = torch.empty_like(x) if need_features else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        total = torch.zeros((), dtype=torch.float64, device=features.device)
        rows = max(16, _ChunkedCrossEntropy.CHUNK_BYTES // (4 * weight.size(0)))
        with torch.autocast(features.device.type, enabled=False):
            for start in range(0, features.size(0), rows):
                chunk, target = x[start : start + rows], targets[start : start + rows, None]
                logits = torch.mm(chunk, w.t()).float()
                log_sum = logits.logsumexp(1, keepdim=True)
                losses = log_sum - logits.gather(1, target)
                counts = None if ignored is None else target.ne(ignored)
                total += (losses if counts is None else losses * counts).sum(dtype=torch.float64)
                if not (need_features or need_weight):
                    continue
                slope = logits.sub_(log_sum).exp_()
                slope.scatter_add_(1, target, slope.new_full((1, 1), -1.0).expand_as(target))
                if counts is not None:
                    slope *= counts
                narrow = slope.to(dtype)
                if grad_features is not None:
                    torch.mm(narrow, w, out=grad_features[start : start + rows])
                if grad_weight is not None:
                    grad_weight += torch.mm(narrow.t(), chunk)
        ctx.save_for_backward(grad_features, grad_weight)
        ctx.types = features.dtype, weight.dtype
        ctx.mark_non_differentiable(total)
        return total.float(), total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        found = [
            None if tensor is None else (tensor * grad).to(dtype)
            for tensor, dtype in zip(ctx.saved_tensors, ctx.types, strict=True)
        ]
        return found[0], found[1], None, None, None
