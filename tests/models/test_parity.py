"""The models against Hugging Face's T5, an independent implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from fairseq.sequence_generator import SequenceGenerator

from fairseq_scaling.models._t5_layers import position_bucket
from fairseq_scaling.models.huggingface import from_huggingface, to_huggingface
from fairseq_scaling.models.t5 import T5Model

from .small import EOS, PAD, make_model, make_task, random_tokens

VOCABULARY = 61


def draw_settings(seed: int) -> dict[str, Any]:
    """Return random dimensions, v1.0 and v1.1 by turns."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    gated = seed % 2 == 1
    return {
        "d_model": 4 * draw(2, 12),
        "d_kv": draw(3, 17),
        "d_ff": draw(8, 64),
        "num_heads": draw(1, 5),
        "encoder_layers": draw(1, 6),
        "decoder_layers": draw(1, 6),
        "feed_forward": "gated-gelu" if gated else "relu",
        "output_layer": "untied" if gated else "tied",
        "relative_attention_buckets": 2 * draw(4, 20),
        "relative_attention_max_distance": draw(24, 150),
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the tests that take a ``model_seed`` as many random models as ``--parity-models`` says."""
    models = metafunc.config.getoption("--parity-models")
    if "model_seed" in metafunc.fixturenames:
        metafunc.parametrize("model_seed", range(models))
    if "half_trained" in metafunc.fixturenames:
        metafunc.parametrize("half_trained", range(max(2, models // 8)), indirect=True, scope="module")


def make_pair(seed: int, **changed: Any) -> tuple[T5Model, Any]:
    """Return a model with random weights and Hugging Face's with the same."""
    torch.manual_seed(seed)
    settings = draw_settings(seed) | changed
    ours = make_model(VOCABULARY, **settings)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if "norm" in name:  # ones would hide a weight that is never used
                parameter.uniform_(0.5, 1.5)
    tied = settings["output_layer"] == "tied"
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=settings["d_model"],
        d_kv=settings["d_kv"],
        d_ff=settings["d_ff"],
        num_heads=settings["num_heads"],
        num_layers=settings["encoder_layers"],
        num_decoder_layers=settings["decoder_layers"],
        feed_forward_proj=settings["feed_forward"],
        relative_attention_num_buckets=settings["relative_attention_buckets"],
        relative_attention_max_distance=settings["relative_attention_max_distance"],
        tie_word_embeddings=tied,
        dropout_rate=0.0,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=EOS,
    )
    theirs = transformers.T5ForConditionalGeneration(config)
    if not tied:  # transformers 5 ties the output layer whatever the configuration says
        theirs.lm_head.weight = torch.nn.Parameter(torch.empty_like(theirs.lm_head.weight))
    missing, unexpected = theirs.load_state_dict(to_huggingface(ours.state_dict()), strict=False)
    aliases = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"} | ({"lm_head.weight"} if tied else set())
    assert not unexpected
    assert set(missing) <= aliases
    return ours, theirs


def make_batch(seed: int, padded: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return source, shifted target and target, [4, 33] and [4, 11], three rows padded if ``padded``."""
    generator = torch.Generator().manual_seed(100 + seed)
    source = random_tokens(VOCABULARY, 4, 33, generator)
    target = random_tokens(VOCABULARY, 4, 11, generator)
    if padded:
        source[0, 20:], source[1, 32:], source[2, 3:] = PAD, PAD, PAD
        target[0, 5:], target[3, 9:] = PAD, PAD
    previous = torch.cat((torch.full((4, 1), EOS), target[:, :-1]), dim=1)
    return source, previous, target


@pytest.mark.parametrize("padded", [False, True])
def test_logits_loss_and_gradients_equal_hugging_face(model_seed: int, padded: bool) -> None:
    ours, theirs = make_pair(model_seed)
    source, previous, target = make_batch(model_seed, padded)

    logits = ours(source, None, previous)[0]
    output = theirs(
        input_ids=source,
        attention_mask=source.ne(PAD).long(),
        decoder_input_ids=previous,
        labels=target.masked_fill(target.eq(PAD), -100),
    )
    real = target.ne(PAD)
    # Up to 61 products follow each other (4 in each of 6 layers of the encoder, 6 in each of 6 of the decoder, the
    # logits), sums of at most 64 terms. An error of 2^-24 in each term, with a sign of its own, adds up to
    # (61 * 64)^0.5 * 2^-24 = 4e-6 of a logit; the largest logits are near 20.
    torch.testing.assert_close(logits[real], output.logits[real], rtol=0, atol=1e-4)

    loss, exact = ours(source, None, previous, targets=target)
    assert loss.item() / int(real.sum()) == pytest.approx(output.loss.item(), rel=1e-5)
    assert exact.item() == pytest.approx(loss.item(), rel=1e-6)

    (loss / int(real.sum())).backward()
    output.loss.backward()
    gradients = to_huggingface({name: p.grad for name, p in ours.named_parameters(remove_duplicate=False)})
    expected = dict(theirs.named_parameters())
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        # As far through the layers again, relative to the largest gradient of a weight.
        scale = expected[name].grad.abs().max().item()
        torch.testing.assert_close(gradient, expected[name].grad, rtol=1e-4, atol=1e-4 * scale, msg=name)


def test_padding_on_the_left_changes_nothing() -> None:
    ours, _ = make_pair(3)
    source, previous, _ = make_batch(3, padded=False)
    source = source[:2]
    source[0, 20:] = PAD
    left = source.clone()
    left[0] = torch.cat((source[0, 20:], source[0, :20]))
    torch.testing.assert_close(ours(left, None, previous[:2])[0], ours(source, None, previous[:2])[0])


@pytest.fixture(scope="module")
def half_trained(request: pytest.FixtureRequest) -> tuple[T5Model, Any]:
    """Models that have half learnt to copy: their hypotheses differ from each other and end by themselves."""
    # v1.0 and v1.1 by turns, as make_pair draws them
    torch.set_num_threads(1)
    ours, theirs = make_pair(request.param, d_model=32, d_kv=8, d_ff=64, encoder_layers=2, decoder_layers=2)
    optimizer = torch.optim.Adam(ours.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(7)
    for _ in range(150):
        source = copy_task(32, generator)
        previous = torch.cat((torch.full((len(source), 1), EOS), source[:, :-1]), dim=1)
        loss, _ = ours(source, None, previous.masked_fill(previous.eq(PAD), EOS), targets=source)
        optimizer.zero_grad()
        (loss / int(source.ne(PAD).sum())).backward()
        optimizer.step()
    theirs.load_state_dict(to_huggingface(ours.state_dict()), strict=False)
    return ours.eval(), theirs.eval()


def copy_task(batch: int, generator: torch.Generator) -> torch.Tensor:
    """Return [batch, 9]: two to eight tokens of twelve, </s>, padding."""
    tokens = torch.randint(4, 16, (batch, 9), generator=generator)
    lengths = torch.randint(2, 9, (batch, 1), generator=generator)
    position = torch.arange(9)[None, :]
    return tokens.masked_fill(position == lengths, EOS).masked_fill(position > lengths, PAD)


@pytest.mark.parametrize("beam", [1, 4])
def test_search_finds_what_hugging_face_finds(half_trained: tuple[T5Model, Any], beam: int) -> None:
    ours, theirs = half_trained
    source = copy_task(24, torch.Generator().manual_seed(8))
    generator = SequenceGenerator([ours], make_task(VOCABULARY).target_dictionary, beam_size=beam, max_len_b=60)
    sample = {"net_input": {"src_tokens": source, "src_lengths": source.ne(PAD).sum(1)}}
    with torch.no_grad():
        found = [hypotheses[0]["tokens"].tolist() for hypotheses in generator.generate([ours], sample)]
        expected = theirs.generate(
            input_ids=source,
            attention_mask=source.ne(PAD).long(),
            num_beams=beam,
            max_new_tokens=60,
            min_new_tokens=1,  # fairseq-generate's own --min-len
            do_sample=False,
            suppress_tokens=[PAD],
            **({"early_stopping": True, "length_penalty": 1.0} if beam > 1 else {}),
        )
    rows = [[token for token in row[1:].tolist() if token != PAD] for row in expected]
    assert all(row[-1] == EOS for row in rows), "at the longest length the two searches differ"
    assert len({tuple(row) for row in rows}) > 12
    assert found == rows


def test_search_without_the_cache_finds_the_same(half_trained: tuple[T5Model, Any]) -> None:
    ours, _ = half_trained
    source = copy_task(24, torch.Generator().manual_seed(9))
    sample = {"net_input": {"src_tokens": source, "src_lengths": source.ne(PAD).sum(1)}}
    found = []
    for incremental in (True, False):
        generator = SequenceGenerator([ours], make_task(VOCABULARY).target_dictionary, beam_size=4, max_len_b=20)
        generator.model.has_incremental = incremental
        with torch.no_grad():
            found.append([[h["tokens"].tolist() for h in row] for row in generator.generate([ours], sample)])
    assert found[0] == found[1]


def test_weights_return_from_hugging_face_unchanged(model_seed: int) -> None:
    ours, theirs = make_pair(model_seed)
    tied = ours.cfg.output_layer == "tied"
    returned = from_huggingface(theirs.state_dict(), tied=str(ours.cfg.output_layer) == "tied")
    state = ours.state_dict()
    assert returned.keys() == state.keys(), tied
    assert all(torch.equal(returned[name], state[name]) for name in state)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_position_buckets_equal_hugging_face(bidirectional: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-700, 701)
    for buckets, max_distance in ((32, 128), (64, 256), (8, 20), (30, 100), (32, 600)):
        expected = T5Attention._relative_position_bucket(distance, bidirectional, buckets, max_distance)
        assert torch.equal(position_bucket(distance, buckets, max_distance, bidirectional), expected)
