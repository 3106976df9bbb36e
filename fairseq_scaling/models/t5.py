"""T5 as a fairseq model: ``--arch t5_tiny`` ... ``t5_3b``, or ``--arch t5`` with dimensions of one's own.

Every dimension is unset by default and filled in from the preset that the model's name gives, so that the
command line (``--arch t5_tiny --dropout 0.1``) and hydra (``model._name=t5_tiny +model.dropout=0.1``) agree.
"""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional

import torch
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import FairseqEncoderDecoderModel, register_model, register_model_architecture
from omegaconf import OmegaConf, open_dict
from torch import Tensor, nn

from ..errors import SettingError
from ._t5_stacks import T5Decoder, T5Encoder
from .presets import PRESETS
from .weights import check_weights

FeedForwardKind = ChoiceEnum(["relu", "gated-gelu"])
OutputLayerKind = ChoiceEnum(["tied", "untied"])


def _dimension(text: str) -> Any:
    return field(default=None, metadata={"help": f"{text} (unset: as the architecture says)"})


@dataclass
class T5Config(FairseqDataclass):
    """Settings of a T5; what is None comes from the preset of the architecture."""

    d_model: Optional[int] = _dimension("size of embeddings and of the residual stream")
    d_kv: Optional[int] = _dimension("size of queries, keys and values, per head")
    d_ff: Optional[int] = _dimension("size inside the feed-forward layers")
    encoder_layers: Optional[int] = _dimension("number of encoder layers")
    decoder_layers: Optional[int] = _dimension("number of decoder layers")
    num_heads: Optional[int] = _dimension("number of attention heads")
    feed_forward: Optional[FeedForwardKind] = _dimension("relu: T5 v1.0; gated-gelu: T5 v1.1 and mT5")  # type: ignore[valid-type]
    output_layer: Optional[OutputLayerKind] = _dimension(  # type: ignore[valid-type]
        "tied: the embedding, its input scaled by d_model^-0.5 (T5 v1.0); untied: a matrix of its own"
    )
    relative_attention_buckets: int = field(default=32, metadata={"help": "number of relative position buckets"})
    relative_attention_max_distance: int = field(
        default=128, metadata={"help": "distance from which positions share the last bucket"}
    )
    dropout: float = field(
        default=0.0,
        metadata={"help": "dropout probability, everywhere (T5 v1.1: 0 in pretraining, 0.1 in finetuning)"},
    )
    layer_norm_epsilon: float = field(default=1e-6, metadata={"help": "added to the mean square in the layer norm"})
    initializer_factor: float = field(default=1.0, metadata={"help": "factor on all initial standard deviations"})
    checkpoint_activations: bool = field(
        default=False,
        metadata={
            "help": "keep only the inputs of layers for the backward pass, which computes each layer again: much less "
            "memory, about a third more time, the same numbers"
        },
    )
    decoder_start: str = field(
        default="</s>",
        metadata={"help": "what a target starts with: </s> as everywhere in fairseq; <pad> in published T5 and mT5"},
    )
    max_source_positions: int = field(
        default=1_000_000, metadata={"help": "longest source in tokens (relative positions set no limit)"}
    )
    max_target_positions: int = field(
        default=1_000_000, metadata={"help": "longest target in tokens (relative positions set no limit)"}
    )


@register_model("t5", dataclass=T5Config)
class T5Model(FairseqEncoderDecoderModel):
    """T5 (Raffel et al. 2020): ``model(src_tokens, src_lengths, prev_output_tokens)`` -> (logits, extra)."""

    encoder: T5Encoder
    decoder: T5Decoder
    computes_loss = True  # the criterion t5_cross_entropy may hand the targets to forward

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "T5Model":
        """Build the model for ``task``, whose source and target dictionary must be one and the same.

        Raises:
            SettingError: a dimension is impossible, or the dictionaries differ.
        """
        complete(cfg)
        source, target = task.source_dictionary, task.target_dictionary
        if source is not target and source != target:
            raise SettingError(
                "dictionary", f"{len(source)} and {len(target)} entries", "T5 needs one for source and target",
                "use one joined dictionary for both languages",
            )  # fmt: skip
        if cfg.decoder_start not in target:
            raise SettingError(
                "--decoder-start", cfg.decoder_start, "is no symbol of the dictionary", "it is </s> or <pad>"
            )
        embed_tokens = nn.Embedding(len(target), cfg.d_model)
        model = cls(T5Encoder(cfg, source, embed_tokens), T5Decoder(cfg, target, embed_tokens))
        model.cfg = cfg
        initialise(model, cfg)
        return model

    def load_state_dict(self, state_dict: Any, strict: bool = True, *args: Any, **kwargs: Any) -> Any:
        """Load weights as fairseq does; those of another model raise CheckpointError, which names what differs."""
        if strict:
            check_weights(state_dict, self, "the checkpoint", "its settings and its weights are not of one model")
        return super().load_state_dict(state_dict, strict, *args, **kwargs)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Optional[Tensor],
        prev_output_tokens: Tensor,
        targets: Optional[Tensor] = None,
        padded: bool = True,
        **_: Any,
    ) -> tuple[Tensor, Any]:
        """Return logits [batch, target, vocabulary] and {"attn": None}; with ``targets`` their cross-entropy.

        Args:
            src_tokens: [batch, source], padded on either side.
            src_lengths: [batch], not needed: padding is found in ``src_tokens``.
            prev_output_tokens: [batch, target], the target shifted right, starting with </s>.
            targets: [batch, target]. If given, the result is the cross-entropy in nats, summed over the tokens
                that are not padding: as a loss, and in float64 without gradient.
            padded: there may be padding in ``src_tokens`` or ``targets``; False saves looking for it, and attention
                without a mask is faster on GPUs.
        """
        encoder_out = self.encoder(src_tokens, src_lengths, padded=padded)
        if targets is None:
            return self.decoder(prev_output_tokens, encoder_out=encoder_out)
        return self.decoder.cross_entropy(self.decoder.features(prev_output_tokens, encoder_out), targets, padded)


def complete(cfg: Any) -> None:
    """Fill in, in place, every unset dimension from the preset that ``cfg``'s name gives; check what was set.

    Raises:
        SettingError: a value is impossible.
    """
    _fill(cfg, PRESETS[getattr(cfg, "_name", None) or "t5"])
    for name in ("d_model", "d_kv", "d_ff", "encoder_layers", "decoder_layers", "num_heads"):
        if getattr(cfg, name) < 1:
            raise SettingError(f"--{name.replace('_', '-')}", getattr(cfg, name), "must be at least 1")
    buckets, distance = cfg.relative_attention_buckets, cfg.relative_attention_max_distance
    if buckets < 4 or buckets % 2:
        raise SettingError("--relative-attention-buckets", buckets, "must be even and at least 4")
    if distance <= buckets // 2:
        raise SettingError("--relative-attention-max-distance", distance, f"must be more than {buckets // 2}")
    if not 0 <= cfg.dropout < 1:
        raise SettingError("--dropout", cfg.dropout, "must be at least 0 and below 1")


@torch.no_grad()
def initialise(model: T5Model, cfg: Any) -> None:
    """Draw all weights as T5 does (Mesh TensorFlow, the same as Hugging Face's).

    The untied output layer has standard deviation d_model^-0.5 as in Mesh TensorFlow and T5X, which keeps the
    first logits near unit variance; Hugging Face draws it with 1.
    """
    f = cfg.initializer_factor
    deviations = {
        "q": (cfg.d_model * cfg.d_kv) ** -0.5,
        "o": (cfg.num_heads * cfg.d_kv) ** -0.5,
        "wo": cfg.d_ff**-0.5,
    }
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(f)
        elif name.endswith("embed_tokens.weight"):
            parameter.normal_(std=f)
        else:
            parameter.normal_(std=f * deviations.get(name.rsplit(".", 1)[-1], cfg.d_model**-0.5))


def _fill(cfg: Any, preset: dict[str, Any]) -> None:
    with open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext():
        for name, value in preset.items():
            if getattr(cfg, name, None) is None:
                setattr(cfg, name, value)


for _name in PRESETS:
    if _name != "t5":
        register_model_architecture("t5", _name)(partial(_fill, preset=PRESETS[_name]))
