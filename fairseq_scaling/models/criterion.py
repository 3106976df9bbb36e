"""Cross-entropy for T5 models without ever holding the logits of a whole batch: ``--criterion t5_cross_entropy``."""
# No "from __future__ import annotations" here: fairseq reads the types of a dataclass, not their names.

import math
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from fairseq import utils
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from omegaconf import II
from torch import Tensor


@dataclass
class T5CrossEntropyConfig(FairseqDataclass):
    """The criterion has no settings of its own."""

    sentence_avg: bool = II("optimization.sentence_avg")


@register_criterion("t5_cross_entropy", dataclass=T5CrossEntropyConfig)
class T5CrossEntropy(FairseqCriterion):
    """Summed cross-entropy of the target tokens, padding left out.

    Logs ``loss`` and ``nll_loss`` in bits per token as fairseq does, and ``cross_entropy`` in nats per target
    token, summed in float64 and not rounded. Models that are not T5 are scored from their logits.
    """

    def __init__(self, task: Any, sentence_avg: bool) -> None:
        super().__init__(task)
        self.sentence_avg = sentence_avg

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the loss (nats, summed), the sample size to divide by, and what is logged."""
        targets = sample["target"]
        if getattr(model, "computes_loss", False):
            loss, exact = model(**sample["net_input"], targets=targets, padded=sample.get("padded", True))
        else:
            logits = model.get_normalized_probs(model(**sample["net_input"]), log_probs=True).flatten(0, 1)
            losses = F.nll_loss(logits, targets.flatten(), ignore_index=self.padding_idx, reduction="none")
            loss, exact = losses.sum(), losses.detach().double().sum()
        sample_size = targets.size(0) if self.sentence_avg else sample["ntokens"]
        logged = {
            "loss": loss.detach(),
            "cross_entropy": exact,
            "ntokens": sample["ntokens"],
            "nsentences": targets.size(0),
            "sample_size": sample_size,
        }
        return loss, sample_size, logged

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict[str, Any]]) -> None:
        """Log what the workers of one step, or the batches of one validation, add up to."""
        loss, exact, tokens, sample_size = (
            sum(log.get(name, 0) for log in logging_outputs)
            for name in ("loss", "cross_entropy", "ntokens", "sample_size")
        )
        metrics.log_scalar("loss", loss / sample_size / math.log(2), sample_size, round=3)
        metrics.log_scalar("nll_loss", exact / tokens / math.log(2), tokens, round=3)
        metrics.log_scalar("cross_entropy", exact / tokens, tokens)
        metrics.log_derived("ppl", lambda meters: utils.get_perplexity(meters["nll_loss"].avg))

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Everything logged is a sum."""
        return True
