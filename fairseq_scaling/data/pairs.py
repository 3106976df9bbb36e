"""Which translation pairs a finetuning reads, in which batches, and how many tokens that are. Knows numpy alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from . import hashing
from .permutation import Permutation

Integers = NDArray[np.int64]


def training_pairs(sizes: Integers, finetune_tokens: int, seed: int) -> Integers:
    """Return the pairs of a finetuning set: the first of a permutation, so a smaller D_f is a prefix of a larger one.

    Args:
        sizes: tokens of every pair, source and target together: [pairs].
        finetune_tokens: D_f; as many pairs are taken as fit.
        seed: of the permutation.

    Raises:
        SettingError: not even the first pair fits.
    """
    order = _shuffled(len(sizes), seed, "finetuning pairs")
    taken = int(np.searchsorted(np.cumsum(sizes[order]), finetune_tokens, side="right"))
    if taken == 0:
        raise SettingError("finetune_tokens", finetune_tokens, f"the first pair has {int(sizes[order[0]])} tokens")
    return order[:taken]


def epoch_batches(
    lengths: Integers, seed: int, epoch: int, max_tokens: int | None, max_sentences: int | None
) -> list[list[int]]:
    """Return the batches of an epoch: pairs of like length together, in another order and composition every epoch.

    A batch takes pairs as long as their number times the longest side of any of them is at most ``max_tokens``, as
    fairseq's own batches do.

    Args:
        lengths: positions of source and target of every pair of the set: [pairs, 2].
        epoch: counted from 1.
    """
    order = _shuffled(len(lengths), seed, "finetuning pairs of an epoch", epoch)
    order = order[np.lexsort((lengths[order, 0], lengths[order, 1]))]
    formed: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    for pair, length in zip(order.tolist(), lengths.max(axis=1)[order].tolist(), strict=True):
        longest = max(longest, length)
        full = max_sentences is not None and len(batch) >= max_sentences
        if batch and (full or (max_tokens is not None and (len(batch) + 1) * longest > max_tokens)):
            formed.append(batch)
            batch, longest = [], length
        batch.append(pair)
    if batch:
        formed.append(batch)
    places = _shuffled(len(formed), seed, "finetuning batches of an epoch", epoch)
    return [formed[place] for place in places.tolist()]


def updates_of_batches(batches: int, ranks: int = 1, update_freq: int = 1) -> int:
    """Return how many updates an epoch of so many batches takes, where ``ranks`` processes share them."""
    return math.ceil(math.ceil(batches / ranks) / update_freq)


def readable_tokens(
    sizes: Integers,
    finetune_tokens: int,
    seed: int,
    updates: int,
    max_tokens: int | None = None,
    max_sentences: int | None = None,
    ranks: int = 1,
    update_freq: int = 1,
    prefix_length: int = 0,
) -> tuple[int, int]:
    """Return how many tokens of its set a finetuning reads in its first ``updates`` updates, and how many these are.

    Both are exact, source and target together. They are equal where the whole set is read at least once.

    Args:
        sizes: tokens of source and target of every training pair of the corpus: [pairs, 2].
        finetune_tokens: D_f.
        max_tokens, max_sentences: of a batch, ``--max-tokens`` and ``--batch-size``.
        ranks: number of processes.
        prefix_length: tokens of ``--source-prefix``; they take room in a batch, and are no part of D_f.

    Raises:
        SettingError: not even the first pair fits.
    """
    both = sizes.sum(axis=1)
    taken = training_pairs(both, finetune_tokens, seed)
    lengths, tokens = sizes[taken] + np.array([prefix_length, 0]), both[taken]
    batches = epoch_batches(lengths, seed, 1, max_tokens, max_sentences)[: updates * ranks * update_freq]
    return sum(int(tokens[batch].sum()) for batch in batches), int(tokens.sum())


def _shuffled(size: int, seed: int, *purpose: object) -> Integers:
    return Permutation(size, hashing.key(seed, *purpose))(np.arange(size))
