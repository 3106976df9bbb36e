"""The random choices of dropout on CPUs, drawn by numpy in a fraction of PyTorch's time and seeded by PyTorch.

Probabilities are rounded to multiples of 2^-16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def keep_factors(shape: Sequence[int], probability: float) -> Tensor:
    """Return 0 with that probability and else :func:`kept_scale`, for every place of ``shape``, in float32."""
    kept = _kept(math.prod(shape), probability)
    return torch.from_numpy(np.multiply(kept, np.float32(kept_scale(probability)))).view(*shape)


def keep_bits(shape: Sequence[int], probability: float) -> Tensor:
    """Return the same choices as int16: no bit set, or all."""
    kept = _kept(math.prod(shape), probability)
    return torch.from_numpy(np.negative(kept.view(np.int8), dtype=np.int16)).view(*shape)


def kept_scale(probability: float) -> float:
    """Return what the kept are multiplied with, so that the mean stays."""
    return (1 << 16) / ((1 << 16) - _dropped(probability))


def _kept(number: int, probability: float) -> np.ndarray:
    # numpy draws twice as fast as PyTorch, which seeds it here; 64 bits serve four elements.
    seed = int(torch.empty((), dtype=torch.int64).random_())
    drawn = np.random.SFC64(seed).random_raw((number + 3) // 4).view(np.int16)[:number]
    kept: np.ndarray = drawn >= _dropped(probability) - (1 << 15)
    return kept


def _dropped(probability: float) -> int:
    """Return how many of 2^16 numbers drop an element."""
    return round(probability * (1 << 16))
