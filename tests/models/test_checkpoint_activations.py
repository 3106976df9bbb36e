"""``--checkpoint-activations``: layers are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import models as fairseq_models
from omegaconf import OmegaConf

from fairseq_scaling.models.t5 import T5Config

from .small import make_model, make_task, random_tokens

SIZES = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_heads": 4, "encoder_layers": 4, "decoder_layers": 4}


def step(checkpoint_activations: bool, dtype: torch.dtype, **settings: Any) -> tuple[list[torch.Tensor], int]:
    """Return the loss and all gradients of a training step, and the bytes that its forward pass keeps."""
    torch.manual_seed(7)
    model = make_model(80, **SIZES, dropout=0.2, checkpoint_activations=checkpoint_activations, **settings)
    generator = torch.Generator().manual_seed(1)
    source, target = random_tokens(80, 8, 40, generator), random_tokens(80, 8, 20, generator)
    source[2, 30:] = 1
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = model(source, None, target, targets=target)[0]
        held = sum(kept.values())
        loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)], held


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
def test_the_same_numbers_to_the_last_bit_with_a_fraction_of_what_is_kept(
    feed_forward: str, dtype: torch.dtype
) -> None:
    (kept, held), (again, less) = (step(value, dtype, feed_forward=feed_forward) for value in (False, True))
    assert len(kept) == len(again) > 60
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))
    # The hooks do not see what is kept instead, the inputs of 4 layers of each stack.
    inputs = 4 * (8 * 40 + 8 * 20) * SIZES["d_model"] * torch.float32.itemsize
    assert less + inputs < held / 3


def test_evaluation_and_translation_know_nothing_of_it() -> None:
    torch.manual_seed(7)
    model = make_model(80, **SIZES, checkpoint_activations=True).eval()
    tokens = random_tokens(80, 2, 6, torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = model(tokens, None, tokens)[0]
        state: dict[str, Any] = {}
        encoded = model.encoder(tokens)
        for length in range(1, 7):
            last = model.decoder(tokens[:, :length], encoded, state)[0]
    torch.testing.assert_close(last[:, -1], whole[:, -1])


def test_a_checkpoint_of_before_the_setting_is_read(tmp_path: Path) -> None:
    cfg = OmegaConf.structured(T5Config(**SIZES))
    settings = OmegaConf.to_container(cfg, enum_to_str=True)
    del settings["checkpoint_activations"]
    model = fairseq_models.build_model(
        OmegaConf.create(settings | {"_name": "t5"}), make_task(80), from_checkpoint=True
    )
    assert model.encoder.checkpoint_activations is False
