"""The names that Hugging Face ``transformers`` gives to T5's weights; values and shapes are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from ..errors import CheckpointError

# fairseq_scaling's name in a layer -> (Hugging Face's, where {last} is the number of its feed-forward sublayer)
_SELF_ATTENTION = {
    "attention_norm.weight": "layer.0.layer_norm.weight",
    **{f"attention.{name}": f"layer.0.SelfAttention.{name}.weight" for name in "qkvo"},
}
_CROSS_ATTENTION = {
    "cross_norm.weight": "layer.1.layer_norm.weight",
    **{f"cross.{name}": f"layer.1.EncDecAttention.{name}.weight" for name in "qkvo"},
}
_RELU = {"wi": "wi", "wo": "wo"}
_GATED = {"gate": "wi_0", "wi": "wi_1", "wo": "wo"}
# what Hugging Face stores a second time under another name
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def to_huggingface(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a fairseq T5 under Hugging Face's names (CheckpointError: they are of another model)."""
    names = _names(state, ours=True)
    _refuse("has no weight", set(names) - set(state))
    _refuse("has weights that T5 does not have:", set(state) - set(names))
    return {theirs: state[ours] for ours, theirs in names.items()}


def from_huggingface(state: Mapping[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """Return the weights of a Hugging Face T5, mT5 or ByT5 under fairseq_scaling's names.

    Weights that T5 does not have are left out, as transformers leaves them out; see ``ignored_weights``.

    Args:
        state: the weights by name, ``lm_head.weight`` included if the output layer is one of its own.
        tied: the embedding is the output layer too (T5 v1.0; ``tie_word_embeddings`` in config.json).

    Raises:
        CheckpointError: weights are missing.
    """
    names = _names(state, ours=False, tied=tied)
    _refuse("has no weight", set(names.values()) - set(state))
    return {ours: state[theirs] for ours, theirs in names.items()}


def ignored_weights(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the weights that a T5 does not have, sorted.

    One of them is in most files of 2020: ``decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight``.
    """
    return sorted(set(state) - set(_names(state, ours=False, tied=False).values()) - set(COPIES))


def _names(state: Mapping[str, Tensor], ours: bool, tied: bool | None = None) -> dict[str, str]:
    """Return our name -> their name for a model with as many layers as ``state`` has."""
    layer = "layers" if ours else "block"
    gated = any(name.endswith(".gate" if ours else ".wi_0.weight") for name in state)
    if tied is None:
        tied = "decoder.head" not in state
    names = dict.fromkeys(COPIES, "shared.weight")
    for stack in ("encoder", "decoder"):
        names[f"{stack}.norm.weight"] = f"{stack}.final_layer_norm.weight"
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names[f"{stack}.position_bias.weight"] = bias
        for number in range(_count(state, rf"{stack}\.{layer}\.(\d+)\.")):
            names |= {
                f"{stack}.layers.{number}.{mine}": f"{stack}.block.{number}.{theirs}"
                for mine, theirs in _layer_names(stack == "decoder", gated).items()
            }
    if not tied:
        names["decoder.head"] = "lm_head.weight"
    return names


def _layer_names(decoder: bool, gated: bool) -> dict[str, str]:
    last = 2 if decoder else 1
    names = _SELF_ATTENTION | (_CROSS_ATTENTION if decoder else {})
    names["feed_forward_norm.weight"] = f"layer.{last}.layer_norm.weight"
    for mine, theirs in (_GATED if gated else _RELU).items():
        names[f"feed_forward.{mine}"] = f"layer.{last}.DenseReluDense.{theirs}.weight"
    return names


def _count(names: Iterable[str], pattern: str) -> int:
    return max((int(match[1]) + 1 for name in names if (match := re.match(pattern, name))), default=0)


def _refuse(what: str, names: set[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise CheckpointError(f"the checkpoint {what} {', '.join(sorted(names)[:3])}{more}; is it a T5, mT5 or ByT5?")
