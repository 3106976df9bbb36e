"""Encoder and decoder of T5 in fairseq's form."""

from __future__ import annotations

from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoder, FairseqIncrementalDecoder
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ._t5_kernels import add_dropout, dropout, linear, linear_cross_entropy
from ._t5_layers import Attention, FeedForward, PositionBias, RMSNorm

Cache = dict[str, Any]


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each on the normed input and added to it."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(cfg.d_model, cfg.layer_norm_epsilon)
        self.attention = Attention(cfg.d_model, cfg.d_kv, cfg.num_heads, cfg.dropout)
        self.feed_forward_norm = RMSNorm(cfg.d_model, cfg.layer_norm_epsilon)
        self.feed_forward = FeedForward(cfg.d_model, cfg.d_ff, str(cfg.feed_forward) == "gated-gelu", cfg.dropout)
        self.dropout = cfg.dropout

    def forward(self, x: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        """``x`` [batch, source, d_model], ``bias`` [heads, source, source], ``mask`` [batch, source] or None."""
        q, k, v = self.attention.project_self(self.attention_norm(x))
        x = self._add(x, self.attention(q, k, v, bias, mask))
        return self._add(x, self.feed_forward(self.feed_forward_norm(x)))

    def _add(self, x: Tensor, y: Tensor) -> Tensor:
        return add_dropout(x, y, self.dropout, self.training)


class DecoderLayer(EncoderLayer):
    """Self-attention, attention to the encoder's output, feed-forward."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.cross_norm = RMSNorm(cfg.d_model, cfg.layer_norm_epsilon)
        self.cross = Attention(cfg.d_model, cfg.d_kv, cfg.num_heads, cfg.dropout)

    def forward(  # type: ignore[override]
        self, x: Tensor, bias: Tensor, memory: Tensor, memory_mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        """``x`` [batch, target, d_model], ``memory`` [batch, source, d_model]; ``cache`` is read and written."""
        q, k, v = self.attention.project_self(self.attention_norm(x))
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat((cache["k"], k), dim=2), torch.cat((cache["v"], v), dim=2)
            cache["k"], cache["v"] = k, v
        x = self._add(x, self.attention(q, k, v, bias, None))
        if cache is None or "memory_k" not in cache:
            of_memory = self.cross.project_memory(memory)
            if cache is not None:
                cache["memory_k"], cache["memory_v"] = of_memory
        else:
            of_memory = cache["memory_k"], cache["memory_v"]
        q = self.cross.project_queries(self.cross_norm(x))
        x = self._add(x, self.cross(q, *of_memory, None, memory_mask))
        return self._add(x, self.feed_forward(self.feed_forward_norm(x)))


def run_layer(layer: nn.Module, again: bool, *arguments: Any) -> Any:
    """Return what a layer computes; ``again``: keep its input alone, and compute the layer again in backward."""
    if again and torch.is_grad_enabled():
        return checkpoint(layer, *arguments, use_reentrant=False)
    return layer(*arguments)


class T5Encoder(FairseqEncoder):
    """Tokens [batch, source] -> states; padding may stand on either side."""

    def __init__(self, cfg: Any, dictionary: Dictionary, embed_tokens: nn.Embedding) -> None:
        super().__init__(dictionary)
        self.embed_tokens = embed_tokens
        self.position_bias = PositionBias(
            cfg.num_heads, cfg.relative_attention_buckets, cfg.relative_attention_max_distance, bidirectional=True
        )
        self.layers = nn.ModuleList(EncoderLayer(cfg) for _ in range(cfg.encoder_layers))
        self.norm = RMSNorm(cfg.d_model, cfg.layer_norm_epsilon)
        self.dropout, self.max_source_positions = cfg.dropout, cfg.max_source_positions
        self.checkpoint_activations = cfg.checkpoint_activations

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor | None = None, padded: bool = True, **_: Any
    ) -> dict[str, list[Tensor]]:
        """Return ``encoder_out`` [batch, source, d_model] and ``padding`` [batch, source] (True where padded).

        Args:
            src_tokens: [batch, source].
            src_lengths: not needed.
            padded: there may be padding in ``src_tokens``.
        """
        mask = src_tokens.eq(self.dictionary.pad()) if padded else None
        if mask is not None and src_tokens.device.type == "cpu" and not mask.any():  # a GPU would be waited for
            mask = None
        length = src_tokens.size(1)
        bias = self.position_bias(length, length)
        x = dropout(self.embed_tokens(src_tokens), self.dropout, self.training)
        for layer in self.layers:
            x = run_layer(layer, self.checkpoint_activations, x, bias, mask)
        x = dropout(self.norm(x), self.dropout, self.training)
        return {"encoder_out": [x], "padding": [] if mask is None else [mask]}

    def reorder_encoder_out(self, encoder_out: dict[str, list[Tensor]], new_order: Tensor) -> dict[str, list[Tensor]]:
        """Return the same with rows chosen by ``new_order`` (beam search)."""
        return {name: [t.index_select(0, new_order) for t in tensors] for name, tensors in encoder_out.items()}

    def max_positions(self) -> int:
        return self.max_source_positions


class T5Decoder(FairseqIncrementalDecoder):
    """Shifted target tokens [batch, target] and the encoder's output -> logits [batch, target, vocabulary].

    fairseq hands over targets that start with </s>. T5 starts them with <pad>: where the configuration says so, the
    first token is replaced.
    """

    def __init__(self, cfg: Any, dictionary: Dictionary, embed_tokens: nn.Embedding) -> None:
        super().__init__(dictionary)
        self.embed_tokens = embed_tokens
        self.position_bias = PositionBias(
            cfg.num_heads, cfg.relative_attention_buckets, cfg.relative_attention_max_distance, bidirectional=False
        )
        self.layers = nn.ModuleList(DecoderLayer(cfg) for _ in range(cfg.decoder_layers))
        self.norm = RMSNorm(cfg.d_model, cfg.layer_norm_epsilon)
        tied = str(cfg.output_layer) == "tied"
        self.head = None if tied else nn.Parameter(torch.empty(len(dictionary), cfg.d_model))
        self.scale = cfg.d_model**-0.5 if tied else 1.0
        self.dropout, self.max_target_positions = cfg.dropout, cfg.max_target_positions
        self.checkpoint_activations = cfg.checkpoint_activations
        start = dictionary.index(cfg.decoder_start)
        self.start = None if start == dictionary.eos() else start

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: dict[str, list[Tensor]] | None = None,
        incremental_state: dict[str, Any] | None = None,
        **_: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return logits [batch, target, vocabulary] and {"attn": None}."""
        return self.output_layer(self.features(prev_output_tokens, encoder_out, incremental_state)), {"attn": None}

    def features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: dict[str, list[Tensor]] | None,
        incremental_state: dict[str, Any] | None = None,
    ) -> Tensor:
        """Return [batch, target, d_model] (with a cache: the last position only), ready for the output layer."""
        assert encoder_out is not None, "T5's decoder needs the encoder's output"
        memory = encoder_out["encoder_out"][0]
        caches: list[Any] = []
        if self.start is not None:
            prev_output_tokens = torch.cat(
                (torch.full_like(prev_output_tokens[:, :1], self.start), prev_output_tokens[:, 1:]), dim=1
            )
        keys = prev_output_tokens.size(1)
        if incremental_state is not None:
            caches = incremental_state.setdefault("t5", [{} for _ in self.layers])
            assert keys == 1 or caches[0], "incremental decoding starts with one token"
            prev_output_tokens = prev_output_tokens[:, -1:]
        queries = prev_output_tokens.size(1)
        bias = self.position_bias(queries, keys)
        if queries > 1:
            ahead = torch.ones(queries, keys, dtype=torch.bool, device=bias.device).triu(1)
            bias = bias.masked_fill(ahead, torch.finfo(bias.dtype).min)
        memory_mask = encoder_out["padding"][0] if encoder_out["padding"] else None
        x = dropout(self.embed_tokens(prev_output_tokens), self.dropout, self.training)
        for layer, cache in zip(self.layers, caches or [None] * len(self.layers), strict=True):
            x = run_layer(layer, self.checkpoint_activations, x, bias, memory, memory_mask, cache)
        return dropout(self.norm(x), self.dropout, self.training)

    def output_weight(self) -> Tensor:
        """Return the output layer's weight [vocabulary, d_model]."""
        return self.embed_tokens.weight if self.head is None else self.head

    def output_layer(self, features: Tensor, **_: Any) -> Tensor:
        """[..., d_model] -> logits [..., vocabulary]; a tied layer's input is scaled by d_model^-0.5 (T5 v1.0)."""
        return linear(features * self.scale if self.scale != 1.0 else features, self.output_weight())

    def cross_entropy(self, features: Tensor, targets: Tensor, padded: bool = True) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of ``targets`` [batch, target], padding left out, summed, in nats.

        The first result is the loss, the second the same in float64 without gradient. ``padded`` says that there may be
        padding in ``targets``.
        """
        features, targets = features.flatten(0, 1), targets.flatten()
        pad: int = self.dictionary.pad()
        ignored = pad if padded else None
        if padded and features.device.type == "cpu":  # a GPU would be waited for: there padding is computed in vain
            kept = targets.ne(pad).nonzero().squeeze(1)
            features, targets, ignored = features.index_select(0, kept), targets.index_select(0, kept), None
        return linear_cross_entropy(features * self.scale, self.output_weight(), targets, ignored)

    def reorder_incremental_state_scripting(self, incremental_state: dict[str, Any], new_order: Tensor) -> None:
        """Choose the rows of the cache by ``new_order`` (beam search)."""
        for cache in incremental_state.get("t5", []):
            for name, tensor in cache.items():
                cache[name] = tensor.index_select(0, new_order)

    def max_positions(self) -> int:
        return self.max_target_positions
