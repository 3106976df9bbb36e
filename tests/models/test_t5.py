"""Architectures, configuration, initialisation and fairseq's interfaces."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest
import torch
from fairseq import models as fairseq_models
from fairseq import options
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import OmegaConf

from fairseq_scaling.errors import SettingError
from fairseq_scaling.models.criterion import T5CrossEntropy
from fairseq_scaling.models.huggingface import from_huggingface, to_huggingface
from fairseq_scaling.models.t5 import PRESETS, T5Config

from .small import EOS, PAD, make_model, make_task, random_tokens

SMALL = {"d_model": 16, "d_kv": 6, "d_ff": 24, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 2}


def parse(*flags: str) -> argparse.Namespace:
    parser = options.get_training_parser(default_task="translation")
    return options.parse_args_and_arch(parser, ["data", *flags])


# Published numbers of parameters, with T5's vocabulary of 32,128.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("t5_small", 60_506_624), ("t5_base", 222_903_552), ("t5_large", 783_150_080), ("t5_3b", 2_851_598_336)],
)
def test_architectures_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = make_model(32_128, name)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_mini_has_the_published_size() -> None:
    with torch.device("meta"):
        model = make_model(32_128, "t5_mini")
    # The model card of google/t5-efficient-mini says 31.23 million (and 60.52 for small, which has 60.51).
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(31.23e6, rel=1e-3)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "t5"])
def test_command_line_and_hydra_agree_on_an_architecture(name: str) -> None:
    flags = ["--arch", name, "--d-ff", "40", "--output-layer", "untied"]
    from_flags = convert_namespace_to_omegaconf(parse(*flags)).model
    from_hydra = OmegaConf.structured(T5Config(d_ff=40, output_layer="untied"))
    from_hydra._name = name
    with torch.device("meta"):
        built = [fairseq_models.build_model(cfg, make_task(50)).cfg for cfg in (from_flags, from_hydra)]
    assert built[0].d_ff == built[1].d_ff == 40
    fields = [field for field in T5Config.__dataclass_fields__ if field != "_name"]
    assert [str(built[0][field]) for field in fields] == [str(built[1][field]) for field in fields]
    expected = PRESETS[name] | {"d_ff": 40, "output_layer": "untied"}
    assert {field: built[0][field] for field in expected} == expected


@pytest.mark.parametrize(
    ("setting", "value", "flag"),
    [
        ("d_kv", 0, "--d-kv"),
        ("num_heads", -1, "--num-heads"),
        ("dropout", 1.0, "--dropout"),
        ("relative_attention_buckets", 7, "--relative-attention-buckets"),
        ("relative_attention_max_distance", 16, "--relative-attention-max-distance"),
    ],
)
def test_impossible_settings_are_named(setting: str, value: float, flag: str) -> None:
    with pytest.raises(SettingError, match=flag):
        make_model(20, **SMALL | {setting: value})


def test_different_dictionaries_are_refused() -> None:
    task = make_task(20)
    task.target_dictionary = make_task(21).target_dictionary
    cfg = OmegaConf.structured(T5Config(**SMALL))
    cfg._name = "t5"
    with pytest.raises(SettingError, match="20 and 21 entries"):
        fairseq_models.build_model(cfg, task)


def test_initialisation_has_the_deviations_of_t5() -> None:
    settings = {"d_model": 64, "d_kv": 24, "d_ff": 160, "num_heads": 6, "encoder_layers": 2, "decoder_layers": 2}
    model = make_model(3000, **settings, feed_forward="gated-gelu", output_layer="untied")
    expected = {
        "q": (64 * 24) ** -0.5, "k": 64**-0.5, "v": 64**-0.5, "o": (6 * 24) ** -0.5,
        "wi": 64**-0.5, "gate": 64**-0.5, "wo": 160**-0.5, "head": 64**-0.5,
    }  # fmt: skip
    seen = set()
    for name, parameter in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if "norm" in name:
            assert torch.equal(parameter, torch.ones_like(parameter))
        elif "position_bias" in name:
            assert parameter.std().item() == pytest.approx(64**-0.5, rel=0.3)  # few numbers, wide sampling error
        else:
            deviation = 1.0 if "embed_tokens" in name else expected[last]
            sampling_error = 5 / math.sqrt(2 * parameter.numel())
            assert parameter.std().item() == pytest.approx(deviation, rel=sampling_error), name
            assert abs(parameter.mean().item()) < 5 * deviation / math.sqrt(parameter.numel())
            seen.add(last)
    assert seen == {*expected, "weight"}


def test_initializer_factor_scales_every_weight() -> None:
    def weights(factor: float) -> list[torch.Tensor]:
        torch.manual_seed(5)
        return list(make_model(30, **SMALL, initializer_factor=factor).parameters())

    for half, whole in zip(weights(0.5), weights(1.0), strict=True):
        torch.testing.assert_close(half * 2, whole)


def test_no_biases_and_one_position_bias_per_stack() -> None:
    names = [name for name, _ in make_model(30, **SMALL).named_parameters()]
    assert not [name for name in names if name.endswith(".bias")]
    assert [name for name in names if "position_bias" in name] == [
        "encoder.position_bias.weight",
        "decoder.position_bias.weight",
    ]


def test_decoder_does_not_look_ahead() -> None:
    model = make_model(30, **SMALL)
    generator = torch.Generator().manual_seed(1)
    source, previous = random_tokens(30, 1, 5, generator), random_tokens(30, 1, 6, generator)
    changed = previous.clone()
    changed[0, 4] = 4 + (changed[0, 4] - 3) % 26
    before, after = model(source, None, previous)[0], model(source, None, changed)[0]
    assert torch.equal(before[0, :4], after[0, :4])
    assert not torch.equal(before[0, 4], after[0, 4])


def test_cached_decoding_equals_decoding_at_once_after_reordering() -> None:
    model = make_model(30, **SMALL).eval()
    generator = torch.Generator().manual_seed(2)
    source, previous = random_tokens(30, 3, 5, generator), random_tokens(30, 3, 7, generator)
    source[1, 3:] = PAD
    order = torch.tensor([2, 0, 0, 1])
    encoder_out, state = model.encoder(source), {}
    for length in range(1, 5):
        model.decoder(previous[:, :length], encoder_out, state)
    model.decoder.reorder_incremental_state_scripting(state, order)
    encoder_out, previous = model.encoder.reorder_encoder_out(encoder_out, order), previous[order]
    for length in range(5, 8):
        cached = model.decoder(previous[:, :length], encoder_out, state)[0]
    torch.testing.assert_close(cached[:, 0], model(source[order], None, previous)[0][:, -1])


def test_dropout_is_drawn_in_training_only() -> None:
    model = make_model(30, **SMALL, dropout=0.5)
    generator = torch.Generator().manual_seed(3)
    batch = random_tokens(30, 2, 5, generator), None, random_tokens(30, 2, 4, generator)
    assert not torch.equal(model(*batch)[0], model(*batch)[0])
    model.eval()
    assert torch.equal(model(*batch)[0], model(*batch)[0])


def test_bfloat16_autocast_is_close_to_float32() -> None:
    model = make_model(30, **SMALL)
    generator = torch.Generator().manual_seed(4)
    source, previous, target = (random_tokens(30, 2, 5, generator) for _ in range(3))
    exact = model(source, None, previous, targets=target)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(source, None, previous, targets=target)[0]
    rough.backward()
    assert rough.dtype == torch.float32
    assert rough.item() != exact.item()
    # 17 products follow each other (4 in the encoder, 6 in each layer of the decoder, the logits); each rounds both
    # factors and the result, by at most 2^-8, with a sign of its own: (3 * 17)^0.5 * 2^-8 = 0.028 of a logit.
    assert rough.item() == pytest.approx(exact.item(), rel=(3 * 17) ** 0.5 * 2**-8)


@pytest.mark.parametrize("sentence_avg", [True, False])
def test_criterion_equals_fairseq_cross_entropy(sentence_avg: bool) -> None:
    task = make_task(30)
    model = make_model(30, **SMALL)
    generator = torch.Generator().manual_seed(6)
    source, target = random_tokens(30, 3, 5, generator), random_tokens(30, 3, 6, generator)
    target[1, 2:] = PAD
    previous = torch.cat((torch.full((3, 1), EOS), target[:, :-1]), 1)
    net_input = {"src_tokens": source, "src_lengths": torch.full((3,), 5), "prev_output_tokens": previous}
    sample = {"net_input": net_input, "target": target, "ntokens": 14}

    ours, ours_size, logged = T5CrossEntropy(task, sentence_avg)(model, sample)
    gradients = torch.autograd.grad(ours, list(model.parameters()))
    stock, stock_size, _ = CrossEntropyCriterion(task, sentence_avg)(model, sample)
    assert ours_size == stock_size == (3 if sentence_avg else 14)
    assert ours.item() == pytest.approx(stock.item(), rel=1e-6)
    # The same products, but sums over 14 tokens in another order: an error of 2^-24 for each of some hundred terms.
    for mine, theirs in zip(gradients, torch.autograd.grad(stock, list(model.parameters())), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)

    logits = model(source, None, previous)[0].double().log_softmax(-1)
    exact = -logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)[target.ne(PAD)].sum()
    assert logged["cross_entropy"].item() == pytest.approx(exact.item(), rel=1e-6)


def test_checkpoint_holds_nothing_unsafe_and_restores_the_model(tmp_path: Path) -> None:
    cfg = convert_namespace_to_omegaconf(parse("--arch", "t5_tiny", "--d-model", "8", "--d-ff", "16"))
    task = make_task(30)
    model = fairseq_models.build_model(cfg.model, task)
    saved = {"cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True), "model": model.state_dict()}
    torch.save(saved, tmp_path / "checkpoint.pt")
    loaded = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    restored = fairseq_models.build_model(OmegaConf.create(loaded["cfg"]).model, task, from_checkpoint=True)
    restored.load_state_dict(loaded["model"], strict=True)
    batch = torch.tensor([[5, 6, 2]]), None, torch.tensor([[2, 7]])
    assert torch.equal(model(*batch)[0], restored(*batch)[0])


@pytest.mark.parametrize("output_layer", ["tied", "untied"])
def test_weights_go_to_hugging_face_names_and_back(output_layer: str) -> None:
    state = make_model(30, **SMALL, feed_forward="gated-gelu", output_layer=output_layer).state_dict()
    names = to_huggingface(state)
    assert "decoder.block.1.layer.1.EncDecAttention.q.weight" in names
    assert ("lm_head.weight" in names) == (output_layer == "untied")
    returned = from_huggingface(names, tied=output_layer == "tied")
    assert returned.keys() == state.keys()
    assert all(returned[name] is state[name] or torch.equal(returned[name], state[name]) for name in state)


def test_a_start_that_is_no_symbol_is_refused() -> None:
    with pytest.raises(SettingError, match="--decoder-start = <start>: is no symbol of the dictionary"):
        make_model(20, **SMALL, decoder_start="<start>")
