"""A small study made by formula: run records whose true laws are known, for the tests of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fairseq_scaling.alignment_file import Alignment
from fairseq_scaling.logs import Origin, RunRecord, Score
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.report.analysis import analyse
from fairseq_scaling.report.curve_result import CurveResult
from fairseq_scaling.report.fitting import Settings
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.reading import Inputs, Read
from fairseq_scaling.report.results import Report
from fairseq_scaling.report.run_points import points_of_runs

SIZES = (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000)
BLEU_SIGNATURE = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def log_law(tokens: float, log_a: float = -9.0, alpha: float = 0.9, beta: float = 1.6) -> float:
    """The paper's law of scores, f = (log A + alpha log D)^beta."""
    return (log_a + alpha * math.log(tokens)) ** beta


def loss_law(tokens: float, e: float = 1.5, a: float = 60.0, alpha: float = 0.3) -> float:
    """The paper's law of cross-entropy, L = E + A / D^alpha."""
    return e + a / tokens**alpha


def wiggle(step: int, share: float) -> float:
    """A deterministic stand-in for noise: a factor that alternates about 1."""
    return 1 + share * (-1) ** step


def run(
    tokens: int | None,
    bleu: float | None,
    loss: float | None,
    mixture: str = "en:0.5,fr:0.5",
    seed: int = 1,
    finetune_tokens: int = 200_000,
    file: str | None = None,
    **changes: Any,
) -> RunRecord:
    """Return the record of one finetuning run of en-fr; ``tokens`` 0 is the baseline."""
    file = file or f"logs/{mixture}/dp{tokens}/seed{seed}.log"
    details = {"subset": "test", "brevity_penalty": 0.99, "precisions": [40.0, 20.0, 10.0, 5.0]}
    scores = {} if bleu is None else {"bleu": Score(bleu, BLEU_SIGNATURE, details)}
    fields: dict[str, Any] = {
        "stage": "finetuning",
        "run_id": f"run-{mixture}-{tokens}-{seed}-{finetune_tokens}",
        "pretrain_tokens": tokens,
        "finetune_tokens": finetune_tokens,
        "mixture": Mixture.parse(mixture) if tokens else None,
        "source_lang": "en",
        "target_lang": "fr",
        "seed": seed,
        "architecture": "t5_tiny",
        "parameters": 2_100_000,
        "scores": scores,
        "cross_entropy": loss,
        "cross_entropies": {} if loss is None else {"test": loss},
        "finished": True,
        "origin": {"scores.bleu": Origin(file, 12), "cross_entropies.test": Origin(file, 9)},
    }
    return RunRecord(**{**fields, **changes})


def study() -> list[RunRecord]:
    """Return two mixtures, two seeds: the balanced one follows the laws, the other falls while its loss improves."""
    runs = []
    for step, tokens in enumerate(SIZES):
        for seed in (1, 2):
            sign = 1 if seed == 1 else -1
            bleu, loss = log_law(tokens), loss_law(tokens)
            runs.append(run(tokens, bleu + 0.1 * sign, loss + 0.002 * sign, seed=seed))
            falling = 10.0 - 1.2 * step
            runs.append(run(tokens, falling + 0.1 * sign, loss + 0.1 + 0.002 * sign, mixture="en", seed=seed))
    runs += [run(0, 2.0, 3.4, seed=1), run(0, 2.2, 3.5, seed=2)]
    return runs


def report_of(runs: list[RunRecord], alignments: Sequence[Alignment] = (), **settings: Any) -> Report:
    """Return the report of the runs."""
    read = points_of_runs(runs)
    collection = collect(read.points)
    inputs = Inputs(
        Read(["logs"], read.finetuning_runs, read.pretraining_runs, alignments=len(alignments)),
        problems=[*read.problems, *collection.problems],
        forgetting=read.forgetting,
        unplaced=collection.unplaced,
        alignments=list(alignments),
    )
    return analyse(collection.curves, Settings(**settings), inputs)


def curve_of(report: Report, mixture: str, metric: str = "bleu") -> CurveResult:
    """Return the one curve of a mixture and metric."""
    (found,) = [c for c in report.curves if c.setting.mixture == mixture and c.metric.name == metric]
    return found
