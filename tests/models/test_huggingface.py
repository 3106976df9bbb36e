"""What the exchange of weights refuses."""

from __future__ import annotations

import pytest
import torch

from fairseq_scaling.errors import CheckpointError
from fairseq_scaling.models.huggingface import from_huggingface, to_huggingface

from .conftest import make_model

SMALL = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1}


def test_a_missing_weight_is_named() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    del state["encoder.final_layer_norm.weight"]
    with pytest.raises(CheckpointError, match=r"has no weight encoder\.final_layer_norm\.weight"):
        from_huggingface(state, tied=True)


def test_a_position_bias_in_every_layer_is_refused() -> None:
    # umT5 has one in each layer: taking only the first would change the model without a word
    state = to_huggingface(make_model(20, **SMALL | {"encoder_layers": 2}).state_dict())
    extra = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
    with pytest.raises(CheckpointError, match="weights that T5 does not have: " + extra):
        from_huggingface(state | {extra: torch.zeros(32, 2)}, tied=True)


def test_an_untied_model_without_its_output_layer_is_refused() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        from_huggingface(state, tied=False)


def test_copies_of_the_embedding_are_left_out() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    copies = dict.fromkeys(("encoder.embed_tokens.weight", "lm_head.weight"), state["shared.weight"])
    assert from_huggingface(state | copies, tied=True).keys() == from_huggingface(state, tied=True).keys()
