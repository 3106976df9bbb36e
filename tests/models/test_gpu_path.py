"""What a GPU would run, as far as a machine without one shows it.

Tensors on the device ``meta`` have shapes and types but no numbers: code that asks for one, as a GPU would have to be
waited for, raises there.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_scaling.models import _t5_kernels
from fairseq_scaling.models.criterion import T5CrossEntropy
from fairseq_scaling.models.t5 import T5Model
from fairseq_scaling.optim.adafactor import Adafactor

from .small import EOS, PAD, make_model, make_task, random_tokens

VOCABULARY = 50
SMALL = {"d_model": 32, "d_kv": 8, "d_ff": 24, "num_heads": 4, "encoder_layers": 2, "decoder_layers": 2}
KINDS: list[dict[str, Any]] = [
    {"feed_forward": "relu", "output_layer": "tied", "dropout": 0.1},
    {"feed_forward": "gated-gelu", "output_layer": "untied", "dropout": 0.0},
    {"feed_forward": "relu", "output_layer": "tied", "decoder_start": "<pad>", "checkpoint_activations": True},
]


def make_sample(source: int, target: int, **more: Any) -> dict[str, Any]:
    """Return a batch of 4 pairs without padding."""
    generator = torch.Generator().manual_seed(1)
    tokens = random_tokens(VOCABULARY, 4, source, generator), random_tokens(VOCABULARY, 4, target, generator)
    previous = torch.cat((torch.full((4, 1), EOS), tokens[1][:, :-1]), 1)
    net_input = {"src_tokens": tokens[0], "src_lengths": torch.full((4,), source), "prev_output_tokens": previous}
    return {"net_input": net_input, "target": tokens[1], "ntokens": tokens[1].numel(), **more}


def on_meta(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: on_meta(value) for name, value in sample.items()}
    return sample.to("meta") if isinstance(sample, Tensor) else sample


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_never_waits_for_the_gpu(
    kind: dict[str, Any], padded: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is no autocast for this device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    model = make_model(VOCABULARY, **SMALL | kind).to("meta", dtype)
    optimizer = Adafactor(model.parameters(), lr=0.01, factored_size=16)
    sample = on_meta(make_sample(9, 5, padded=padded))
    for _ in range(2):
        loss, _, logged = T5CrossEntropy(make_task(VOCABULARY), False)(model, sample)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.is_meta
    assert logged["cross_entropy"].is_meta
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()  # what the test is about: had the step done this, it would have ended here


def gradients(model: T5Model, sample: dict[str, Any]) -> list[Tensor]:
    """Return the loss and the gradient of every parameter."""
    model.zero_grad()
    loss = T5CrossEntropy(make_task(VOCABULARY), False)(model, sample)[0]
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("kind", KINDS)
def test_that_there_is_no_padding_changes_no_number(kind: dict[str, Any]) -> None:
    model = make_model(VOCABULARY, **SMALL | kind)
    found = []
    for more in ({}, {"padded": True}, {"padded": False}):
        torch.manual_seed(3)
        found.append(gradients(model, make_sample(9, 5, **more)))
    assert len(found[0]) == 1 + len(list(model.parameters()))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("padded", [True, False])
def test_heads_as_views_give_the_numbers_of_heads_as_copies(padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision: there, too, a CPU leaves attention to PyTorch, as a GPU does."""
    model = make_model(VOCABULARY, **SMALL).double()
    sample = make_sample(9, 5)
    if padded:
        sample["net_input"]["src_tokens"][1, 6:], sample["target"][2, 3:] = PAD, PAD
    copies = gradients(model, sample)
    monkeypatch.setattr(_t5_kernels, "_on_cpu", lambda x: False)
    views = gradients(model, sample)
    for one, other in zip(copies, views, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("source", "target"), [(16, 8), (13, 5)])
def test_attention_is_given_to_pytorch_as_its_fused_kernels_take_it(
    source: int, target: int, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PyTorch 2.13 asks for in sdp_utils.cpp: equal types, and entries of the last dimension side by side.

    No mask at all where there is none to give: the fastest kernels take none.
    """
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    masks: list[Tensor | None] = []
    attend = F.scaled_dot_product_attention

    def recorded(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, **more: Any) -> Tensor:
        masks.append(attn_mask)
        assert all(x.stride(-1) == 1 and x.stride(-2) % 8 == 0 for x in (q, k, v))
        if attn_mask is not None:
            assert attn_mask.dtype == q.dtype
            assert attn_mask.stride(-1) == 1
        return attend(q, k, v, attn_mask=attn_mask, **more)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded)
    model = make_model(VOCABULARY, **SMALL).to("meta", torch.bfloat16)
    sample = on_meta(make_sample(source, target, padded=padded))
    T5CrossEntropy(make_task(VOCABULARY), False)(model, sample)[0].backward()
    encoder, own, cross = masks[:2], masks[2::2], masks[3::2]
    assert [mask is not None and mask.requires_grad for mask in (*encoder, *own)] == [True] * 4
    assert [mask is not None for mask in cross] == [padded] * 2
    # One bias for the whole batch, unless rows are padded in different places.
    assert {mask.size(0) for mask in encoder if mask is not None} == {4 if padded else 1}


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_layers_compile_without_a_graph_break(dropout: float) -> None:
    model = make_model(VOCABULARY, **SMALL, dropout=dropout).to("meta", torch.bfloat16)
    x, memory = (torch.empty(4, length, 32, device="meta", dtype=torch.bfloat16) for length in (5, 9))
    mask = torch.empty(4, 9, device="meta", dtype=torch.bool)
    for layer, arguments in (
        (model.encoder.layers[0], (memory, model.encoder.position_bias(9, 9), mask)),
        (model.decoder.layers[0], (x, model.decoder.position_bias(5, 5), memory, mask, None)),
    ):
        torch._dynamo.reset()
        found = torch._dynamo.explain(layer)(*arguments)
        assert (found.graph_count, found.graph_break_count) == (1, 0)
