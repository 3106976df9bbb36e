"""Logs as stock fairseq writes them, made for tests."""

from __future__ import annotations

STAMP = "2020-05-01 00:00:00 | INFO | "
CONFIG = (
    "Namespace(arch='transformer', criterion='cross_entropy', save_dir='%s', seed=1, source_lang=%s, "
    "task='translation')"
)
SAVED = "checkpoints"
DETAILS = "58.6/33.0/20.9/13.7 (BP=1.000, ratio=1.016, syslen=65597, reflen=64506)"


def config(save_dir: str = SAVED, source: str = "'de', target_lang='en'", stamp: str = STAMP) -> str:
    """Return the configuration line of fairseq-train."""
    logger = "fairseq_cli.train | " if stamp == STAMP else ""
    return f"{stamp}{logger}{CONFIG % (save_dir, source)}\n"


def valid(updates: int, loss: float, subset: str = "valid", epoch: int = 1, stamp: str = "") -> str:
    """Return a record of a validation; the loss is in base 2."""
    ppl = f"{2**loss:.2f}"
    return (
        f"{stamp}epoch {epoch:03d} | valid on '{subset}' subset | loss {loss:g} | ppl {ppl} | num_updates {updates}\n"
    )


def train(*losses: float, save_dir: str = SAVED, subset: str = "valid", end: bool = True) -> str:
    """Return a log with one validation an epoch, of 100 updates."""
    text = config(save_dir) + f"{STAMP}fairseq.trainer | begin training epoch 1\n"
    for epoch, loss in enumerate(losses, 1):
        text += valid(100 * epoch, loss, subset, epoch, f"{STAMP}{subset} | ")
    return text + f"{STAMP}fairseq_cli.train | done training in 9.0 seconds\n" * end


def generate(bleu: float, subset: str = "test", path: str = "") -> str:
    """Return the score line of fairseq-generate, behind its configuration where a checkpoint is named."""
    head = f"{STAMP}fairseq_cli.generate | Namespace(beam=5, path='{path}', task='translation')\n" if path else ""
    return f"{head}Generate {subset} with beam=5: BLEU4 = {bleu:.2f}, {DETAILS}\n"
