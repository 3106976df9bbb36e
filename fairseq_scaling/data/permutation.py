"""A seeded pseudo-random permutation of 0..n-1 that is computed, not stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import hashing

_ROUNDS = 6


class Permutation:
    """A bijection of ``range(size)``; any element in constant time, with no memory that grows with ``size``.

    A balanced Feistel network over the smallest even number of bits that holds ``size``; values that fall outside are
    sent through it again ("cycle walking": Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
    The network's domain is at most four times ``size``, so few values walk far.
    """

    def __init__(self, size: int, key: np.uint64) -> None:
        """Args:
        size: number of elements, below 2^62.
        key: from :func:`hashing.key`.
        """
        if not 0 <= size < 1 << 62:
            raise ValueError(f"size = {size}: must be from 0 to 2^62 - 1")
        self.size = size
        half_bits = max(1, ((max(size - 1, 1)).bit_length() + 1) // 2)
        self._half_bits = np.uint64(half_bits)
        self._mask = np.uint64((1 << half_bits) - 1)
        self._round_keys = hashing.random_bits(np.asarray(key, dtype=np.uint64), _ROUNDS)

    def __call__(self, positions: ArrayLike) -> NDArray[np.int64]:
        """Return the elements at ``positions`` (any shape, each from 0 to size - 1)."""
        positions = np.asarray(positions)
        if positions.size and not (0 <= int(positions.min()) and int(positions.max()) < self.size):
            raise IndexError(f"position outside 0..{self.size - 1}")
        values = self._encrypt(positions.astype(np.uint64).reshape(-1))
        outside = values >= self.size
        while outside.any():
            values[outside] = self._encrypt(values[outside])
            outside = values >= self.size
        return values.astype(np.int64).reshape(positions.shape)

    def _encrypt(self, values: hashing.UInt64Array) -> hashing.UInt64Array:
        left, right = values >> self._half_bits, values & self._mask
        for round_key in self._round_keys:
            left, right = right, left ^ (hashing.mix(right + round_key) & self._mask)
        return (left << self._half_bits) | right
