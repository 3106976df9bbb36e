"""What a run sees must never change: checksums, the same with Python 3.11 and 3.12 and whatever version of numpy.

A test that fails here says that studies before and after a change do not compare: mend the change, not the checksum.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from fairseq_scaling.data import hashing
from fairseq_scaling.data.corruption import SpanCorruption
from fairseq_scaling.data.permutation import Permutation
from fairseq_scaling.data.plan import PretrainingPlan
from fairseq_scaling.mixture import Mixture


def checksum(*arrays: ArrayLike) -> str:
    content = b"".join(np.ascontiguousarray(array, dtype="<i8").tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:16]


def test_the_blocks_of_a_plan_stay_the_same() -> None:
    tokens = {"en": 10**12, "fr": 10**9, "de": 10**8}
    # Languages count in alphabetical order. A mixture that was written in another one had other blocks before that.
    for mixture in ("de:0.2,en:0.5,fr:0.3", "en:0.5,fr:0.3,de:0.2"):
        plan = PretrainingPlan(Mixture.parse(mixture), tokens, 568, [10**8], seed=3)
        assert checksum(*plan.at(np.arange(20_000))) == "410ad398cd4b5450"


def test_the_noise_of_blocks_stays_the_same() -> None:
    blocks = np.arange(64 * 568).reshape(64, 568) % 30_000
    keys = hashing.mix(np.arange(64, dtype=np.uint64))
    source, target = SpanCorruption.for_block(568)(blocks, keys, np.arange(40_000, 40_100)[::-1], 2)
    assert checksum(source, target) == "7e54dba59dbb9b21"


def test_the_order_of_finetuning_pairs_stays_the_same() -> None:
    order = Permutation(99_991, hashing.key(1, "finetuning pairs"))(np.arange(99_991))
    assert checksum(order) == "646a51d5e98f8724"
