"""Time of a training step: this project's T5, Hugging Face's T5 and fairseq's transformer, of the same dimensions.

    python tests/benchmarks/training_step.py [--vocabulary 8192] [--dropout 0.1] [--matmul-precision medium]

A step is forward, loss, backward, gradient clipping and Adam, on 32 x (112 source, 28 target) tokens. The models
take turns, so that whatever else runs on the machine slows all of them. Shown are the best and the median step:
of the clock, and of the processor, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fairseq_scaling.tasks.config import MATMUL_PRECISIONS
from tests.benchmarks.peers import EOS, PAD, hugging_face, matmul_rate, transformer_settings
from tests.models.small import make_model, make_task, random_tokens

BATCH, SOURCE, TARGET = 32, 112, 28
Loss = Callable[[], torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=8192, help="entries of the dictionary (default 8192)")
    parser.add_argument("--arch", default="t5_tiny", help="architecture (default t5_tiny)")
    parser.add_argument("--dropout", type=float, default=0.0, help="dropout of all models (default 0)")
    parser.add_argument("--repeats", type=int, default=15, help="steps of each model (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    parser.add_argument(
        "--matmul-precision", default="highest", choices=MATMUL_PRECISIONS, help="of all models (default highest)"
    )
    options = parser.parse_args()
    torch.set_float32_matmul_precision(options.matmul_precision)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    source = random_tokens(options.vocabulary, BATCH, SOURCE, generator)
    target = random_tokens(options.vocabulary, BATCH, TARGET, generator)
    previous = torch.cat((torch.full((BATCH, 1), EOS), target[:, :-1]), dim=1)
    batch = (source, previous, target)

    ours = make_model(options.vocabulary, options.arch, dropout=options.dropout)
    steps = {
        "fairseq_scaling, t5_cross_entropy": _step(ours, lambda: ours(source, None, previous, targets=target)[0]),
        "fairseq_scaling, cross_entropy": _step(ours, lambda: _loss(ours(source, None, previous)[0], target)),
        "Hugging Face T5": _hugging_face(ours.cfg, options.vocabulary, *batch),
        "fairseq transformer": _fairseq_transformer(ours.cfg, options.vocabulary, *batch),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    peak = 0.0
    for repeat in range(options.repeats + 1):
        for name, step in steps.items():
            clock, processor = time.perf_counter(), time.process_time()
            step()
            if repeat:  # the first is for warming up
                times[name].append((time.perf_counter() - clock, time.process_time() - processor))
        peak = max(peak, matmul_rate(1))

    title = (
        f"{options.arch}, vocabulary {options.vocabulary}, dropout {options.dropout}, {options.threads} thread(s), "
        f"matrix products {options.matmul_precision}"
    )
    table = Table(title=title)
    for heading in ("", "clock best", "median", "processor best", "median", "times faster than Hugging Face"):
        table.add_column(heading, justify="left" if not heading else "right")
    reference = min(processor for _, processor in times["Hugging Face T5"])
    for name, measured in times.items():
        clocks, processors = sorted(c for c, _ in measured), sorted(p for _, p in measured)
        shown = (clocks[0], clocks[len(clocks) // 2], processors[0], processors[len(processors) // 2])
        table.add_row(name, *(f"{1000 * t:.0f} ms" for t in shown), f"{reference / processors[0]:.2f}")
    Console(width=120).print(table, f"matmul peak beside it: {peak / 1e9:.0f} GFLOP/s")


def _step(model: torch.nn.Module, loss: Loss) -> Callable[[], None]:
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4, foreach=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def _loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # what fairseq's criterion cross_entropy computes
    logprobs = F.log_softmax(logits, dim=-1, dtype=torch.float32).flatten(0, 1)
    return F.nll_loss(logprobs, target.flatten(), ignore_index=PAD, reduction="sum")


def _hugging_face(cfg: Any, vocabulary: int, *batch: torch.Tensor) -> Callable[[], None]:
    source, previous, target = batch
    model = hugging_face(cfg, vocabulary)
    return _step(model, lambda: model(input_ids=source, decoder_input_ids=previous, labels=target).loss)


def _fairseq_transformer(cfg: Any, vocabulary: int, *batch: torch.Tensor) -> Callable[[], None]:
    from fairseq.models.transformer import TransformerModel, base_architecture

    source, previous, target = batch
    settings = Namespace(**transformer_settings(cfg), max_source_positions=1024, max_target_positions=1024)
    base_architecture(settings)
    model = TransformerModel.build_model(settings, make_task(vocabulary))
    lengths = torch.full((BATCH,), SOURCE)
    return _step(model, lambda: _loss(model(source, lengths, previous)[0], target))


if __name__ == "__main__":
    main()
