"""What the tool knows about each metric: its name in print, its unit and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

CROSS_ENTROPY = "cross_entropy"


@dataclass(frozen=True)
class Metric:
    """A metric as tables and figures show it; ``decimals`` is the precision worth printing."""

    name: str
    title: str
    unit: str
    lower_is_better: bool
    decimals: int = 3


_KNOWN = {
    metric.name: metric
    for metric in (
        Metric("bleu", "BLEU", "0-100", False, 2),
        Metric("chrf", "chrF", "0-100", False, 2),
        Metric("ter", "TER", "0-100+", True, 2),
        Metric("wer", "WER", "0-100+", True, 2),
        Metric("comet", "COMET", "", False, 4),
        Metric("rouge_l", "ROUGE-L", "", False, 2),
        Metric(CROSS_ENTROPY, "cross-entropy", "nats per target token", True, 3),
    )
}
KNOWN_METRICS = tuple(_KNOWN)


def metric_name(text: str) -> str:
    """Return the name under which a metric is stored: ``BLEU`` -> ``bleu``; unknown names stay as written."""
    folded = text.strip().lower().replace("-", "_").replace(" ", "_")
    return {"rougel": "rouge_l", "ce": CROSS_ENTROPY}.get(folded, folded if folded in _KNOWN else text.strip())


def describe(name: str, lower_is_better: bool = False) -> Metric:
    """Return the metric; an unknown one is described by its name and the given direction."""
    return _KNOWN.get(name) or Metric(name, name, "", lower_is_better, 4)


def order(name: str) -> tuple[int, str]:
    """Return the sorting key that puts the metrics of translation first, cross-entropy after the scores."""
    return (KNOWN_METRICS.index(name) if name in _KNOWN else len(KNOWN_METRICS), name)
