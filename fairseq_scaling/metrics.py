"""What is known of each metric, in one table. A new metric is one new row of ``METRICS``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import inf, log10

CROSS_ENTROPY = "cross_entropy"

UNKNOWN_NOISE = 0.01
"""Standard deviation of one run of a loss, or of a metric without a row, as a share of its value."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: how it is stored in tables and files, lower case.
        title: how it is printed.
        unit: what a value is measured in; empty where there is none.
        lower_is_better: the direction.
        lower: no value lies below this.
        upper: no value lies above this.
        noise: assumed standard deviation of one finetuning run: in points of the metric, or with
            ``noise_is_relative`` as a share of the value.
        noise_is_relative: see ``noise``; so it is for losses and for metrics without a row.
        decimals: digits worth printing behind the point.
        aliases: other names that tables and logs use, in the form that ``fold`` returns.
        scale: the value of a perfect score (or of one error per word); None where the metric has no such scale.
        is_loss: whether it is a loss (cross-entropy, perplexity, error), not a score.
        tokenized: whether its value depends on the tokenizer, which sacrebleu chooses by the target language.
    """

    name: str
    title: str
    unit: str = ""
    lower_is_better: bool = False
    lower: float = -inf
    upper: float = inf
    noise: float = UNKNOWN_NOISE
    noise_is_relative: bool = True
    decimals: int = 4
    aliases: tuple[str, ...] = ()
    scale: float | None = None
    is_loss: bool = False
    tokenized: bool = False

    def at_scale(self, scale: float | None) -> Metric:
        """Return the metric measured on another scale: BLEU at scale 1 goes from 0 to 1, accuracy at 100 to 100.

        None, or a metric without a scale, changes nothing.
        """
        if scale is None or self.scale is None or scale == self.scale:
            return self
        factor = scale / self.scale
        return replace(
            self,
            unit=self.unit.replace(f"0-{self.scale:g}", f"0-{scale:g}"),
            lower=self.lower * factor,
            upper=self.upper * factor,
            noise=self.noise if self.noise_is_relative else self.noise * factor,
            decimals=max(self.decimals - round(log10(factor)), 0),
            scale=scale,
        )

    def noise_at(self, value: float) -> float:
        """Return the assumed standard deviation of one run whose value is ``value``, in points of the metric."""
        return self.noise * abs(value) if self.noise_is_relative else self.noise

    def is_possible(self, value: float) -> bool:
        """Return whether the metric can take this value; NaN is no value."""
        return self.lower <= value <= self.upper


def _percent(name: str, title: str, noise: float, *aliases: str, tokenized: bool = False) -> Metric:
    """A score from 0 to 100, larger is better."""
    return Metric(name, title, "0-100", False, 0.0, 100.0, noise, False, 2, aliases, 100.0, False, tokenized)


def _share(name: str, title: str, *aliases: str) -> Metric:
    """A score from 0 to 1, larger is better."""
    return Metric(name, title, "0-1", False, 0.0, 1.0, 0.01, False, 4, aliases, 1.0)


def _edits(name: str, title: str, *aliases: str) -> Metric:
    """Errors per 100 words: 0 is perfect, and there may be more than 100."""
    return Metric(name, title, "0-100+", True, 0.0, inf, 0.7, False, 2, aliases, 100.0)


def _model(name: str, title: str, *aliases: str) -> Metric:
    """A score that a trained model gives: about 1 is perfect, but no bound is certain."""
    return Metric(name, title, "", False, -inf, inf, 0.005, False, 4, aliases, 1.0)


def _loss(name: str, title: str, unit: str, *aliases: str, lower: float = 0.0) -> Metric:
    return Metric(name, title, unit, True, lower, inf, decimals=3, aliases=aliases, is_loss=True)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _percent(
            "bleu", "BLEU", 0.5, "sacrebleu", "bleu4", "bleu_4", "corpus_bleu", "bleu_score",
            tokenized=True,
        ),
        _percent("spbleu", "spBLEU", 0.5, "sp_bleu"),
        _percent("chrf", "chrF", 0.5, "chrf2", "chr_f", "chrf_score"),
        _percent("chrf_pp", "chrF++", 0.5, "chrfpp", "chrf2++", "chrfplusplus"),
        _edits("ter", "TER", "ter_score"),
        _edits("wer", "WER", "word_error_rate"),
        _edits("cer", "CER", "character_error_rate"),
        _model("comet", "COMET", "comet22", "comet_22", "wmt22_comet_da", "comet_da", "cometkiwi", "comet_score"),
        _model("bleurt", "BLEURT"),
        _model("bertscore", "BERTScore", "bert_score", "bertscore_f1"),
        _percent("meteor", "METEOR", 0.5),
        _percent("rouge_1", "ROUGE-1", 0.5, "rouge1"),
        _percent("rouge_2", "ROUGE-2", 0.5, "rouge2"),
        _percent("rouge_l", "ROUGE-L", 0.5, "rougel", "rougelsum", "rouge_lsum"),
        _percent("rouge", "ROUGE", 0.5),
        _share("accuracy", "accuracy", "acc", "top1", "top_1", "accuracy_score"),
        _share("accuracy_norm", "normalised accuracy", "acc_norm"),
        _share("exact_match", "exact match", "em"),
        _share("f1", "F1", "f1_score", "macro_f1", "micro_f1"),
        _loss(CROSS_ENTROPY, "cross-entropy", "nats per target token", "ce", "xent", "crossentropy"),
        _loss("perplexity", "perplexity", "", "ppl", "word_perplexity", "token_perplexity", lower=1.0),
        _loss("bits_per_byte", "bits per byte", "bits per byte", "bpb"),
        _loss("bits_per_character", "bits per character", "bits per character", "bpc"),
        _loss("loss", "loss", "", "nll", "nll_loss", "cross_entropy_loss", "ce_loss", "mse"),
        _loss("error", "error", "", "error_rate", "err"),
    )
}  # fmt: skip
"""Name -> metric, in the order of a report: the scores of translation, other scores, losses."""


def fold(text: str) -> str:
    """Return a name as it is looked up: lower case, every run of other signs than letters, digits and + one ``_``."""
    return re.sub(r"[^a-z0-9+]+", "_", text.strip().lower()).strip("_")


def find(text: str) -> Metric | None:
    """Return the metric of which ``text`` is the name, the title or an alias (``ROUGE-L``, ``ppl``), or None."""
    folded = fold(text)
    return next((m for m in METRICS.values() if folded in (m.name, fold(m.title), *m.aliases)), None)


def metric_name(text: str) -> str:
    """Return the name under which a metric is stored: ``BLEU`` -> ``bleu``; unknown names stay as written."""
    known = find(text)
    return known.name if known else text.strip()


def split_name(text: str) -> tuple[Metric, str] | None:
    """Return the metric that a longer name ends or begins with, and the rest of the name: the test set.

    ``newstest2014_bleu`` is BLEU on ``newstest2014``, ``eval/loss`` the loss on ``eval``, ``acc_hellaswag`` the
    accuracy on ``hellaswag``. None where no metric is named.
    """
    words = [word for word in re.split(r"[^A-Za-z0-9+]+", text) if word]
    for length in range(len(words), 0, -1):
        for start in dict.fromkeys((len(words) - length, 0)):
            known = find("_".join(words[start : start + length]))
            if known is not None:
                return known, "_".join(words[:start] + words[start + length :])
    return None


def describe(name: str, lower_is_better: bool | None = None, scale: float | None = None) -> Metric:
    """Return the metric of a name.

    A longer name that ends or begins with a metric's (``valid_loss``) is a metric of that kind; any other one has the
    given direction (None: larger is better), no bounds, and noise of ``UNKNOWN_NOISE`` of its value.

    Args:
        name: as ``metric_name`` returns it.
        lower_is_better: direction of a metric without a row.
        scale: the value of a perfect score where it is not that of the table.
    """
    known = METRICS.get(name)
    if known is None:
        kind = split_name(name)
        known = replace(kind[0], name=name, title=name, aliases=()) if kind else None
    if known is None or (lower_is_better is not None and known.lower_is_better != lower_is_better):
        return Metric(name, name, lower_is_better=bool(lower_is_better))
    return known.at_scale(scale)


def has_direction(name: str) -> bool:
    """Return whether the table says which way of a metric is better."""
    return split_name(name) is not None


def order(name: str) -> tuple[int, str]:
    """Return the sorting key that puts metrics in the order of the table, those without a row last."""
    names = list(METRICS)
    return (names.index(name) if name in METRICS else len(names), name)
