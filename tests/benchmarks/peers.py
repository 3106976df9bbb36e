"""The models that this project is measured against, in the dimensions of its own."""

from __future__ import annotations

from typing import Any

PAD, EOS = 1, 2


def hugging_face(cfg: Any, vocabulary: int) -> Any:
    """Return Hugging Face's T5 with the dimensions of ``cfg`` (a complete T5Config) and fairseq's special symbols."""
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
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


def transformer_flags(cfg: Any) -> list[str]:
    """Return the flags that give fairseq's own transformer the dimensions of ``cfg``, one embedding for all."""
    flags = ["--arch", "transformer", "--share-all-embeddings", "--dropout", str(cfg.dropout)]
    flags += ["--attention-dropout", str(cfg.dropout), "--activation-dropout", str(cfg.dropout)]
    for stack in ("encoder", "decoder"):
        flags += [f"--{stack}-embed-dim", str(cfg.d_model), f"--{stack}-ffn-embed-dim", str(cfg.d_ff)]
        flags += [f"--{stack}-attention-heads", str(cfg.num_heads)]
        flags += [f"--{stack}-layers", str(getattr(cfg, f"{stack}_layers"))]
    return flags
