"""The settings of a T5: fairseq's model configuration and Hugging Face's ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from ..models.presets import SETTINGS

T5, MT5 = "t5", "mt5"
CONVERTED = "what can be converted are T5, mT5, ByT5 and Flan-T5 with encoder and decoder"
# ours -> Hugging Face's, and Hugging Face's default where config.json does not say
_SAME = {
    "d_model": ("d_model", 512),
    "d_kv": ("d_kv", 64),
    "d_ff": ("d_ff", 2048),
    "encoder_layers": ("num_layers", 6),
    "decoder_layers": ("num_decoder_layers", None),
    "num_heads": ("num_heads", 8),
    "relative_attention_buckets": ("relative_attention_num_buckets", 32),
    "relative_attention_max_distance": ("relative_attention_max_distance", 128),
    "dropout": ("dropout_rate", 0.1),
    "layer_norm_epsilon": ("layer_norm_epsilon", 1e-6),
    "initializer_factor": ("initializer_factor", 1.0),
}
# Where MT5Config has another default than T5Config, and the general names that transformers takes for T5's own.
_MT5_DEFAULTS = {"d_ff": 1024, "num_layers": 8, "num_heads": 6}
_GENERAL = {
    "d_model": "hidden_size",
    "d_kv": "head_dim",
    "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers",
}
_FEED_FORWARD = {"relu": "relu", "gated-gelu": "gated-gelu", "gated-gelu_new": "gated-gelu"}


def from_config(config: Mapping[str, Any], separate_head: bool) -> dict[str, Any]:
    """Return the settings of the model a ``config.json`` describes, under the names of ``T5Config``.

    Args:
        config: its content.
        separate_head: the weights hold an output layer that is not the embedding.

    Raises:
        CheckpointError: it is another architecture, or a T5 of a kind that does not exist here.
    """
    kind = model_kind(config)
    if "quantization_config" in config:
        method = (config["quantization_config"] or {}).get("quant_method", "unknown")
        raise CheckpointError(
            f"config.json: the weights are quantised ({method})\n  take the model before it was quantised"
        )
    if config.get("is_encoder_decoder") is False:
        raise CheckpointError(
            f"config.json: the model is an encoder alone (T5EncoderModel): it cannot translate\n  {CONVERTED}"
        )
    settings = {ours: _setting(config, kind, theirs, default) for ours, (theirs, default) in _SAME.items()}
    if settings["decoder_layers"] is None:
        settings["decoder_layers"] = settings["encoder_layers"]
    written = config.get("feed_forward_proj", "relu" if kind == T5 else "gated-gelu")
    if written not in _FEED_FORWARD:
        raise CheckpointError(
            f"config.json: feed_forward_proj is {written!r}, not one of {', '.join(_FEED_FORWARD)}\n  {CONVERTED}"
        )
    function = "relu" if _FEED_FORWARD[written] == "relu" else "gelu_new"
    if config.get("dense_act_fn", function) != function:
        raise CheckpointError(f"config.json: dense_act_fn is {config['dense_act_fn']!r}, not {function}\n  {CONVERTED}")
    scaled = _output_is_scaled(config, kind, separate_head)
    if scaled and separate_head:
        raise CheckpointError(
            "config.json says that the embedding is the output layer too, but the weights hold another output layer\n"
            '  if it is a T5 v1.1 or mT5, set "tie_word_embeddings": false in config.json'
        )
    return settings | {
        "feed_forward": _FEED_FORWARD[written],
        "output_layer": "tied" if scaled else "untied",
    }


def model_kind(config: Mapping[str, Any]) -> str:
    """Return ``t5`` or ``mt5``: what a ``config.json`` calls the model, or the class that it was saved from.

    Raises:
        CheckpointError: it is another architecture; the message names it.
    """
    classes = [str(name) for name in config.get("architectures") or []]
    kind = config.get("model_type")
    if kind is None and classes:  # as in files of 2019 and 2020
        kind = next((name for name in (MT5, T5) if classes[0].lower().startswith(name)), classes[0])
    if kind in (T5, MT5, None):
        return kind or T5
    raise CheckpointError(f"config.json: the model is of another architecture, {kind}\n  {CONVERTED}")


def to_config(settings: Mapping[str, Any], rows: int, pad: int, eos: int, start: int, dtype: str) -> dict[str, Any]:
    """Return the content of ``config.json`` for a model with these settings.

    Args:
        settings: complete, under the names of ``T5Config``.
        rows: of the embedding.
        pad, eos, start: ids of ``<pad>``, ``</s>`` and of what a translation starts with.
        dtype: of the weights, for example ``float32``.
    """
    tied = settings["output_layer"] == "tied"
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": rows,
        **{theirs: settings[ours] for ours, (theirs, _) in _SAME.items()},
        "feed_forward_proj": settings["feed_forward"],
        # transformers 4 knows the first, transformers 5 the second: whether the output layer's input is scaled
        "tie_word_embeddings": tied,
        "scale_decoder_outputs": tied,
        "pad_token_id": pad,
        "eos_token_id": eos,
        "decoder_start_token_id": start,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def generation_config(pad: int, eos: int, start: int) -> dict[str, Any]:
    """Return ``generation_config.json``: the search of fairseq-generate with its own defaults."""
    return {
        "decoder_start_token_id": start,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "num_beams": 5,
        "early_stopping": True,
        "length_penalty": 1.0,
        "max_new_tokens": 201,  # fairseq's --max-len-b 200, and </s>
        # fairseq never generates padding, nor an empty translation: one that is searched for ends the search earlier
        "min_new_tokens": 1,
        "suppress_tokens": [pad],
    }


def train_flags(settings: Mapping[str, Any]) -> list[str]:
    """Return the flags of fairseq-train that build a model with these settings."""
    usual = {"relative_attention_buckets", "relative_attention_max_distance", "layer_norm_epsilon"}
    flags = ["--arch", "t5"]
    for name in (*SETTINGS, "dropout"):
        if name not in usual or settings[name] != _SAME[name][1]:
            flags += [f"--{name.replace('_', '-')}", str(settings[name])]
    return flags


def _setting(config: Mapping[str, Any], kind: str, name: str, default: Any) -> Any:
    if kind == MT5:
        default = _MT5_DEFAULTS.get(name, default)
    return config.get(name, config.get(_GENERAL.get(name, name), default))


def _output_is_scaled(config: Mapping[str, Any], kind: str, separate_head: bool) -> bool:
    """Whether the output layer is that of T5 v1.0: the embedding, its input scaled by d_model^-0.5.

    transformers 4 told from ``tie_word_embeddings``. transformers 5 writes true there in any case; for T5 it writes
    ``scale_decoder_outputs`` too, and it never scales in mT5.
    """
    if "scale_decoder_outputs" in config:
        return bool(config["scale_decoder_outputs"])
    if kind == MT5 and (separate_head or str(config.get("transformers_version", "")) >= "5"):
        return False
    return bool(config.get("tie_word_embeddings", kind == T5))
