"""The dimensions of the T5 architectures. Needs neither torch nor fairseq: the plan of a study prices them."""

from __future__ import annotations

from typing import Any

SETTINGS = (
    "d_model", "d_kv", "d_ff", "num_heads", "encoder_layers", "decoder_layers", "feed_forward", "output_layer",
    "relative_attention_buckets", "relative_attention_max_distance", "layer_norm_epsilon", "decoder_start",
)  # fmt: skip
"""Those that make a T5 another model; dropout may change from stage to stage."""
_V1_0 = {"feed_forward": "relu", "output_layer": "tied"}
_V1_1 = {"feed_forward": "gated-gelu", "output_layer": "untied"}


def _size(d_model: int, d_kv: int, d_ff: int, layers: int, heads: int, version: dict[str, str]) -> dict[str, Any]:
    return {
        "d_model": d_model, "d_kv": d_kv, "d_ff": d_ff, "encoder_layers": layers, "decoder_layers": layers,
        "num_heads": heads, **version,
    }  # fmt: skip


PRESETS: dict[str, dict[str, Any]] = {
    # Ours, for CPUs and small vocabularies: ReLU has one matrix less than gated GELU, and a tied output layer
    # spends no second vocabulary matrix.
    "t5_tiny": _size(128, 32, 512, 3, 4, _V1_0),
    # google/t5-efficient-mini (Tay et al. 2022, https://arxiv.org/abs/2109.10686). The paper's table and the model
    # card say d_kv 32, but only 64 gives the card's 31.23 million parameters.
    "t5_mini": _size(384, 64, 1536, 4, 8, _V1_0),
    # t5-small and t5-base (Raffel et al. 2020, section 3.1.2 and the released checkpoints)
    "t5_small": _size(512, 64, 2048, 6, 8, _V1_0),
    "t5_base": _size(768, 64, 3072, 12, 12, _V1_0),
    # 770M and 3B of Isik et al. 2024 (https://arxiv.org/abs/2402.04177): the first is T5 v1.1 Large, the second t5-3b
    "t5_large": _size(1024, 64, 2816, 24, 16, _V1_1),
    "t5_3b": _size(1024, 128, 16384, 24, 32, _V1_0),
}
PRESETS["t5"] = PRESETS["t5_small"]
