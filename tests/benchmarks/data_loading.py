"""What data costs a training step: the batches of both tasks, as fairseq's trainer takes them, against the step itself.

    python tests/benchmarks/data_loading.py [--arch t5_tiny] [--batches 60]

Pretraining: 32 blocks for 112 encoder positions, cut from the text and corrupted. Finetuning: 32 pairs of made-up
sentences (text.py). No worker processes: all the work is done where the model trains. Processor time, the median batch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fairseq_scaling.tasks.scaling_pretraining import ScalingPretrainingConfig, ScalingPretrainingTask
from fairseq_scaling.tasks.scaling_translation import ScalingTranslationConfig, ScalingTranslationTask
from tests.benchmarks.text import clean_folder, preprocess
from tests.models.small import make_model

BATCH, SOURCE = 32, 112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="t5_tiny", help="architecture (default t5_tiny)")
    parser.add_argument("--batches", type=int, default=60, help="batches that are made (default 60)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title=f"{options.arch}, batches of {BATCH}")
    for heading in ("task", "making a batch", "forward and backward with it", "share"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    with tempfile.TemporaryDirectory() as name:
        pairs = BATCH * options.batches + 500  # some go into the valid set, or are doubles
        clean, model = clean_folder(Path(name), mono=20_000, pairs=pairs, test=50, vocabulary=4000)
        preprocess("encode", clean, "--model", model, "--workers", 1, "--out", Path(name) / "corpus")
        for task in tasks(str(Path(name) / "corpus"), options.batches):
            loading, step = measure(task, options)
            label = type(task).__name__
            table.add_row(label, f"{1000 * loading:.2f} ms", f"{1000 * step:.0f} ms", f"{loading / step:.2%}")
    Console(width=120).print(table)


def tasks(corpus: str, batches: int) -> list[Any]:
    """Return both tasks on a corpus, their training sets loaded."""
    common = {"data": corpus, "seed": 1, "max_update": 0, "save_dir": "", "finetune_from_model": None}
    # blocks of 112 positions are cut from some 124 tokens
    settings = {"mixture": "aa:1", "budgets": str(125 * BATCH * batches), "input_length": SOURCE}
    pretraining = SimpleNamespace(**{**vars(ScalingPretrainingConfig()), **common, **settings})
    settings = {"source_lang": "aa", "target_lang": "bb"}
    finetuning = SimpleNamespace(**{**vars(ScalingTranslationConfig()), **common, **settings})
    found = [ScalingPretrainingTask.setup_task(pretraining), ScalingTranslationTask.setup_task(finetuning)]
    for task in found:
        task.load_dataset("train")
    return found


def measure(task: Any, options: argparse.Namespace) -> tuple[float, float]:
    """Return the seconds of making a batch and of a step with it: medians."""
    model = make_model(len(task.source_dictionary), options.arch, dropout=0.1).train()
    batches = task.get_batch_iterator(task.dataset("train"), max_sentences=BATCH).next_epoch_itr()
    loading, steps = [], []
    for number in range(options.batches):
        start = time.process_time()
        batch = next(batches)
        loading.append(time.process_time() - start)
        if number % 6 == 0:
            start = time.process_time()
            model(**batch["net_input"], targets=batch["target"])[0].backward()
            steps.append(time.process_time() - start)
    return statistics.median(loading), statistics.median(steps)


if __name__ == "__main__":
    main()
