"""Kernels against plain formulas in float64, position buckets by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_scaling.models import _t5_bfloat16
from fairseq_scaling.models._t5_bfloat16 import regular_step
from fairseq_scaling.models._t5_kernels import (
    _chunks,
    add_dropout,
    attention,
    dropout,
    linear,
    linear_cross_entropy,
    relu_dropout,
    relu_feed_forward,
    rms_norm,
)
from fairseq_scaling.models._t5_layers import PositionBias, position_bucket
from fairseq_scaling.models._t5_random import keep_bits, keep_factors


def leaves(*tensors: Tensor, double: bool = False) -> list[Tensor]:
    """Return copies that gather gradients."""
    return [(t.double() if double else t.clone()).requires_grad_() for t in tensors]


def grads(tensors: list[Tensor]) -> list[Tensor]:
    assert all(tensor.grad is not None for tensor in tensors)
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def assert_same_gradients(ours: list[Tensor], exact: list[Tensor]) -> None:
    """A sum of n products in float32 errs by at most n 2^-24 times the sum of their magnitudes: here n is up to 300."""
    tolerance = 300 * 2**-24
    for mine, right in zip(grads(ours), grads(exact), strict=True):
        torch.testing.assert_close(mine, right.float(), rtol=tolerance, atol=tolerance)


def test_bidirectional_buckets_of_t5() -> None:
    # 32 buckets, distance 128: 16 a direction, 8 of them exact, then 8 + floor(8 log(d / 8) / log 16)
    back = {
        0: 0,
        1: 1,
        7: 7,
        8: 8,
        11: 8,
        12: 9,
        15: 9,
        16: 10,
        22: 10,
        23: 11,
        32: 12,
        64: 14,
        90: 14,
        91: 15,
        128: 15,
    }
    for distance, bucket in back.items():
        assert position_bucket(torch.tensor(-distance), 32, 128, bidirectional=True) == bucket
        ahead = position_bucket(torch.tensor(distance), 32, 128, bidirectional=True)
        assert ahead == (bucket + 16 if distance else 0)


def test_unidirectional_buckets_of_t5() -> None:
    # 16 exact, then 16 + floor(16 log(d / 16) / log 8); whatever stands ahead shares bucket 0
    for distance, bucket in {0: 0, 5: 5, 15: 15, 16: 16, 18: 16, 19: 17, 32: 21, 64: 26, 113: 31, 1000: 31}.items():
        assert position_bucket(torch.tensor(-distance), 32, 128, bidirectional=False) == bucket
    assert position_bucket(torch.tensor([1, 2, 50]), 32, 128, bidirectional=False).tolist() == [0, 0, 0]


def test_bias_of_a_late_query_is_the_last_row_of_the_whole() -> None:
    bias = PositionBias(heads=3, buckets=8, max_distance=20, bidirectional=False)
    torch.nn.init.normal_(bias.weight)
    whole = bias(9, 9)
    assert torch.equal(bias(1, 9), whole[:, -1:])
    assert torch.equal(bias(4, 9), whole[:, -4:])


def test_rms_norm_equals_its_formula() -> None:
    x, weight, upstream = torch.randn(3, 5, 16) * 3 + 1, torch.rand(16) + 0.5, torch.randn(3, 5, 16)
    ours, exact = leaves(x, weight), leaves(x, weight, double=True)
    result = rms_norm(*ours, 1e-6)
    expected = exact[1] * exact[0] / (exact[0].square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(result, expected.float())
    (result * upstream).sum().backward(), (expected * upstream.double()).sum().backward()
    assert_same_gradients(ours, exact)


def test_rms_norm_of_zeros_is_zero_with_finite_gradients() -> None:
    x, weight = leaves(torch.zeros(2, 8), torch.ones(8))
    rms_norm(x, weight, 1e-6).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_rms_norm_of_half_precision_is_computed_in_float32() -> None:
    x = torch.full((1, 4), 300.0, dtype=torch.float16)  # 300^2 overflows float16
    assert rms_norm(x, torch.ones(4, dtype=torch.float16), 1e-6).tolist() == [[1.0] * 4]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_attention_equals_its_formula(with_bias: bool, with_mask: bool) -> None:
    batch, heads, queries, keys, size = 2, 3, 4, 6, 5
    tensors = [torch.randn(batch, heads, n, size) for n in (queries, keys, keys)] + [torch.randn(heads, queries, keys)]
    mask = torch.tensor([[False] * 6, [False] * 4 + [True] * 2]) if with_mask else None
    upstream = torch.randn(batch, queries, heads * size)
    ours, exact = leaves(*tensors), leaves(*tensors, double=True)

    result = attention(*ours[:3], ours[3] if with_bias else None, mask, 0.0)
    scores = exact[0] @ exact[1].transpose(-1, -2)
    scores = scores + exact[3] if with_bias else scores
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :], -torch.inf)
    expected = (scores.softmax(-1) @ exact[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(result, expected.float())

    (result * upstream).sum().backward(), (expected * upstream.double()).sum().backward()
    used = 4 if with_bias else 3
    assert_same_gradients(ours[:used], exact[:used])
    general = attention(*(t.double() for t in tensors[:3]), tensors[3].double() if with_bias else None, mask, 0.0)
    torch.testing.assert_close(general, expected)


def test_attention_with_dropout_equals_its_formula() -> None:
    batch, heads, queries, keys, size = 2, 3, 4, 6, 5
    tensors = [torch.randn(batch, heads, n, size) for n in (queries, keys, keys)] + [torch.randn(heads, queries, keys)]
    upstream = torch.randn(batch, queries, heads * size)
    ours, exact = leaves(*tensors), leaves(*tensors, double=True)

    torch.manual_seed(7)
    result = attention(*ours, None, 0.4)
    torch.manual_seed(7)
    keep = keep_factors((batch, heads, queries, keys), 0.4).double()
    assert 0 < (keep == 0).sum() < keep.numel()
    weights = (exact[0] @ exact[1].transpose(-1, -2) + exact[3]).softmax(-1) * keep
    expected = (weights @ exact[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(result, expected.float())
    (result * upstream).sum().backward(), (expected * upstream.double()).sum().backward()
    assert_same_gradients(ours, exact)


@pytest.fixture
def medium() -> Iterator[None]:
    """Products in bfloat16 where the CPU has instructions for it."""
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


# bfloat16 has 8 significant bits, float32 has 24: whole numbers up to 2^8 and 2^24 are exact in them, and so are sums
# of products that stay below. On such numbers a kernel is right to the last bit, on every CPU, in any order of summing.
BFLOAT16 = 2.0**-8
"""The largest relative error of one rounding to bfloat16."""


def whole_numbers(shape: tuple[int, ...], largest: int, generator: torch.Generator) -> Tensor:
    return torch.randint(-largest, largest + 1, shape, generator=generator).float()


@pytest.mark.parametrize(("batch", "length", "exact"), [(2, 32, True), (1024, 32, False), (1024, 33, True)])
def test_attention_is_in_float32_but_for_much_work_on_regular_shapes(
    batch: int, length: int, exact: bool, medium: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v = (whole_numbers((batch, 4, length, 16), 1, torch.manual_seed(i)) for i in range(3))
    precisions = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda *x: (precisions.append(torch.get_float32_matmul_precision()), bmm(*x))[1])
    result = attention(q, k, v, None, None, 0.0)
    assert set(precisions) == {"highest" if exact else "medium"}
    assert torch.get_float32_matmul_precision() == "medium"
    torch.set_float32_matmul_precision("highest")
    expected = torch.softmax(q @ k.transpose(2, 3), -1) @ v
    # The scores are exact. What is rounded are the weights: they sum to 1, and no value is above 1. Softmax and the sum
    # of at most 33 products err by a few times 2^-24 each.
    tolerance = 64 * 2**-24 + (0 if exact else BFLOAT16)
    torch.testing.assert_close(result, expected.transpose(1, 2).flatten(2), rtol=0, atol=tolerance)


# A number with more than 8 significant bits would not survive bfloat16.
@pytest.mark.parametrize(("precision", "largest"), [("highest", 511), ("medium", 16)])
@pytest.mark.parametrize("shape", [(7, 3, 24), (1, 24), (40, 25, 24), (64, 24)])
def test_linear_is_exact_on_numbers_that_the_precision_holds(
    shape: tuple[int, ...], precision: str, largest: int, medium: None
) -> None:
    torch.set_float32_matmul_precision(precision)
    generator = torch.manual_seed(0)
    given = [whole_numbers(shape, largest, generator), whole_numbers((36, 24), 16, generator)]
    upstream = whole_numbers((*shape[:-1], 36), 16, generator)
    ours, exact = leaves(*given), leaves(*given, double=True)
    result, expected = linear(*ours), exact[0] @ exact[1].T
    # what follows may overwrite it
    result.mul_(upstream).sum().backward()
    (expected * upstream).sum().backward()
    for near, right in zip([result, *grads(ours)], [expected * upstream, *grads(exact)], strict=True):
        assert right.abs().max() < 2**24
        assert torch.equal(near, right.float())


def test_products_in_bfloat16_have_few_numbers_of_rows_and_leave_few_rows(
    medium: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = []
    mm = torch.mm

    def recorded(x: Tensor, y: Tensor, **more: Tensor) -> Tensor:
        products.append((len(x), torch.get_float32_matmul_precision()))
        return mm(x, y, **more)

    monkeypatch.setattr(torch, "mm", recorded)
    weight = torch.ones(4, 4)
    for number in range(1, 2049):
        products.clear()
        linear(torch.ones(number, 4), weight)
        exact = sum(rows for rows, precision in products if precision == "highest")
        assert exact < max(16, number / 8)
        assert sum(rows for rows, _ in products) in (0, number)  # none where one product does for all
    assert sum(rows % regular_step(rows) == 0 for rows in range(1, 2049)) <= 8 + 8 * 4


@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("probability", [0.0, 0.5])
@pytest.mark.parametrize(("precision", "largest"), [("highest", 511), ("medium", 1)])
@pytest.mark.parametrize("shape", [(7, 3, 24), (1, 24), (40, 25, 24), (64, 24)])
def test_feed_forward_is_exact_on_numbers_that_the_precision_holds(
    shape: tuple[int, ...], precision: str, largest: int, probability: float, instructions: bool,
    medium: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_t5_bfloat16, "has_instructions", lambda: instructions)
    torch.set_float32_matmul_precision(precision)
    generator = torch.manual_seed(0)
    given = [whole_numbers(shape, largest, generator), *(whole_numbers(s, 1, generator) for s in ((32, 24), (24, 32)))]
    upstream = whole_numbers(shape, 1, generator)
    exact, ours = leaves(*given, double=True), leaves(*given)
    # Dropout with probability 1/2 doubles what it keeps: exactly.
    torch.manual_seed(5)
    keep = keep_factors((*shape[:-1], 32), probability).double() if probability else 1.0
    expected = (exact[0] @ exact[1].T).relu() * keep @ exact[2].T
    (expected * upstream.double()).sum().backward()

    torch.manual_seed(5)
    result = relu_feed_forward(*ours, probability, training=True)
    # what follows may overwrite it
    result.mul_(upstream).sum().backward()
    # In bfloat16 the hidden layer (24 products) is exact; sums over 32 features or 1000 rows may exceed 256, and are
    # rounded once. Float32 holds all of them.
    tolerance = BFLOAT16 if precision == "medium" and instructions else 0
    for near, right in zip([result, *grads(ours)], [expected * upstream, *grads(exact)], strict=True):
        assert near.dtype == torch.float32
        assert right.abs().max() < 2**24
        torch.testing.assert_close(near, right.float(), rtol=tolerance, atol=0)
    rested = relu_feed_forward(*given, probability, training=False)
    torch.testing.assert_close(rested, F.relu(given[0] @ given[1].T) @ given[2].T, rtol=tolerance, atol=0)


def test_products_of_the_feed_forward_in_bfloat16_have_few_numbers_of_rows(
    medium: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_t5_bfloat16, "has_instructions", lambda: True)
    numbers = set()
    mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda x, y: (numbers.add(len(x)), mm(x, y))[1])
    for number in range(1, 2049):
        before = len(numbers)
        relu_feed_forward(torch.ones(number, 4), torch.ones(8, 4), torch.ones(4, 8), 0.0, training=True)
        assert number <= max(numbers) < number + max(17, number / 8)
        assert len(numbers) <= before + 1
    assert len(numbers) <= 8 + 8 * 4


@pytest.mark.parametrize("most", [16, 50, 100, 248])
def test_chunks_of_the_cross_entropy_cover_all_rows_in_few_sizes(most: int) -> None:
    often, unit = set(), 64 if most >= 64 else 16
    for number in range(1, 1500):
        chunks = list(_chunks(number, most))
        assert [start for start, _, _ in chunks] == [0, *(end for _, end, _ in chunks[:-1])]
        assert chunks[-1][1] == number
        assert all(end - start <= most for start, end, _ in chunks)
        often |= {end - start for start, end, regular in chunks if regular}
        assert sum(end - start for start, end, regular in chunks if not regular) == number % unit
    assert len(often) <= 3


def test_dropout_as_bits_makes_the_same_choices() -> None:
    torch.manual_seed(3)
    factors = keep_factors((5, 77), 0.3)
    torch.manual_seed(3)
    assert torch.equal(keep_bits((5, 77), 0.3) == -1, factors != 0)
    assert set(keep_bits((5, 77), 0.3).unique().tolist()) == {-1, 0}


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.93])
def test_dropout_drops_the_share_it_should_and_keeps_the_mean(probability: float) -> None:
    x = torch.ones(1001, 333, requires_grad=True)
    result = dropout(x, probability, training=True)
    result.sum().backward()
    kept = result != 0
    error = (probability * (1 - probability) / x.numel()) ** 0.5
    assert abs(1 - kept.float().mean().item() - probability) < 4 * error + 2**-17
    torch.testing.assert_close(result[kept], torch.full_like(result[kept], 1 / (1 - probability)), rtol=2e-4, atol=0)
    assert x.grad is not None
    assert torch.equal(x.grad, result.detach())


def test_dropout_treats_neighbours_independently() -> None:
    kept = (keep_factors((4_000, 4), 0.3) != 0).double()  # four neighbours share one drawn number
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlation.abs().max() < 4 / 4_000**0.5


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_dropout_joined_with_its_neighbour_is_dropout(probability: float, training: bool) -> None:
    x, y, upstream = torch.randn(3, 4, 7), torch.randn(3, 4, 7), torch.randn(3, 4, 7)

    def gradients(function: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        torch.manual_seed(5)
        given = leaves(x, y)
        result = function(*given)
        (result * upstream).sum().backward()
        return result, *(tensor.grad for tensor in given if tensor.grad is not None)

    for joined, apart in (
        (
            lambda a, b: add_dropout(a, b, probability, training),
            lambda a, b: a + dropout(b, probability, training),
        ),
        (
            lambda a, b: relu_dropout(a * b, probability, training),
            lambda a, b: dropout((a * b).relu(), probability, training),
        ),
    ):
        for one, other in zip(gradients(joined), gradients(apart), strict=True):
            torch.testing.assert_close(one, other)


def test_dropout_follows_the_seed_and_rests_outside_of_training() -> None:
    x = torch.randn(5, 7)
    torch.manual_seed(3)
    first = dropout(x, 0.5, training=True)
    assert not torch.equal(dropout(x, 0.5, training=True), first)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5, training=True), first)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


@pytest.mark.parametrize("tokens", [1, 7, 300])
def test_linear_cross_entropy_equals_its_formula(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairseq_scaling.models._t5_kernels._LinearCrossEntropy.CHUNK_BYTES", 4 * 50 * 64)
    features, weight, targets = torch.randn(tokens, 12), torch.randn(50, 12) * 2, torch.randint(50, (tokens,))
    ours, exact = leaves(features, weight), leaves(features, weight, double=True)
    loss, total = linear_cross_entropy(*ours, targets)
    expected = F.cross_entropy(exact[0] @ exact[1].T, targets, reduction="sum")
    assert total.dtype == torch.float64
    assert not total.requires_grad
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    (loss * 0.5).backward(), (expected * 0.5).backward()
    assert_same_gradients(ours, exact)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("tokens", [1, 40, 64, 65, 200])
def test_the_cross_entropy_of_gpus_equals_its_formula(
    dtype: torch.dtype, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU takes the same way in bfloat16 (autocast), and in double precision, which is rounded to single."""
    monkeypatch.setattr("fairseq_scaling.models._t5_kernels._ChunkedCrossEntropy.CHUNK_BYTES", 4 * 50 * 64)
    targets = torch.randint(50, (tokens,))
    features, weight = torch.randn(tokens, 12).to(dtype).double(), (torch.randn(50, 12) * 2).to(dtype).double()
    exact = leaves(features, weight)
    expected = F.cross_entropy(exact[0] @ exact[1].T, targets, ignore_index=1, reduction="sum")
    given = torch.float32 if dtype == torch.bfloat16 else dtype
    ours = leaves(features.to(given), weight.to(given))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss, total = linear_cross_entropy(*ours, targets, ignored=1)
    (loss * 0.5).backward(), (expected * 0.5).backward()
    # bfloat16 rounds each logit, up to about 30, by 2^-9 of it; sums of a few thousand float32 are exact to 2^-20
    per_token = 30 * 2**-9 if dtype == torch.bfloat16 else 1e-5
    assert total.item() == pytest.approx(expected.item(), abs=per_token * tokens)
    assert loss.item() == pytest.approx(total.item(), rel=1e-6)
    for mine, right in zip(ours, exact, strict=True):
        assert mine.grad is not None
        assert right.grad is not None
        assert mine.grad.dtype == mine.dtype
        largest = right.grad.abs().max().clamp(min=1)
        assert (mine.grad.double() - right.grad).abs().max() <= largest * (0.05 if dtype == torch.bfloat16 else 1e-5)
    nothing = targets.eq(1)
    assert ours[0].grad is not None
    assert ours[0].grad[nothing].abs().sum() == 0


def test_the_cross_entropy_of_gpus_without_gradients_and_of_padding_alone() -> None:
    features, weight = torch.randn(9, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        loss, total = linear_cross_entropy(features, weight, torch.ones(9, dtype=torch.long), ignored=1)
    assert (loss.item(), total.item()) == (0, 0)


def test_fp16_keeps_the_way_that_scales_before_it_rounds() -> None:
    features, weight, targets = torch.randn(9, 4).half(), torch.randn(6, 4).half(), torch.tensor([0, 1, 2] * 3)
    _, total = linear_cross_entropy(features, weight, targets, ignored=1)
    logits = features.float() @ weight.float().T
    # fp16 has 11 bits
    expected = F.cross_entropy(logits, targets, ignore_index=1, reduction="sum").item()
    assert total.item() == pytest.approx(expected, rel=2**-9)


def test_linear_cross_entropy_of_an_impossible_target_is_large_and_finite() -> None:
    features, weight = torch.tensor([[100.0]]), torch.tensor([[0.0], [5.0]])
    loss, total = linear_cross_entropy(features, weight, torch.tensor([0]))
    assert (loss.item(), total.item()) == (500.0, 500.0)  # exp(-500) is zero in float32


def test_linear_cross_entropy_without_gradients() -> None:
    features, weight, targets = torch.randn(9, 4), torch.randn(6, 4), torch.randint(6, (9,))
    with torch.no_grad():
        loss, _ = linear_cross_entropy(features, weight, targets)
    assert loss.item() == pytest.approx(F.cross_entropy(features @ weight.T, targets, reduction="sum").item(), rel=1e-5)
