"""Tables of alignment: what was known of each mixture beforehand, and whether it ranks them as pretraining did."""

from __future__ import annotations

import math

from ..quantities import format_tokens
from .alignment import FEWEST_MIXTURES, PAPER
from .document import Document, chosen_law, leading, settings_in_order
from .table import Table, columns, mean
from .wording import MINUS, NONE, condition, display_names, metric_of, metric_title, number, score, signed, tokens

_SHOWN = ("unigram_source", "unigram_target", "coverage_3_source", "coverage_3_target")
_TITLES = {
    PAPER: "A",
    "unigram_source": "unigrams, source",
    "unigram_target": "unigrams, target",
    "unigram_combined": "unigrams, both",
    "coverage_3_source": "3-grams, source",
    "coverage_3_target": "3-grams, target",
    "coverage_3_combined": "3-grams, both",
}


def alignment_table(document: Document) -> Table:
    """Return alignment, baseline and gain of every mixture on its leading metric."""
    table = Table(
        "Alignment of the mixtures with the task",
        columns(
            "Curve", "A#", "Unigrams source#", "Unigrams target#", "3-grams source#", "3-grams target#", "Metric",
            "No pretraining#", "At the largest D_p#", "Difference#", "Law's gain#", "Verdict",
        ),
        note=_note(document),
    )  # fmt: skip
    labels = display_names(document["curves"])
    for curves in settings_in_order(document):
        curve = leading(curves)
        if curve["setting"]["alignment"] is None or not curve["points"]:
            continue
        metric = metric_of(curve)
        reached, base = _reached(curve), mean([point["value"] for point in curve["baseline"]])
        measures = (curve.get("overlap") or {}).get("measures", {})
        table.rows.append(
            [
                labels[curve["name"]],
                number(curve["setting"]["alignment"]),
                *(_part(measures.get(name)) for name in _SHOWN),
                metric.title,
                score(base, metric),
                score(reached, metric),
                signed(None if base is None else _better(curve, reached - base), metric),
                signed(_law_gain(curve), metric),
                curve["verdict"]["kind"] if curve["verdict"] else "too few points",
            ]
        )
    return table


def agreement_table(document: Document) -> Table:
    """Return the rank correlation of each measure of alignment with what pretraining brought."""
    table = Table(
        "Does alignment rank the mixtures as pretraining did?",
        columns("Task", "Metric", "D_p", "Measure", "Mixtures#", "Law's gain#", "Difference#"),
        note="Spearman's rank correlation: 1 for the same order, 0 for none, \u22121 for the reverse. Law's gain: from "
        "the smallest to the largest D_p that all mixtures reached; difference: of the law there against no "
        f"pretraining. {_chance(document)}",
    )
    curves = {curve["name"]: curve for curve in document["curves"]}
    for agreement in document.get("alignment_agreements", []):
        setting = curves[agreement["curves"][0]]["setting"]
        span = f"{tokens(agreement['from_tokens'])}{NONE}{tokens(agreement['to_tokens'])}"
        lead = [condition(setting), metric_title(_of_metric(document, agreement)), span]
        for row in agreement["correlations"]:
            if row["measure"] in _TITLES:
                cells = [_correlation(row[against]) for against in ("gain", "difference")]
                table.rows.append([*lead, _TITLES[row["measure"]], str(row["mixtures"]), *cells])
                lead = ["", "", ""]
    return table


def _note(document: Document) -> str:
    """Return what the columns mean, and where there are too few mixtures for a rank correlation."""
    text = (
        "A = P_src P_tgt + 0.7 P_src + 0.8 P_tgt, P the share of a language in the mixture (Isik et al. 2025): 1 for "
        "half source and half target, 0 for neither. Difference: above zero when pretraining helped. Law's gain: of "
        "the law's value from the smallest to the largest D_p of the curve."
    )
    overlaps = [curve["overlap"] for curve in document["curves"] if curve.get("overlap")]
    if overlaps:
        sizes = sorted({overlap["sample_tokens"] for overlap in overlaps})
        samples = " and ".join(map(format_tokens, sizes))
        text += (
            " Unigrams: what the mixture's distribution of SentencePiece pieces has in common with one side of the "
            "task's training pairs (sum of the minima); 3-grams: share of that side's 3-grams that occur in a sample "
            f"of {samples} tokens of the mixture. Both are measures of this tool, not of the paper."
        )
    few = [entry for entry in document.get("alignment_agreements", []) if entry["mixtures"] < FEWEST_MIXTURES]
    if few:
        curves = {curve["name"]: curve for curve in document["curves"]}
        had = "; ".join(
            f"{condition(curves[entry['curves'][0]]['setting'])}: {entry['mixtures']} fitted" for entry in few
        )
        text += f" Whether alignment ranks the mixtures as pretraining did takes at least three mixtures ({had})."
    return text


def _chance(document: Document) -> str:
    """Return how little the correlation of a few mixtures shows."""
    counts = sorted({entry["mixtures"] for entry in document.get("alignment_agreements", []) if entry["correlations"]})
    chances = "; ".join(f"with {count} once in {math.factorial(count):,}" for count in counts)
    return (
        f"With few mixtures it shows little: a measure that knows nothing gives a perfect order by chance ({chances}), "
        "and several measures were tried here."
    )


def _of_metric(document: Document, agreement: Document) -> Document:
    name, metric = agreement["curves"][0], agreement["metric"]
    return next(curve for curve in document["curves"] if (curve["name"], curve["metric"]) == (name, metric))


def _correlation(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}".replace("-", MINUS)


def _part(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _reached(curve: Document) -> float:
    points = [p for p in curve["points"] if p["pretrain_tokens"] == curve["largest_pretrain_tokens"]]
    return sum(point["value"] for point in points) / len(points)


def _law_gain(curve: Document) -> float | None:
    law = chosen_law(curve)
    if law is None:
        return None
    first, last = law["at_points"]["predicted"][0], law["at_points"]["predicted"][-1]
    return None if first is None or last is None else _better(curve, last - first)


def _better(curve: Document, change: float) -> float:
    return -change if curve["lower_is_better"] else change
