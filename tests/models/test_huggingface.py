"""What the exchange of weights refuses."""

from __future__ import annotations

import pytest
import torch

from fairseq_scaling.errors import CheckpointError
from fairseq_scaling.models.huggingface import from_huggingface, ignored_weights, to_huggingface

from .small import make_model

SMALL = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1}


def test_a_missing_weight_is_named() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    del state["encoder.final_layer_norm.weight"]
    with pytest.raises(CheckpointError, match=r"has no weight encoder\.final_layer_norm\.weight"):
        from_huggingface(state, tied=True)


def test_a_weight_that_t5_does_not_have_is_left_out_and_listed() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    extra = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    found = from_huggingface(state | {extra: torch.zeros(32, 2)}, tied=True)
    assert found.keys() == from_huggingface(state, tied=True).keys()
    assert ignored_weights(state | {extra: torch.zeros(32, 2)}) == [extra]
    assert ignored_weights(state) == []


def test_an_untied_model_without_its_output_layer_is_refused() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    with pytest.raises(CheckpointError, match=r"lm_head\.weight"):
        from_huggingface(state, tied=False)


def test_copies_of_the_embedding_are_left_out() -> None:
    state = to_huggingface(make_model(20, **SMALL).state_dict())
    copies = dict.fromkeys(("encoder.embed_tokens.weight", "lm_head.weight"), state["shared.weight"])
    assert from_huggingface(state | copies, tied=True).keys() == from_huggingface(state, tied=True).keys()
