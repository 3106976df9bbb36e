"""The layers of T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683): no biases, no scaled attention.

Weights are kept one matrix per projection, as in T5, because Adafactor scales and clips its steps per matrix;
they are joined into one matrix product where that is faster.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._t5_kernels import attention, dropout, linear, relu_feed_forward, rms_norm, split_heads


class RMSNorm(nn.Module):
    """Divides by the root mean square over the last dimension, in float32: no mean subtracted, no bias."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., size] -> the same shape and type."""
        return rms_norm(x, self.weight, self.epsilon)


class PositionBias(nn.Module):
    """A learned number per head and bucket of relative distance, added to the attention scores of a stack.

    Args:
        buckets: number of buckets; in the encoder (``bidirectional``) half of them look back, half ahead.
        max_distance: farther positions share the last bucket.
    """

    def __init__(self, heads: int, buckets: int, max_distance: int, bidirectional: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(buckets, heads))
        self.buckets, self.max_distance, self.bidirectional = buckets, max_distance, bidirectional

    def forward(self, queries: int, keys: int) -> Tensor:
        """Return [heads, queries, keys]; the last query has the position of the last key (decoder's cache)."""
        device = self.weight.device
        # there are only queries + keys - 1 different distances: find their buckets once, then look them up
        distances = torch.arange(1 - keys, queries, device=device)
        buckets = position_bucket(distances, self.buckets, self.max_distance, self.bidirectional)
        query, key = torch.arange(keys - queries, keys, device=device), torch.arange(keys, device=device)
        index = key[None, :] - query[:, None] + (keys - 1)
        return F.embedding(buckets[index], self.weight).permute(2, 0, 1).contiguous()


def position_bucket(distance: Tensor, buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """Return the bucket of every distance (key position - query position), any shape, int64.

    Half of a direction's buckets hold one distance each, the others grow logarithmically up to
    ``max_distance`` (Raffel et al. 2020, section 2.1). Unidirectional: keys ahead fall into bucket 0.
    """
    offset = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        offset = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (growth * (buckets - exact)).long()).clamp(max=buckets - 1)
    return offset + torch.where(distance < exact, distance, far)


class Attention(nn.Module):
    """Multi-head attention without scaling by sqrt(d_kv); T5's initialisation makes up for it."""

    def __init__(self, d_model: int, d_kv: int, heads: int, dropout: float) -> None:
        super().__init__()
        inner = heads * d_kv
        self.q = nn.Parameter(torch.empty(inner, d_model))
        self.k = nn.Parameter(torch.empty(inner, d_model))
        self.v = nn.Parameter(torch.empty(inner, d_model))
        self.o = nn.Parameter(torch.empty(d_model, inner))
        self.heads, self.d_kv, self.dropout = heads, d_kv, dropout

    def project_self(self, x: Tensor) -> tuple[Tensor, ...]:
        """``x`` [batch, length, d_model] -> queries, keys, values, each [batch, heads, length, d_kv]."""
        return split_heads(linear(x, torch.cat((self.q, self.k, self.v))), 3, self.heads)

    def project_queries(self, x: Tensor) -> Tensor:
        """``x`` [batch, length, d_model] -> [batch, heads, length, d_kv]."""
        return split_heads(linear(x, self.q), 1, self.heads)[0]

    def project_memory(self, memory: Tensor) -> tuple[Tensor, ...]:
        """Encoder output [batch, source, d_model] -> keys and values, each [batch, heads, source, d_kv]."""
        return split_heads(linear(memory, torch.cat((self.k, self.v))), 2, self.heads)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Attend from ``q`` [batch, heads, queries, d_kv] to ``k``, ``v`` [batch, heads, keys, d_kv].

        ``bias`` [heads, queries, keys] is added to the scores; keys where ``mask`` [batch, keys] is True are
        left out. Returns [batch, queries, d_model].
        """
        return linear(attention(q, k, v, bias, mask, self.dropout if self.training else 0.0), self.o)


class FeedForward(nn.Module):
    """ReLU (T5 v1.0) or gated GELU (T5 v1.1, mT5; Shazeer 2020, https://arxiv.org/abs/2002.05202)."""

    def __init__(self, d_model: int, d_ff: int, gated: bool, dropout: float) -> None:
        super().__init__()
        self.wi = nn.Parameter(torch.empty(d_ff, d_model))
        self.gate = nn.Parameter(torch.empty(d_ff, d_model)) if gated else None
        self.wo = nn.Parameter(torch.empty(d_model, d_ff))
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., d_model] -> the same shape."""
        if self.gate is None:
            return relu_feed_forward(x, self.wi, self.wo, self.dropout, self.training)
        gate, straight = linear(x, torch.cat((self.gate, self.wi))).chunk(2, dim=-1)
        hidden = dropout(F.gelu(gate, approximate="tanh") * straight, self.dropout, self.training)
        return linear(hidden, self.wo)
