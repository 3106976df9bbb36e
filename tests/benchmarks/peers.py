"""The models that this project is measured against, in the dimensions of its own."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import torch

from fairseq_scaling.models.t5 import PRESETS, T5Config
from fairseq_scaling.study.plan.flags import flags
from tests.models.small import EOS, PAD

__all__ = [
    "EOS", "PAD", "dimensions", "hugging_face", "matmul_rate", "transformer_flags", "transformer_settings",
]  # fmt: skip


def hugging_face(cfg: Any, vocabulary: int) -> Any:
    """Return Hugging Face's T5 with the dimensions of ``cfg`` (a complete T5Config) and fairseq's special symbols."""
    from transformers import T5Config as HuggingFaceConfig
    from transformers import T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        HuggingFaceConfig(
            vocab_size=vocabulary,
            d_model=cfg.d_model,
            d_kv=cfg.d_kv,
            d_ff=cfg.d_ff,
            num_layers=cfg.encoder_layers,
            num_decoder_layers=cfg.decoder_layers,
            num_heads=cfg.num_heads,
            feed_forward_proj=str(cfg.feed_forward),
            tie_word_embeddings=str(cfg.output_layer) == "tied",
            dropout_rate=cfg.dropout,
            pad_token_id=PAD,
            eos_token_id=EOS,
            decoder_start_token_id=EOS,
            use_cache=False,
        )
    )


def dimensions(arch: str, dropout: float) -> Any:
    """Return the complete T5Config of an architecture, with this dropout."""
    return SimpleNamespace(**{**vars(T5Config()), **PRESETS[arch], "dropout": dropout})


def transformer_settings(cfg: Any) -> dict[str, Any]:
    """Return the settings that give fairseq's own transformer the dimensions of ``cfg``, one embedding for all."""
    settings: dict[str, Any] = {"share_all_embeddings": True}
    settings |= dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), cfg.dropout)
    for stack in ("encoder", "decoder"):
        settings[f"{stack}_embed_dim"], settings[f"{stack}_ffn_embed_dim"] = cfg.d_model, cfg.d_ff
        settings[f"{stack}_attention_heads"] = cfg.num_heads
        settings[f"{stack}_layers"] = getattr(cfg, f"{stack}_layers")
    return settings


def transformer_flags(cfg: Any) -> list[str]:
    """Return the same as flags of fairseq-train."""
    settings = {name.replace("_", "-"): value for name, value in transformer_settings(cfg).items()}
    return ["--arch", "transformer", *flags(settings)]


def matmul_rate(repeats: int = 20) -> float:
    """Return the floating-point operations a second of a matrix product of 1024 x 1024, the best of ``repeats``."""
    a = torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        torch.mm(a, a)
        best = min(best, time.process_time() - start)
    return 2 * 1024**3 / best * torch.get_num_threads()
