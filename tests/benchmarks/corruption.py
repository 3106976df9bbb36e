"""Tokens per second of span corruption, on one thread.

python tests/benchmarks/corruption.py [--blocks 256] [--repeats 50]
"""

from __future__ import annotations

import argparse
import os
import time

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  after the number of threads is set

from fairseq_scaling.data import hashing  # noqa: E402
from fairseq_scaling.data.corruption import SpanCorruption  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=256, help="blocks in a batch")
    parser.add_argument("--repeats", type=int, default=50, help="batches that are timed")
    arguments = parser.parse_args()
    sentinels = np.arange(2100, 2000, -1)
    for input_length in (64, 512):
        corruption = SpanCorruption.for_input_length(input_length)
        shape = (arguments.blocks, corruption.block_length)
        blocks = np.random.default_rng(0).integers(4, 2000, shape)
        times = []
        for repeat in range(arguments.repeats):
            keys = hashing.random_bits(hashing.key(repeat, "benchmark"), arguments.blocks)
            start = time.process_time()
            corruption(blocks, keys, sentinels, 2)
            times.append(time.process_time() - start)
        best, median = blocks.size / min(times) / 1e6, blocks.size / float(np.median(times)) / 1e6
        print(f"input length {input_length}: {median:.1f} M tokens/s median, {best:.1f} best (processor time)")


if __name__ == "__main__":
    main()
