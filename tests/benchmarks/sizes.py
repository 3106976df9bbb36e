"""What a larger corpus costs before the first batch, and at any place of a run: it should cost nothing.

    python tests/benchmarks/sizes.py [--tokens 1M,1B,1T] [--languages 3] [--folder /tmp]

Makes corpus folders of these sizes whose files are sparse: they have the length of real ones and take up no disk, as
what nobody wrote reads as zeros. All else is real: the format, with an index of 12 bytes for each sentence of 25
tokens, the task, its plan and its batches. Each size has a process of its own. Shown are

- start-up: opening the corpus, building the task, its plan and the first batch, on top of importing torch and fairseq;
- memory: the most that this took above what the process held with its imports and a model;
- a position: which block stands at one place of the run, a random one and one of the last;
- the last batch: going on right before it, as after a resume, and making it.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402  after the number of threads is set
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from fairseq_scaling.data.corpus import SMALL_FILE, corpus_fingerprint, file_checksum  # noqa: E402
from fairseq_scaling.data.plan import Interleaving  # noqa: E402
from fairseq_scaling.data.tokenfile import _HEADER, _MAGIC  # noqa: E402
from fairseq_scaling.mixture import Mixture  # noqa: E402
from fairseq_scaling.quantities import format_tokens, parse_tokens  # noqa: E402

SENTENCE, UINT16 = 25, 8  # tokens of every sentence; the index's number for the type of a token
INPUT_LENGTH, BLOCK, BATCH, POSITIONS = 512, 568, 32, 2000
PIECES, SENTINELS = 32_000, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="1M,1B,1T", help="sizes of the corpora (default 1M,1B,1T)")
    parser.add_argument("--languages", type=int, default=3, help="languages of the mixture (default 3)")
    parser.add_argument("--folder", type=Path, help="where the sparse files go (default: the system's folder)")
    options = parser.parse_args()
    table = Table(title=f"{options.languages} languages, blocks of {BLOCK} tokens, processor time of one thread")
    for heading in ("tokens", "blocks in the run", "start-up", "memory", "random position", "one of the last",
                    "last batch", "imports, model"):  # fmt: skip
        table.add_column(heading, justify="right")
    for tokens in (parse_tokens(size) for size in options.tokens.split(",")):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            budget = write_sparse_corpus(Path(folder), mixture_of(options.languages), tokens)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                row = process.submit(measure, folder, str(mixture_of(options.languages)), budget).result()
        table.add_row(format_tokens(tokens), *row)
    Console(width=140).print(table)


def mixture_of(languages: int) -> Mixture:
    """Return a mixture with shares of five decimals, each language half as frequent as one twice as far ahead."""
    weights = [1 / (rank + 1) for rank in range(languages)]
    shares = [max(1, int(100_000 * weight / sum(weights))) for weight in weights]
    shares[0] += 100_000 - sum(shares)
    return Mixture({f"l{rank}": Fraction(share, 100_000) for rank, share in enumerate(shares)})


def write_sparse_corpus(folder: Path, mixture: Mixture, tokens: int) -> int:
    """Write a corpus folder with about ``tokens`` tokens of training text; return the largest budget it allows."""
    sentences = {language: max(1, int(share * tokens) // SENTENCE) for language, share in mixture.items()}
    for language, number in sentences.items():
        prefix = folder / "mono" / language / "train"
        prefix.parent.mkdir(parents=True)
        with open(f"{prefix}.bin", "wb") as data:
            data.truncate(2 * SENTENCE * number)
        with open(f"{prefix}.idx", "wb") as index:
            index.write(_HEADER.pack(_MAGIC, 1, UINT16, number))
            index.truncate(_HEADER.size + 12 * number)
            # Opening looks at the last sentence only.
            index.seek(_HEADER.size + 4 * (number - 1))
            index.write(np.int32(SENTENCE).tobytes())
            index.seek(-8, os.SEEK_END)
            index.write(np.int64(2 * SENTENCE * (number - 1)).tobytes())
    symbols = [f"piece{n}" for n in range(PIECES)] + [f"<extra_id_{n}>" for n in range(SENTINELS)]
    (folder / "dict.txt").write_text("".join(f"{symbol} 1\n" for symbol in symbols))
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _checksum(path)}
        for path in folder.rglob("*")
        if path.is_file()
    }
    languages = {language: {"train": {"tokens": SENTENCE * number}} for language, number in sentences.items()}
    manifest = {"format": 1, "languages": languages, "pairs": {}, "files": files}
    manifest["fingerprint"] = corpus_fingerprint(files)
    (folder / "corpus.json").write_text(json.dumps(manifest))
    blocks = {language: number * SENTENCE // BLOCK for language, number in sentences.items()}
    return Interleaving(mixture).longest(blocks)[0] * BLOCK


def _checksum(path: Path) -> str:
    # Opening a corpus compares those of small files only; to read a terabyte of zeros would take the day.
    return file_checksum(path) if path.stat().st_size <= SMALL_FILE else "0" * 64


def measure(folder: str, mixture: str, budget: int) -> list[str]:
    """Return what a run on a corpus costs, as the cells of a row. To be called in a fresh process."""
    logging.disable(logging.INFO)
    started = time.process_time()
    from fairseq_scaling.tasks.scaling_pretraining import ScalingPretrainingConfig, ScalingPretrainingTask
    from tests.models.small import make_model

    model = make_model(PIECES + SENTINELS + 4, "t5_tiny")
    assert model is not None  # kept: memory is counted above it
    imports, held = time.process_time() - started, _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here

    started = time.process_time()
    config = ScalingPretrainingConfig()
    config.data, config.mixture, config.budgets, config.seed = folder, mixture, str(budget), 1
    config.input_length, config.max_update, config.finetune_from_model = INPUT_LENGTH, 0, None
    task = ScalingPretrainingTask.setup_task(config)
    task.load_dataset("train")
    batches = task.get_batch_iterator(task.datasets["train"], max_sentences=BATCH)
    first = next(batches.next_epoch_itr())
    start_up, memory = time.process_time() - started, _memory("VmHWM") - held
    assert len(first["id"]) == min(BATCH, budget // BLOCK)

    blocks, at = task.plan.budget_blocks[-1], task.plan.at
    places = np.random.default_rng(0).integers(0, blocks, POSITIONS).tolist()
    last = range(max(0, blocks - POSITIONS), blocks)
    random_position, last_position = (_best(lambda chosen=chosen: [at([i]) for i in chosen]) / len(chosen)
                                      for chosen in (places, last))  # fmt: skip

    def last_batch() -> None:
        resumed = task.get_batch_iterator(task.datasets["train"], max_sentences=BATCH)
        resumed.load_state_dict({"epoch": 1, "iterations_in_epoch": len(batches) - 1})
        assert next(resumed.next_epoch_itr())["id"][-1] == blocks - 1

    return [
        f"{blocks:,}", f"{start_up:.2f} s", f"{memory:.0f} MB", f"{1e6 * random_position:.0f} µs",
        f"{1e6 * last_position:.0f} µs", f"{1e3 * _best(last_batch):.1f} ms", f"{imports:.1f} s, {held:.0f} MB",
    ]  # fmt: skip


def _best(work: Callable[[], object], repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def _memory(name: str) -> float:
    """Return a line of the process's status in MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
