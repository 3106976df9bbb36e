from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.data import hashing
from fairseq_scaling.data.corruption import SpanCorruption
from fairseq_scaling.errors import SettingError

EOS, SENTINELS = 2, np.arange(1099, 999, -1)


def _keys(number: int, seed: int = 0) -> hashing.UInt64Array:
    return hashing.random_bits(hashing.key(seed, "test"), number)


@pytest.mark.parametrize(
    ("input_length", "block_length", "target_length"),
    [(512, 568, 114), (256, 284, 58), (1024, 1137, 229)],  # t5.data.preprocessors.random_spans_helper
)
def test_block_lengths_are_t5s(input_length: int, block_length: int, target_length: int) -> None:
    corruption = SpanCorruption.for_input_length(input_length)
    assert (corruption.block_length, corruption.input_length) == (block_length, input_length)
    assert corruption.target_length == target_length


shapes = st.tuples(st.integers(2, 300), st.floats(0.01, 0.9), st.floats(1, 10))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(shape=shapes, seed=st.integers(0, 1000))
def test_nothing_of_a_block_is_lost(shape: tuple[int, float, float], seed: int) -> None:
    """Putting each target span back in the place of its sentinel gives the block."""
    corruption = SpanCorruption.for_block(*shape)
    blocks = np.random.default_rng(seed).integers(3, 1000, (7, corruption.block_length))
    sentinels = np.arange(5000, 5000 - corruption.spans, -1)
    sources, targets = corruption(blocks, _keys(7, seed), sentinels, EOS)
    assert sources.shape == (7, corruption.input_length)
    assert targets.shape == (7, corruption.target_length)
    for block, source, target in zip(blocks, sources.tolist(), targets.tolist(), strict=True):
        assert source.pop() == target.pop() == EOS
        spans: dict[int, list[int]] = {}
        for token in target:
            if token in sentinels:
                spans[token] = current = []
            else:
                current.append(token)
        assert list(spans) == sentinels.tolist()  # in their order, each once
        assert all(spans.values())
        assert source[0] not in spans  # kept text comes first
        rebuilt = [piece for token in source for piece in spans.pop(token, [token])]
        assert rebuilt == block.tolist()
        assert not spans


def test_numbers_of_masked_tokens_and_spans_are_exact_over_10000_blocks() -> None:
    corruption = SpanCorruption.for_input_length(512)
    mask = corruption.noise_mask(_keys(10_000))
    assert (mask.sum(axis=1) == 85).all()
    starts = mask[:, 1:] & ~mask[:, :-1]
    assert (starts.sum(axis=1) == 28).all()
    assert not mask[:, 0].any()


def test_span_lengths_are_uniform_over_compositions() -> None:
    """4 masked tokens in 2 spans and 6 kept ones in 2 stretches: 3 * 5 masks, each equally likely."""
    corruption = SpanCorruption(block_length=10, noise_tokens=4, spans=2)
    counts = Counter(tuple(row) for row in corruption.noise_mask(_keys(30_000)).tolist())
    assert len(counts) == 15
    expected = 30_000 / 15
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 42.6  # 14 degrees, 99.99 %


def test_noise_depends_on_the_key_alone() -> None:
    corruption = SpanCorruption.for_input_length(64)
    keys = _keys(20)
    together = corruption.noise_mask(keys)
    alone = np.concatenate([corruption.noise_mask(keys[i : i + 1]) for i in range(20)])
    assert np.array_equal(together, alone)
    assert len(np.unique(together, axis=0)) > 15


@pytest.mark.parametrize("setting", [{"noise_density": 0.0}, {"noise_density": 1.0}, {"mean_span_length": 0.5}])
def test_impossible_settings_are_named(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        SpanCorruption.for_input_length(512, **setting)


def test_too_few_sentinels_are_refused() -> None:
    corruption = SpanCorruption.for_input_length(512)
    with pytest.raises(SettingError, match="needs 28 sentinels, the dictionary holds 10"):
        corruption(np.zeros((1, 568), dtype=np.int64), _keys(1), SENTINELS[:10], EOS)
