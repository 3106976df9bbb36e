"""Which pairs a finetuning reads: nested in D_f, in fairseq's own batches, and exactly so many tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.data import hashing
from fairseq_scaling.data.pairs import (
    epoch_batches,
    readable_tokens,
    training_pairs,
    updates_of_batches,
)
from fairseq_scaling.data.permutation import Permutation
from fairseq_scaling.errors import SettingError

lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=120).map(np.array)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def test_finetuning_sets_are_nested_and_exact() -> None:
    sizes = np.random.default_rng(1).integers(2, 30, 800)
    small, large = training_pairs(sizes, 1000, seed=3), training_pairs(sizes, 4000, seed=3)
    assert np.array_equal(large[: len(small)], small)
    assert len(np.unique(large)) == len(large)
    order = Permutation(len(sizes), hashing.key(3, "finetuning pairs"))(np.arange(len(sizes)))
    for taken, budget in ((small, 1000), (large, 4000)):
        assert sizes[taken].sum() <= budget < sizes[order[: len(taken) + 1]].sum()
    assert not np.array_equal(training_pairs(sizes, 1000, seed=4)[:5], small[:5])


def test_a_set_without_room_for_one_pair_is_refused() -> None:
    with pytest.raises(SettingError, match="the first pair has 9 tokens"):
        training_pairs(np.array([9, 9]), 8, seed=1)


@quick
@given(
    pairs=lengths,
    limits=st.tuples(st.none() | st.integers(40, 200), st.none() | st.integers(1, 9)).filter(any),
    seed=st.integers(0, 9),
    epoch=st.integers(1, 3),
)
def test_batches_are_those_of_fairseq(
    pairs: np.ndarray, limits: tuple[int | None, int | None], seed: int, epoch: int
) -> None:
    """As fairseq forms them of pairs in the order of length; another order of pairs and batches in every epoch."""
    from fairseq.data import data_utils

    max_tokens, max_sentences = limits
    found = epoch_batches(pairs, seed, epoch, max_tokens, max_sentences)
    key = hashing.key(seed, "finetuning pairs of an epoch", epoch)
    order = Permutation(len(pairs), key)(np.arange(len(pairs)))
    order = order[np.lexsort((pairs[order, 0], pairs[order, 1]))]
    longest = pairs.max(axis=1)
    formed = data_utils.batch_by_size(
        order, lambda pair: longest[pair], longest[order], max_tokens=max_tokens, max_sentences=max_sentences
    )
    key = hashing.key(seed, "finetuning batches of an epoch", epoch)
    places = Permutation(len(formed), key)(np.arange(len(formed)))
    assert found == [formed[place].tolist() for place in places]


@quick
@given(pairs=lengths, updates=st.integers(0, 40), ranks=st.integers(1, 3), update_freq=st.integers(1, 3))
def test_tokens_that_can_be_read_are_those_of_the_batches(
    pairs: np.ndarray, updates: int, ranks: int, update_freq: int
) -> None:
    max_tokens, seed = 100, 5
    batches = epoch_batches(pairs, seed, 1, max_tokens, None)
    small = [batches[first : first + ranks] for first in range(0, len(batches), ranks)]  # one for each rank
    read = [pair for together in small[: updates * update_freq] for batch in together for pair in batch]
    everything = int(pairs.sum())
    # The pairs of the set count from 0 in the order of the permutation.
    ordered = pairs[np.argsort(training_pairs(pairs.sum(axis=1), everything, seed))]
    found = readable_tokens(ordered, everything, seed, updates, max_tokens, None, ranks, update_freq)
    assert found == (int(pairs[read].sum()), everything)
    assert found[0] <= 2 * max_tokens * ranks * update_freq * updates
    assert (found[0] == everything) == (updates >= updates_of_batches(len(batches), ranks, update_freq))


def test_a_prefix_takes_room_but_is_no_part_of_what_is_read() -> None:
    pairs = np.full((10, 2), 10)
    assert readable_tokens(pairs, 200, 1, updates=1, max_tokens=40) == (80, 200)
    assert readable_tokens(pairs, 200, 1, updates=1, max_tokens=40, prefix_length=10) == (40, 200)


@pytest.mark.parametrize(("batches", "ranks", "update_freq", "updates"), [(7, 1, 1, 7), (7, 2, 1, 4), (7, 2, 3, 2)])
def test_an_epoch_ends_with_an_update(batches: int, ranks: int, update_freq: int, updates: int) -> None:
    assert updates_of_batches(batches, ranks, update_freq) == updates
