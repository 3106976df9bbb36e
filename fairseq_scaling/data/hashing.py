"""Counter-based random numbers: every draw is a pure function of (seed, purpose, index).

Nothing is drawn from a stream, so a block's noise and place do not depend on what was drawn before, on the number of
workers or ranks, on a resume, or on the version of numpy: only on 64-bit integer arithmetic.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

UInt64Array = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


def key(seed: int, *purpose: object) -> np.uint64:
    """Return a 64-bit key for ``seed`` and a purpose, for example ``key(1, "corruption", "en")``."""
    text = "\0".join([str(int(seed)), *map(str, purpose)])
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def mix(values: UInt64Array) -> UInt64Array:
    """Return a bijective scrambling of 64-bit integers: the finaliser of SplitMix64.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014), with Stafford's
    constants (variant 13).
    """
    z = np.array(values, dtype=np.uint64)  # a copy: the steps below are in place
    z ^= z >> _S30
    z *= _MIX_1
    z ^= z >> _S27
    z *= _MIX_2
    z ^= z >> _S31
    return z


def random_bits(keys: UInt64Array, count: int) -> UInt64Array:
    """Return ``count`` independent 64-bit draws for every key: shape ``[*keys.shape, count]``.

    This is SplitMix64 evaluated at chosen counters, one stream per key.
    """
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return mix(mix(np.asarray(keys, dtype=np.uint64))[..., None] + counters)
