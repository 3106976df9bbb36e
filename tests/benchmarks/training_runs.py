"""Training as users run it, from the start of the process: this plug-in, fairseq without it, Hugging Face's T5.

    python tests/benchmarks/training_runs.py [--arch t5_tiny] [--dropout 0.1] [--updates 40] [--rounds 2] [--compiled]

Everything is measured in float32 as it comes, and with `torch.set_float32_matmul_precision("medium")` where there is a
way to say so: --matmul-precision here, a line of a loop of one's own, nothing in stock fairseq.

All train models of the same dimensions on the same pairs, 32 x (112 source, 28 target) tokens an update, with Adam and
clipped gradients: `fairseq-train --user-dir fairseq_scaling`, `fairseq-train` with its own transformer, and a plain
loop around Hugging Face's T5 that does nothing besides. Each is run for 5 updates and for 5 more than --updates. The
difference of the two gives an update, the rest is the start-up; the contenders take turns, the best round counts.
Times are of the processor, which other processes disturb less; with one thread on an idle machine the clock agrees.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fairseq_scaling.models.t5 import PRESETS
from fairseq_scaling.tasks.config import MATMUL_PRECISIONS
from tests.benchmarks.peers import PAD, dimensions, hugging_face, matmul_rate, transformer_flags
from tests.benchmarks.text import run
from tests.data.tiny import write_corpus

ROOT = Path(__file__).resolve().parents[2]
BATCH, SOURCE, TARGET = 32, 112, 28
VOCABULARY = 8192
FIRST = 5  # updates of the short run
OURS, MEDIUM = "fairseq_scaling", ", medium"
_ADDED = 5  # symbols of the dictionary that are no pieces: four special ones, one sentinel

FAIRSEQ = [
    "--optimizer", "adam", "--lr", "1e-4", "--clip-norm", "1.0", "--batch-size", str(BATCH),
    "--required-batch-size-multiple", "1", "--num-workers", "0", "--disable-validation", "--no-save", "--seed", "1",
    "--log-format", "json", "--log-interval", "100", "--source-lang", "aa", "--target-lang", "bb",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="t5_tiny", choices=sorted(PRESETS), help="architecture (default t5_tiny)")
    parser.add_argument("--dropout", type=float, default=0.1, help="dropout of all models (default 0.1, T5's)")
    parser.add_argument("--updates", type=int, default=40, help="updates that are timed (default 40)")
    parser.add_argument("--rounds", type=int, default=2, help="times that each is run (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default 1)")
    parser.add_argument("--compiled", action="store_true", help="also Hugging Face's T5 through torch.compile")
    parser.add_argument("--loop", choices=("eager", "compiled"), help=argparse.SUPPRESS)
    parser.add_argument("--matmul-precision", default="highest", choices=MATMUL_PRECISIONS, help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cfg = dimensions(options.arch, options.dropout)
    if options.loop:
        torch.set_float32_matmul_precision(options.matmul_precision)
        hugging_face_loop(cfg, options.corpus, options.updates, compiled=options.loop == "compiled")
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder), batches=FIRST + options.updates)
        measured = measure(contenders(options, cfg, corpus), options)
    show(measured, options, cfg)


def make_corpus(folder: Path, batches: int) -> Path:
    """Write batches of random pairs of the same lengths: ``folder/corpus``, and ``folder/stock`` for stock fairseq."""
    random = np.random.default_rng(0)
    pieces = VOCABULARY - _ADDED
    sides = tuple(random.integers(4, 4 + pieces, (BATCH * batches, length - 1)).tolist() for length in (SOURCE, TARGET))
    corpus = write_corpus(folder / "corpus", {}, {"aa-bb": sides}, pieces)
    stock = folder / "stock"
    stock.mkdir()
    for language in ("aa", "bb"):
        (stock / f"dict.{language}.txt").symlink_to(corpus / "dict.txt")
        for kind in ("bin", "idx"):
            (stock / f"train.aa-bb.{language}.{kind}").symlink_to(corpus / f"pairs/aa-bb/train.{language}.{kind}")
    return folder


def contenders(options: argparse.Namespace, cfg: Any, folder: Path) -> dict[str, list[str]]:
    """Return the command of each contender, to which the number of updates is added."""
    program = str(Path(sys.executable).parent / "fairseq-train")
    t5 = ["--arch", options.arch, "--dropout", str(options.dropout), "--criterion", "t5_cross_entropy"]
    loop = [sys.executable, __file__, "--corpus", str(folder / "corpus"), "--arch", options.arch]
    loop += ["--dropout", str(options.dropout), "--threads", str(options.threads)]
    # fairseq makes a folder for checkpoints even where it writes none
    flags = [*FAIRSEQ, "--save-dir", str(folder / "checkpoints"), "--max-update"]
    ours = [
        program, str(folder / "corpus"), "--user-dir", str(ROOT / "fairseq_scaling"), "--task", "scaling_translation",
        *t5,
    ]  # fmt: skip
    medium = ["--matmul-precision", "medium"]
    commands = {
        OURS: [*ours, *flags],
        f"{OURS}{MEDIUM}": [*ours, *medium, *flags],
        "fairseq transformer": [
            program, str(folder / "stock"), "--task", "translation", *transformer_flags(cfg), *flags,
        ],
    }  # fmt: skip
    for way in ("eager", "compiled") if options.compiled else ("eager",):
        name = "Hugging Face T5" if way == "eager" else "Hugging Face T5, compiled"
        commands[name] = [*loop, "--loop", way, "--updates"]
        commands[f"{name}{MEDIUM}"] = [*loop, *medium, "--loop", way, "--updates"]
    return commands


def measure(commands: dict[str, list[str]], options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Return (seconds of an update, seconds of the start-up) of each contender."""
    best = {name: [float("inf")] * 2 for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            for place, updates in enumerate((FIRST, FIRST + options.updates)):
                seconds, _ = run([*command, str(updates)], options.threads)
                best[name][place] = min(best[name][place], seconds / options.threads)
    result = {}
    for name, (short, long) in best.items():
        update = (long - short) / options.updates
        result[name] = (update, short - FIRST * update)
    return result


def show(measured: dict[str, tuple[float, float]], options: argparse.Namespace, cfg: Any) -> None:
    """Print the table: tokens a second, ratio to the fastest peer, share of what matrix products reach."""
    operations, peak = _operations(cfg), matmul_rate()
    peers = {name: update for name, (update, _) in measured.items() if not name.startswith(OURS)}
    plain = min(update for name, update in peers.items() if not name.endswith(MEDIUM))
    title = f"{options.arch}, dropout {options.dropout}, vocabulary {VOCABULARY}, {options.threads} thread(s)"
    table = Table(title=title)
    headings = ("update", "tokens/s", "fastest float32 peer", "fastest peer of all", "of float32 peak", "start-up")
    for heading in ("", *headings):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, (update, start) in measured.items():
        share = f"{operations / update / peak:.0%}" if name.startswith(OURS) else ""
        tokens = f"{BATCH * (SOURCE + TARGET) / update:,.0f}"
        ratios = (f"{best / update:.2f}" for best in (plain, min(peers.values())))
        table.add_row(name, f"{1000 * update:.0f} ms", tokens, *ratios, share, f"{start:.1f} s")
    Console(width=140).print(table, f"matmul peak in float32 beside it: {peak / 1e9:.0f} GFLOP/s")


def hugging_face_loop(cfg: Any, corpus: Path, updates: int, compiled: bool) -> None:
    """Train Hugging Face's T5 on the corpus's batches in their order."""
    from fairseq_scaling.data.corpus import Corpus

    torch.manual_seed(1)
    model = hugging_face(cfg, VOCABULARY)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-4, foreach=True)
    forward = torch.compile(model) if compiled else model
    sources, targets = Corpus.open(corpus).pair("aa", "bb", "train")
    for update in range(updates):
        rows = range(update * BATCH, (update + 1) * BATCH)
        source, target = (torch.from_numpy(np.stack([side[row] for row in rows]).astype(np.int64))
                          for side in (sources, targets))  # fmt: skip
        optimizer.zero_grad(set_to_none=True)
        forward(input_ids=source, attention_mask=source.ne(PAD), labels=target).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def _operations(cfg: Any) -> float:
    """Return the floating-point operations of the matrix products of one update, counted while it runs."""
    from torch.utils.flop_counter import FlopCounterMode

    from tests.models.small import make_model, random_tokens

    names = ("dropout", *PRESETS["t5"])
    model = make_model(VOCABULARY, "t5", **{name: getattr(cfg, name) for name in names})
    generator = torch.Generator().manual_seed(0)
    source, target = (random_tokens(VOCABULARY, BATCH, length, generator) for length in (SOURCE, TARGET))
    with FlopCounterMode(display=False) as counter:
        model(source, None, target, targets=target)[0].backward()
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main()
