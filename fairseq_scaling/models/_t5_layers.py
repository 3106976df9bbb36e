"""The layers of T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683): no biases, no scaled attention.

Weights are kept one matrix per projection, as in T5, because Adafactor scales and clips its steps per matrix;
they are joined into one matrix product where that is faster.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Divides by the root mean square over the last dimension, in float32: no mean subtracted, no bias."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., size] -> the same shape and type."""
        x32 = x.float()
        normed = x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * normed.type_as(x)


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
        """Return [heads, queries, keys]; the last query stands at the last key (as a decoder's cache wants it)."""
        device = self.weight.device
        distance = torch.arange(keys, device=device)[None, :] - torch.arange(keys - queries, keys, device=device)[:, None]
        bucket = position_bucket(distance, self.buckets, self.max_distance, self.bidirectional)
        return F.embedding(bucket, self.weight).permute(2, 0, 1).contiguous()


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

    def project_self(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``x`` [batch, length, d_model] -> queries, keys, values, each [batch, heads, length, d_kv]."""
        q, k, v = F.linear(x, torch.cat((self.q, self.k, self.v))).chunk(3, dim=-1)
        return self._split(q), self._split(k), self._split(v)

    def project_queries(self, x: Tensor) -> Tensor:
        """``x`` [batch, length, d_model] -> [batch, heads, length, d_kv]."""
        return self._split(F.linear(x, self.q))

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder output [batch, source, d_model] -> keys and values, each [batch, heads, source, d_kv]."""
        k, v = F.linear(memory, torch.cat((self.k, self.v))).chunk(2, dim=-1)
        return self._split(k), self._split(v)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """Attend: ``q`` [batch, heads, queries, d_kv], ``k``, ``v`` [batch, heads, keys, d_kv].

        ``bias`` is added to the scores [batch or 1, heads or 1, queries or 1, keys].
        Returns [batch, queries, d_model].
        """
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout, scale=1.0)
        return F.linear(mixed.transpose(1, 2).flatten(2), self.o)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.d_kv)).transpose(1, 2)


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
            hidden = F.relu(F.linear(x, self.wi))
        else:
            gate, linear = F.linear(x, torch.cat((self.gate, self.wi))).chunk(2, dim=-1)
            hidden = F.gelu(gate, approximate="tanh") * linear
        return F.linear(F.dropout(hidden, self.dropout, self.training), self.wo)
