"""T5's span corruption, a whole batch of blocks at a time.

Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (JMLR 2020),
section 3.1.4, and the definition of its random spans: a block of n tokens loses exactly round(0.15 n) of them in
exactly round(0.15 n / 3) spans; the lengths of the lost spans and of the kept stretches between them are uniform over
all ways to cut them (compositions), and a kept stretch comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from . import hashing

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class SpanCorruption:
    """Turns blocks into encoder inputs and decoder targets, all of one length: nothing is padded.

    Attributes:
        block_length: tokens of a block before corruption.
        noise_tokens: tokens of a block that are masked.
        spans: spans they form; so many sentinels are used on either side.
    """

    block_length: int
    noise_tokens: int
    spans: int

    @classmethod
    def for_block(cls, block_length: int, noise_density: float = 0.15, mean_span_length: float = 3.0) -> SpanCorruption:
        """Return T5's counts for a block of ``block_length`` tokens (at least two)."""
        if not 0 < noise_density < 1:
            raise SettingError("noise_density", noise_density, "must lie between 0 and 1", "T5 and the paper use 0.15")
        if mean_span_length < 1:
            raise SettingError("mean_span_length", mean_span_length, "must be at least 1", "T5 and the paper use 3")
        if block_length < 2:
            raise SettingError("block length", block_length, "must be at least two tokens")
        noise_tokens = min(max(round(block_length * noise_density), 1), block_length - 1)
        # Each masked span follows a kept stretch of at least one token, and holds at least one token itself.
        spans = min(max(round(noise_tokens / mean_span_length), 1), noise_tokens, block_length - noise_tokens)
        return cls(block_length, noise_tokens, spans)

    @classmethod
    def for_input_length(
        cls, input_length: int, noise_density: float = 0.15, mean_span_length: float = 3.0
    ) -> SpanCorruption:
        """Return the corruption whose encoder input is ``input_length`` positions, or as near below as can be.

        T5 takes the longest block whose corrupted input, end-of-sentence included, fits: 568 tokens for 512 positions.
        """
        if input_length < 4:
            raise SettingError("input_length", input_length, "must be at least 4 positions")
        block_length = 2
        while cls.for_block(block_length + 1, noise_density, mean_span_length).input_length <= input_length:
            block_length += 1
        return cls.for_block(block_length, noise_density, mean_span_length)

    @property
    def input_length(self) -> int:
        """Positions of the encoder input: what is kept, a sentinel per span, end of sentence."""
        return self.block_length - self.noise_tokens + self.spans + 1

    @property
    def target_length(self) -> int:
        """Positions of the decoder target: what was masked, a sentinel per span, end of sentence."""
        return self.noise_tokens + self.spans + 1

    def noise_mask(self, keys: hashing.UInt64Array) -> BoolArray:
        """Return what is masked, for each key: ``[batch, block_length]``, a kept token always first."""
        kept_tokens = self.block_length - self.noise_tokens
        bits = hashing.random_bits(keys, self.block_length - 2)
        kept = _composition(bits[:, : kept_tokens - 1], kept_tokens, self.spans)
        noise = _composition(bits[:, kept_tokens - 1 :], self.noise_tokens, self.spans)
        # Cumulative stretch lengths are the places where kept and masked text take turns.
        turns = np.empty((len(keys), 2 * self.spans), dtype=np.int64)
        turns[:, 0::2], turns[:, 1::2] = kept, noise
        ends = np.cumsum(turns, axis=1)[:, :-1]
        flips = np.zeros((len(keys), self.block_length), dtype=np.int8)
        np.put_along_axis(flips, ends, 1, axis=1)
        return np.bitwise_xor.accumulate(flips, axis=1).view(np.bool_)

    def __call__(
        self, blocks: IntArray, keys: hashing.UInt64Array, sentinels: IntArray, end_of_sentence: int
    ) -> tuple[IntArray, IntArray]:
        """Corrupt a batch.

        Args:
            blocks: token ids, ``[batch, block_length]``.
            keys: one key per block; the same key gives the same noise.
            sentinels: ids of the sentinels in the order of their use, at least ``spans`` of them.
            end_of_sentence: id put at the end of input and target.

        Returns:
            encoder input ``[batch, input_length]`` and decoder target ``[batch, target_length]``.
        """
        if len(sentinels) < self.spans:
            raise SettingError(
                "input_length", self.input_length,
                f"needs {self.spans} sentinels, the dictionary holds {len(sentinels)}",
                "take a smaller input length or noise density, or encode the corpus with more sentinels",
            )  # fmt: skip
        noise = self.noise_mask(keys)
        return (
            _replace_spans(blocks, noise, sentinels[: self.spans], end_of_sentence),
            _replace_spans(blocks, ~noise, sentinels[: self.spans], end_of_sentence),
        )


def _composition(bits: hashing.UInt64Array, total: int, parts: int) -> IntArray:
    """Return, for each row of ``total - 1`` random draws, one way to cut ``total`` into ``parts``: ``[batch, parts]``.

    A composition is a choice of ``parts - 1`` of the ``total - 1`` places between neighbours: those with the smallest
    draws.
    """
    batch = len(bits)
    lengths = np.empty((batch, parts), dtype=np.int64)
    if parts == 1:
        lengths[:] = total
        return lengths
    # The place is written into the low bits of its draw: sorting numbers is several times faster than argsort.
    place_bits = np.uint64(total.bit_length())
    places = np.arange(1, total, dtype=np.uint64)
    tagged = ((bits >> place_bits) << place_bits) | places
    tagged.partition(parts - 2, axis=1)
    cuts = np.sort((tagged[:, : parts - 1] & np.uint64((1 << int(place_bits)) - 1)).astype(np.int64), axis=1)
    lengths[:, 0] = cuts[:, 0]
    lengths[:, 1:-1] = np.diff(cuts, axis=1)
    lengths[:, -1] = total - cuts[:, -1]
    return lengths


def _replace_spans(blocks: IntArray, spans: BoolArray, sentinels: IntArray, end_of_sentence: int) -> IntArray:
    """Return the blocks with each span (a run of True) replaced by one sentinel, and the end of sentence behind."""
    starts = spans.copy()
    starts[:, 1:] &= ~spans[:, :-1]
    replaced = blocks.copy()
    replaced[starts] = np.tile(sentinels, len(blocks))
    kept = replaced[~spans | starts].reshape(len(blocks), -1)
    output = np.empty((len(blocks), kept.shape[1] + 1), dtype=np.int64)
    output[:, :-1] = kept
    output[:, -1] = end_of_sentence
    return output
